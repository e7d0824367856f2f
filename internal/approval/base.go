package approval

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"hash"
	"maps"
	"slices"
	"strings"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/action"
)

// Base is a digest of the object that an action starts from: of what is around the changes, and of the whole. It tells
// later whether the object is still the one that people looked at. Secret values enter only through the key.
//
// That the changed values themselves still start and end as approved is not its matter: the hash of the action says so.
type Base string

// BaseAnnotation holds the base of the object at the request. Only the operator writes it.
const BaseAnnotation = v1alpha1.GroupName + "/base"

func baseOf(a *v1alpha1.ActionApproval) Base { return Base(a.Annotations[BaseAnnotation]) }

// BaseKeyID names the key under which the base of an approval was made, "" where it has none.
func BaseKeyID(a *v1alpha1.ActionApproval) string {
	version, _, _ := strings.Cut(string(baseOf(a)), ":")
	_, id, _ := strings.Cut(version, ".")
	return id
}

// baseVersion begins every base. Bump it when one object would get another base than before.
const baseVersion = "b1"

// BaseOf is the base of an UPDATE or DELETE, "" for everything else.
func BaseOf(a *action.Action, h action.Hasher) Base {
	if a.Operation != v1alpha1.OperationUpdate && a.Operation != v1alpha1.OperationDelete {
		return ""
	}
	near := hmac.New(sha256.New, h.Key)
	for _, p := range surroundings(a) {
		v, present := lookAt(a.Old, p)
		digest(near, p.String(), v, present)
	}
	whole := hmac.New(sha256.New, h.Key)
	digest(whole, "", withoutNoise(a), true)
	return Base(baseVersion + "." + h.KeyID + ":" + sum(near) + ":" + sum(whole))
}

func digest(h hash.Hash, path string, v any, present bool) {
	// What was decoded from JSON always marshals, sorted by key. It cannot be told from nothing if it ever does not.
	text, err := json.Marshal([]any{path, present, v})
	if err == nil {
		h.Write(text)
	}
}

func sum(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)[:16]) }

// Drift is how an object has changed since a request.
type Drift int

const (
	// DriftUnknown is what cannot be told. It is judged as the worst.
	DriftUnknown Drift = iota
	// DriftNone is no change.
	DriftNone
	// DriftElsewhere is a change away from those that were approved.
	DriftElsewhere
	// DriftNear is a change inside the same element of a list, or the same pod template.
	DriftNear
)

// Since compares the base now with the one at the request.
func (b Base) Since(then Base) Drift {
	now, before := strings.Split(string(b), ":"), strings.Split(string(then), ":")
	switch {
	case len(now) != 3 || len(before) != 3 || now[0] != before[0]:
		return DriftUnknown
	case now[2] == before[2]:
		return DriftNone
	case now[1] == before[1]:
		return DriftElsewhere
	default:
		return DriftNear
	}
}

// surroundings are the places around the changes within which nothing else may change: the pod template, or the
// outermost element of a list. Sorted, each once.
func surroundings(a *action.Action) []action.Path {
	around := map[string]action.Path{}
	for _, c := range a.Changes {
		if p := surrounding(a, c.Path); p != nil {
			around[p.String()] = p
		}
	}
	var all []action.Path
	for _, key := range slices.Sorted(maps.Keys(around)) {
		all = append(all, around[key])
	}
	return all
}

func surrounding(a *action.Action, p action.Path) action.Path {
	if a.Group == "" && a.Resource == "pods" && len(p) > 0 && p[0].Field == "spec" {
		return p[:1]
	}
	for i := range p {
		switch {
		case len(p[i].Keys) > 0:
			if _, found := lookAt(a.Old, p[:i+1]); !found && len(p) > i+1 {
				return p[:i] // by keys that have defaults: the whole list
			}
			return p[:i+1]
		case p[i].Field == "template" && isPodTemplate(a.Old, p[:i+1]):
			return p[:i+1]
		}
	}
	return nil
}

func isPodTemplate(object map[string]any, p action.Path) bool {
	v, _ := lookAt(object, p)
	template, _ := v.(map[string]any)
	spec, _ := template["spec"].(map[string]any)
	_, holds := spec["containers"]
	return holds
}

// lookAt returns what stands at a path.
func lookAt(v any, p action.Path) (any, bool) {
	var present bool
	for _, segment := range p {
		if len(segment.Keys) == 0 {
			m, _ := v.(map[string]any)
			v, present = m[segment.Field]
		} else {
			list, _ := v.([]any)
			v, present = element(list, segment.Keys)
		}
		if !present {
			return nil, false
		}
	}
	return v, true
}

// element is the first element of a list that has all the keys.
func element(list []any, keys []action.Key) (any, bool) {
	for _, e := range list {
		m, isMap := e.(map[string]any)
		if isMap && !slices.ContainsFunc(keys, func(k action.Key) bool { return m[k.Name] != k.Value }) {
			return e, true
		}
	}
	return nil, false
}

// withoutNoise is the old object without what changes all the time: the server's bookkeeping, and the status where it
// is not what is changed.
func withoutNoise(a *action.Action) map[string]any {
	object := maps.Clone(a.Old)
	if m := metadata(object); m != nil {
		m = maps.Clone(m)
		for _, field := range []string{"managedFields", "resourceVersion", "generation"} {
			delete(m, field)
		}
		object["metadata"] = m
	}
	if !changesStatus(a) {
		delete(object, "status")
	}
	return object
}

func changesStatus(a *action.Action) bool {
	return a.Subresource == "status" || slices.ContainsFunc(a.Changes, func(c action.Change) bool {
		return len(c.Path) > 0 && c.Path[0].Field == "status"
	})
}

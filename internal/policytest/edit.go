package policytest

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/countersign-dev/countersign/internal/action"
)

// Edit sets values by path in an object, which it changes, and takes paths away. Paths are spelled as in refusals. What is
// missing on the way is made, elements of lists included.
func Edit(object map[string]any, set map[string]json.RawMessage, unset []string) (map[string]any, error) {
	for _, text := range slices.Sorted(maps.Keys(set)) {
		path, err := action.ParsePath(text)
		if err != nil {
			return nil, fmt.Errorf("set: %w", err)
		}
		value, err := decodeValue(set[text])
		if err != nil {
			return nil, fmt.Errorf("set %s: %w", text, err)
		}
		if _, err := change(object, path, value); err != nil {
			return nil, fmt.Errorf("set %s: %w", text, err)
		}
	}
	for _, text := range unset {
		path, err := action.ParsePath(text)
		if err != nil {
			return nil, fmt.Errorf("unset: %w", err)
		}
		if _, err := change(object, path, gone{}); err != nil {
			return nil, fmt.Errorf("unset %s: %w", text, err)
		}
	}
	return object, nil
}

// ErrAbsent says that what is to be taken away is not there.
var ErrAbsent = errors.New("there is nothing to take away")

// gone is the value of what is taken away.
type gone struct{}

// decodeValue reads any JSON with the numbers of objects.
func decodeValue(text []byte) (any, error) {
	wrapped, err := action.DecodeObject([]byte(`{"v":` + string(text) + `}`))
	if err != nil {
		return nil, err
	}
	return wrapped["v"], nil
}

// change returns what stands where the path begins, with the value at its end.
func change(at any, path action.Path, value any) (any, error) {
	if len(path) == 0 {
		return value, nil
	}
	if len(path[0].Keys) > 0 {
		return changeElement(at, path, value)
	}
	object, ok := at.(map[string]any)
	switch {
	case at == nil:
		object = map[string]any{}
	case !ok:
		return nil, fmt.Errorf("there is no field %s in what stands there", path[0].Field)
	}
	below, err := change(object[path[0].Field], path[1:], value)
	if err != nil {
		return nil, err
	}
	if _, isGone := below.(gone); isGone {
		if _, had := object[path[0].Field]; !had {
			return nil, ErrAbsent
		}
		delete(object, path[0].Field)
		return object, nil
	}
	object[path[0].Field] = below
	return object, nil
}

// changeElement does so in a list, whose element the first segment chooses.
func changeElement(at any, path action.Path, value any) (any, error) {
	list, ok := at.([]any)
	if at != nil && !ok {
		return nil, errors.New("it chooses an element by key of what is no list")
	}
	i := slices.IndexFunc(list, func(element any) bool { return hasKeys(element, path[0].Keys) })
	if _, isGone := value.(gone); i < 0 && isGone {
		return nil, ErrAbsent
	}
	if i < 0 {
		element := map[string]any{}
		for _, key := range path[0].Keys {
			element[key.Name] = key.Value
		}
		list, i = append(list, element), len(list)
	}
	below, err := change(list[i], path[1:], value)
	if err != nil {
		return nil, err
	}
	if _, isGone := below.(gone); isGone {
		return slices.Delete(list, i, i+1), nil
	}
	list[i] = below
	return list, nil
}

func hasKeys(element any, keys []action.Key) bool {
	object, _ := element.(map[string]any)
	return object != nil && !slices.ContainsFunc(keys, func(k action.Key) bool { return fmt.Sprint(object[k.Name]) != fmt.Sprint(k.Value) })
}

// parseResource reads deployments.apps/scale.
func parseResource(text string) (schema.GroupResource, string) {
	resource, subresource, _ := strings.Cut(text, "/")
	return schema.ParseGroupResource(resource), subresource
}

func groupKindOf(object map[string]any) (group, kind string) {
	version, _ := object["apiVersion"].(string)
	kind, _ = object["kind"].(string)
	if before, _, found := strings.Cut(version, "/"); found {
		group = before
	}
	return group, kind
}

func textAt(object map[string]any, names ...string) string {
	var v any = object
	for _, name := range names {
		m, _ := v.(map[string]any)
		v = m[name]
	}
	text, _ := v.(string)
	return text
}

func deepCopy(object map[string]any) map[string]any { return runtime.DeepCopyJSON(object) }

package action

import (
	"cmp"
	"errors"
	"slices"
	"strings"
)

// owner is who owns fields. The version in which somebody owned them and the time at which they did mean nothing.
type owner struct {
	manager, operation, subresource string
}

// owned is a set of fields in the FieldsV1 form: nested objects whose keys are path elements, in which "." or an empty
// object marks an owned path.
type owned = map[string]any

var errFieldsV1 = errors.New("reading managedFields: not in the form FieldsV1")

// ownershipFollows says whether the owners of fields differ only where the fields do: every path whose owners differ is
// a changed path, leads to one, or lies under one. Whoever could move the ownership of another field could make the
// next apply of its owner delete or keep what it should not.
func ownershipFollows(changes []Change, before, after any) bool {
	from, err := ownersOf(before)
	if err != nil {
		return false
	}
	to, err := ownersOf(after)
	if err != nil {
		return false
	}
	w := ownership{changes: changes}
	for who, fields := range from {
		w.differ(fields, to[who])
	}
	for who, fields := range to {
		if _, both := from[who]; !both {
			w.differ(nil, fields)
		}
	}
	return !w.strayed
}

// equalButTimes says whether two managedFields are the same but for the times of their entries, as where somebody changes again
// what is already their own.
func equalButTimes(before, after any) bool {
	from, isList := before.([]any)
	to, alsoList := after.([]any)
	return isList && alsoList && slices.EqualFunc(from, to, func(a, b any) bool {
		entry, isMap := a.(map[string]any)
		other, alsoMap := b.(map[string]any)
		return isMap && alsoMap && len(entry) == len(other) && equalMembersBut("time", entry, other)
	})
}

// equalMembersBut says whether a map has what another one has, but for the value of one key.
func equalMembersBut(except string, entry, other map[string]any) bool {
	for key, v := range entry {
		w, present := other[key]
		if !present || key != except && !equal(v, w) {
			return false
		}
	}
	return true
}

// ownersOf reads managedFields. What one owner has in several entries is put together.
func ownersOf(managedFields any) (map[owner]owned, error) {
	entries, isList := managedFields.([]any)
	if managedFields != nil && !isList {
		return nil, errFieldsV1
	}
	owners := make(map[owner]owned, len(entries))
	merged := map[owner]bool{} // whose set is a copy of our own
	for _, e := range entries {
		who, fields, err := readEntry(e)
		if err != nil {
			return nil, err
		}
		have, several := owners[who]
		switch {
		case !several:
			owners[who] = fields
		case !merged[who]:
			merged[who] = true
			owners[who] = merge(merge(owned{}, have), fields)
		default:
			merge(have, fields)
		}
	}
	return owners, nil
}

func readEntry(e any) (owner, owned, error) {
	entry, ok := e.(map[string]any)
	if !ok {
		return owner{}, nil, errFieldsV1
	}
	fields, ok := entry["fieldsV1"].(map[string]any)
	if !ok || entry["fieldsType"] != "FieldsV1" {
		return owner{}, nil, errFieldsV1
	}
	var who owner
	for name, into := range map[string]*string{"manager": &who.manager, "operation": &who.operation, "subresource": &who.subresource} {
		text, isString := entry[name].(string)
		if _, present := entry[name]; present && !isString {
			return owner{}, nil, errFieldsV1
		}
		*into = text
	}
	return who, fields, nil
}

// movedEntries returns the entries of managedFields that differ, without their times. The times are others at every
// attempt, and what controllers own in between has nothing to do with the action.
func movedEntries(before, after any) (from, to any) {
	left, isList := before.([]any)
	right, alsoList := after.([]any)
	if before != nil && !isList || after != nil && !alsoList {
		return before, after
	}
	left, right = withoutTimes(left), withoutTimes(right)
	return notIn(right, left), notIn(left, right)
}

func withoutTimes(entries []any) []any {
	timeless := make([]any, len(entries))
	for i, e := range entries {
		timeless[i] = e
		if entry, isMap := e.(map[string]any); isMap {
			timeless[i] = without(entry, "time")
		}
	}
	return timeless
}

// notIn returns the entries that the other list does not hold.
func notIn(other, entries []any) []any {
	text := func(entry any) string {
		w := writer{}
		w.value(zonePlain, entry)
		return string(w.buf)
	}
	known := make(map[string]bool, len(other))
	for _, entry := range other {
		known[text(entry)] = true
	}
	return slices.DeleteFunc(slices.Clone(entries), func(entry any) bool { return known[text(entry)] })
}

// merge adds a set to one of our own, of which it returns the same. It does not keep what it adds.
func merge(own, set owned) owned {
	for key, v := range set {
		from, isSet := v.(map[string]any)
		have, present := own[key]
		into, both := have.(map[string]any)
		if !isSet || present && !both {
			own[key] = nil // it cannot be read, and ownership.element refuses it
			continue
		}
		member := isMember(from) || both && isMember(into)
		if !both {
			into = owned{}
		}
		own[key] = merge(into, from)
		if member && len(into) > 0 {
			into["."] = owned{}
		}
	}
	return own
}

// isMember says whether the path at which a set stands is itself owned.
func isMember(set owned) bool {
	_, dot := set["."]
	return dot || len(set) == 0
}

// maxFieldDepth bounds how deep managedFields and the last-applied annotation are followed. What is deeper counts as
// undecodable.
const maxFieldDepth = 256

// ownership walks two sets of one owner and notes whether they differ away from the changes.
type ownership struct {
	changes []Change
	// at holds path elements as they are written. They are read only where the sets differ.
	at      []string
	strayed bool
}

func (w *ownership) differ(from, to owned) {
	if same(from, to) {
		w.strayed = w.strayed || !readable(from, len(w.at))
		return
	}
	for key, before := range from {
		after, both := to[key]
		w.element(key, Value{Present: true, V: before}, Value{Present: both, V: after})
	}
	for key, after := range to {
		if _, both := from[key]; !both {
			w.element(key, Value{}, Value{Present: true, V: after})
		}
	}
}

// readable says whether ownership can follow a set that stands at a depth.
func readable(set owned, depth int) bool {
	for key, v := range set {
		if key == "." {
			continue
		}
		below, isSet := v.(map[string]any)
		if !isSet || depth == maxFieldDepth || len(below) > 0 && !readable(below, depth+1) {
			return false
		}
	}
	return true
}

// element compares what stands at one path element. An absent set and an empty one differ: the empty one is owned.
func (w *ownership) element(key string, from, to Value) {
	if key == "." || w.strayed {
		return
	}
	before, okBefore := from.V.(map[string]any)
	after, okAfter := to.V.(map[string]any)
	if from.Present != okBefore || to.Present != okAfter || len(w.at) == maxFieldDepth {
		w.strayed = true
		return
	}
	w.at = append(w.at, key)
	if (okBefore && isMember(before)) != (okAfter && isMember(after)) {
		path, err := pathOf(w.at)
		w.strayed = err != nil || !touches(w.changes, path) && !w.isKeyOfChanged(path)
	}
	w.differ(before, after)
	w.at = w.at[:len(w.at)-1]
}

// isKeyOfChanged says whether the path is a key of a list element in which something changes: whoever applies a field of
// an element comes to own its keys as well.
func (w *ownership) isKeyOfChanged(path Path) bool {
	if len(path) < 2 {
		return false
	}
	element, last := path[:len(path)-1], path[len(path)-1]
	isKey := slices.ContainsFunc(element[len(element)-1].Keys, func(k Key) bool { return k.Name == last.Field })
	return isKey && len(last.Keys) == 0 && touches(w.changes, element)
}

func pathOf(elements []string) (Path, error) {
	path := make(Path, len(elements))
	for i, element := range elements {
		segment, err := segmentOf(element)
		if err != nil {
			return nil, err
		}
		path[i] = segment
	}
	return path, nil
}

// segmentOf reads a path element of FieldsV1. The library that writes them reads numbers as float64, so this does not
// use it. An element of a set ("v:") or one by position ("i:") becomes a segment that no content has: it counts only
// for what leads to it.
func segmentOf(element string) (Segment, error) {
	kind, text, _ := strings.Cut(element, ":")
	switch kind {
	case "f":
		return Segment{Field: text}, nil
	case "k":
		object, err := decodeObject(text, maxDepth)
		if err != nil || len(object) == 0 {
			return Segment{}, errFieldsV1
		}
		keys := make([]Key, 0, len(object))
		for name, v := range object {
			keys = append(keys, Key{Name: name, Value: v})
		}
		slices.SortFunc(keys, func(a, b Key) int { return cmp.Compare(a.Name, b.Name) })
		return Segment{Keys: keys}, nil
	case "v", "i":
		return Segment{Keys: []Key{{Value: element}}}, nil
	default:
		return Segment{}, errFieldsV1
	}
}

package action

import (
	"encoding/json"
	"slices"
)

// Change is one difference between old and new content.
type Change struct {
	// Path of what differs.
	Path Path
	// From and To are the values before and after.
	From, To Value
	// Rank is the order, from 1, among several elements that are added to one list; 0 for everything else. Without it
	// two orders of the same elements would be one change.
	Rank int
}

// Value is a JSON value or the absence of one: absent, null, "", {} and [] all differ.
type Value struct {
	// Present says that there is a value; V may then still be nil, which is null.
	Present bool
	// V is the value as DecodeObject gives it. Callers must not change it, and must not show it: Action.Render does.
	V any
}

// maxPathSegments bounds the sum of the lengths of all paths, for hostile content: many changes deep down.
const maxPathSegments = 1 << 20

// coarseDepth is the depth at which changes are reported as a whole once maxPathSegments is exceeded.
const coarseDepth = 2

// differ finds the changes between two objects in one pass. Applying them to the old object gives the new one, so
// nothing can hide:
//
//   - A map is compared key by key, a list by key where its kind has keys that prove the identity of its elements
//     (see lists), everything else as a whole.
//   - What is absent counts as empty where the other side is a map of scalars, or a list with keys: the first
//     annotation is an annotation, not a map of annotations. So the last key takes the map with it, and a map or list
//     that is emptied but stays is changed as a whole.
type differ struct {
	// skip names keys of the object and of its metadata that are not compared.
	skip func(at []frame, key string) bool
	// at is where the differ stands. It becomes a path only where something differs.
	at  []frame
	out []Change
	// spent is the sum of the lengths of the paths in out; lost says that a change is not in out, because spent
	// would have exceeded maxPathSegments.
	spent int
	lost  bool
	// ids holds the keys of the lists that are being compared.
	ids []identity
}

// frame is one step: a field, or where names is set the element of a list.
type frame struct {
	field string
	names []string
	id    identity
}

// diff returns the changes between two objects, sorted by path.
func diff(from, to map[string]any, skip func(at []frame, key string) bool) []Change {
	d := differ{skip: skip}
	d.maps(from, to)
	sortChanges(d.out)
	return d.out
}

func sortChanges(changes []Change) {
	slices.SortFunc(changes, func(a, b Change) int { return a.Path.compare(b.Path) })
}

// maps compares key by key.
func (d *differ) maps(from, to map[string]any) {
	for key, before := range from {
		after, present := to[key]
		if present && (same(before, after) || isScalar(before) && before == after) {
			continue // most of an object
		}
		d.field(key, Value{Present: true, V: before}, Value{Present: present, V: after})
	}
	for key, after := range to {
		if _, present := from[key]; !present {
			d.field(key, Value{}, Value{Present: true, V: after})
		}
	}
}

func (d *differ) field(key string, from, to Value) {
	if d.skip != nil && d.skip(d.at, key) {
		return
	}
	d.at = append(d.at, frame{field: key})
	d.values(from, to)
	d.at = d.at[:len(d.at)-1]
}

// values compares what stands at one place. At coarseDepth it gathers what is too much to be told apart.
func (d *differ) values(from, to Value) {
	mark := len(d.out)
	switch {
	case same(from.V, to.V):
		return
	case sideBySide[map[string]any](from, to, isScalarMap):
		d.maps(asMap(from), asMap(to))
	case sideBySide[[]any](from, to, d.hasIdentities):
		d.lists(from, to)
	case from.Present != to.Present || !equal(from.V, to.V):
		d.emit(from, to, 0)
	}
	if d.lost && len(d.at) <= coarseDepth {
		d.out = slices.Delete(d.out, mark, len(d.out))
		d.lost = false
		d.append(from, to, 0)
	}
}

// sideBySide says whether two values are compared part by part: both are of the kind, and neither is emptied; or one
// is, and the other is absent and counts as empty.
func sideBySide[T map[string]any | []any](from, to Value, part func(T) bool) bool {
	before, isBefore := from.V.(T)
	after, isAfter := to.V.(T)
	switch {
	case isBefore && isAfter:
		return len(after) > 0 || len(before) == 0
	case isBefore && !to.Present:
		return part(before)
	case isAfter && !from.Present:
		return part(after)
	default:
		return false
	}
}

func asMap(v Value) map[string]any { m, _ := v.V.(map[string]any); return m }

func asList(v Value) []any { l, _ := v.V.([]any); return l }

func isScalarMap(m map[string]any) bool {
	for _, v := range m {
		if !isScalar(v) {
			return false
		}
	}
	return len(m) > 0
}

// isScalar says whether a value is a string, number or truth value. Null is none of them.
func isScalar(v any) bool {
	switch v.(type) {
	case string, int64, float64, bool, json.Number:
		return true
	default:
		return false
	}
}

// emit reports a change at the current place, unless there are too many.
func (d *differ) emit(from, to Value, rank int) {
	if d.spent+len(d.at) > maxPathSegments && len(d.at) > coarseDepth {
		d.lost = true
		return
	}
	d.append(from, to, rank)
}

func (d *differ) append(from, to Value, rank int) {
	d.spent += len(d.at)
	path := make(Path, len(d.at))
	for i, f := range d.at {
		path[i] = f.segment()
	}
	d.out = append(d.out, Change{Path: path, From: from, To: to, Rank: rank})
}

func (f frame) segment() Segment {
	if f.names == nil {
		return Segment{Field: f.field}
	}
	keys := make([]Key, len(f.names))
	for i, name := range f.names {
		keys[i] = Key{Name: name, Value: f.id[i]}
	}
	return Segment{Keys: keys}
}

// equal compares two values exactly: integers and other numbers by their literal, lists in their order.
func equal(a, b any) bool {
	if same(a, b) {
		return true
	}
	switch a := a.(type) {
	case map[string]any:
		b, ok := b.(map[string]any)
		return ok && equalMaps(a, b)
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, equal)
	default:
		return (b == nil || isScalar(b)) && a == b
	}
}

func equalMaps(a, b map[string]any) bool {
	if len(a) != len(b) {
		return false
	}
	for key, v := range a {
		w, present := b[key]
		if !present || !equal(v, w) {
			return false
		}
	}
	return true
}

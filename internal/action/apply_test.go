package action

import (
	"fmt"
	"slices"
)

// apply is the inverse of diff: the old content with the changes made. That it gives the new content proves that
// nothing hides. It knows nothing of how diff finds changes, only what they mean:
//
//   - a field or element is set, or removed where To is absent;
//   - what leads to it is created where it is missing, and goes with the last thing in it;
//   - elements are added at the end of their list, in the order of their rank.
func apply(old map[string]any, changes []Change) map[string]any {
	object := deepCopy(old).(map[string]any)
	changes = slices.Clone(changes)
	slices.SortStableFunc(changes, func(a, b Change) int { return order(a) - order(b) })
	for _, c := range changes {
		object, _ = applyAt(object, c.Path, c.To).(map[string]any)
		if object == nil {
			object = map[string]any{} // the object itself stays
		}
	}
	return object
}

// order removes first, and adds by rank.
func order(c Change) int {
	if !c.To.Present {
		return -1
	}
	return c.Rank
}

// gone is what applyAt returns where nothing is left.
type gone struct{}

func applyAt(v any, path Path, to Value) any {
	if len(path) == 0 {
		if !to.Present {
			return gone{}
		}
		return deepCopy(to.V)
	}
	if len(path[0].Keys) > 0 {
		return applyToList(v, path, to)
	}
	object, _ := v.(map[string]any)
	if object == nil {
		object = map[string]any{}
	}
	var below any = gone{}
	if have, present := object[path[0].Field]; present {
		below = have
	}
	below = applyAt(below, path[1:], to)
	if below == (any)(gone{}) {
		delete(object, path[0].Field)
	} else {
		object[path[0].Field] = below
	}
	if len(object) == 0 {
		return gone{}
	}
	return object
}

func applyToList(v any, path Path, to Value) any {
	list, _ := v.([]any)
	i := slices.IndexFunc(list, func(element any) bool { return hasKeys(element, path[0].Keys) })
	var below any = gone{}
	if i >= 0 {
		below = list[i]
	}
	below = applyAt(below, path[1:], to)
	isGone := below == (any)(gone{})
	switch {
	case i >= 0 && isGone:
		list = slices.Delete(list, i, i+1)
	case i >= 0:
		list[i] = below
	case !isGone:
		list = append(list, below)
	}
	if len(list) == 0 {
		return gone{}
	}
	return list
}

func hasKeys(element any, keys []Key) bool {
	object, ok := element.(map[string]any)
	for _, key := range keys {
		v, present := object[key.Name]
		if !present && key.Name == "protocol" {
			v = "TCP"
		}
		ok = ok && v == key.Value
	}
	return ok
}

func deepCopy(v any) any {
	switch v := v.(type) {
	case map[string]any:
		object := make(map[string]any, len(v))
		for key, below := range v {
			object[key] = deepCopy(below)
		}
		return object
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = deepCopy(v[i])
		}
		return list
	default:
		return v
	}
}

// canonicalText renders any value, for messages and comparisons.
func canonicalText(v any) string {
	w := writer{}
	w.value(zonePlain, v)
	return string(w.buf)
}

func changesText(changes []Change) string {
	text := ""
	for _, c := range changes {
		text += fmt.Sprintf("%s: %s -> %s", c.Path, valueText(c.From), valueText(c.To))
		if c.Rank != 0 {
			text += fmt.Sprintf(" (%d)", c.Rank)
		}
		text += "\n"
	}
	return text
}

func valueText(v Value) string {
	if !v.Present {
		return "absent"
	}
	return canonicalText(v.V)
}

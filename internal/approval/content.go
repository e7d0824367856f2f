package approval

import (
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/action"
	"github.com/countersign-dev/countersign/internal/legible"
)

// hidden is what stands for a secret value, hiddenBefore and hiddenAfter for one that changes.
const (
	hidden       = "***"
	hiddenBefore = hidden + " (before)"
	hiddenAfter  = hidden + " (after)"
)

// shownContent is the content before and after as people see it; nil where there is none.
func shownContent(a *action.Action) (before, after map[string]any) {
	old, updated := a.Old, a.New
	if a.Operation == v1alpha1.OperationDelete {
		updated = nil
	}
	before, after = a.Redact(old), a.Redact(updated)
	if before != nil && after != nil {
		before, after = markMaps(old, updated, before, after)
	}
	return tidy(a, before), tidy(a, after)
}

// tidy takes away what the server writes and nobody needs to see. The content itself is not changed.
func tidy(a *action.Action, content map[string]any) map[string]any {
	if content == nil {
		return nil
	}
	content = maps.Clone(content)
	if !changesStatus(a) {
		delete(content, "status")
	}
	m := maps.Clone(metadata(content))
	if m == nil {
		return content
	}
	for _, field := range []string{"managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink"} {
		delete(m, field)
	}
	if annotations, isMap := m["annotations"].(map[string]any); isMap {
		annotations = maps.Clone(annotations)
		delete(annotations, "kubectl.kubernetes.io/last-applied-configuration")
		if m["annotations"] = annotations; len(annotations) == 0 {
			delete(m, "annotations")
		}
	}
	content["metadata"] = m
	return content
}

// markMaps shows which secret values change between two maps. It walks what is secret and what is shown side by side.
func markMaps(old, updated, before, after map[string]any) (b, c map[string]any) {
	b, c = maps.Clone(before), maps.Clone(after)
	for key := range before {
		if _, both := after[key]; both {
			b[key], c[key] = markValues(old[key], updated[key], before[key], after[key])
		}
	}
	return b, c
}

func markValues(old, updated, before, after any) (b, c any) {
	if isHidden(old, before) || isHidden(updated, after) {
		if reflect.DeepEqual(old, updated) {
			return before, after
		}
		return marked(before, hiddenBefore), marked(after, hiddenAfter)
	}
	switch before := before.(type) {
	case map[string]any:
		if after, same := after.(map[string]any); same {
			x, _ := old.(map[string]any)
			y, _ := updated.(map[string]any)
			return markMaps(x, y, before, after)
		}
	case []any:
		if after, same := after.([]any); same {
			x, _ := old.([]any)
			y, _ := updated.([]any)
			return markLists(x, y, before, after)
		}
	}
	return before, after
}

// markLists marks the elements of two lists that have the same name, or without names the same place.
func markLists(old, updated, before, after []any) (b, c []any) {
	b, c = append([]any{}, before...), append([]any{}, after...)
	places := map[string]int{}
	for j := range updated {
		if key := identity(updated[j], j); key != "" {
			places[key] = j
		}
	}
	for i := range old {
		if j, both := places[identity(old[i], i)]; both {
			b[i], c[j] = markValues(old[i], updated[j], before[i], after[j])
		}
	}
	return b, c
}

// identity is what tells an element of a list from the others.
func identity(element any, place int) string {
	object, _ := element.(map[string]any)
	if name, named := object["name"].(string); named {
		return "name " + name
	}
	return strconv.Itoa(place)
}

// isHidden says whether a value was replaced.
func isHidden(value, shown any) bool {
	return shown == any(hidden) && value != any(hidden)
}

func marked(shown any, as string) any {
	if shown == any(hidden) {
		return as
	}
	return shown
}

// showable is a copy of content in which what cannot be seen is an escape already, but for the ends of lines. YAML holds
// few such characters: with one of the others in it nothing of an object could be shown.
func showable(v any) any {
	switch v := v.(type) {
	case string:
		lines := strings.Split(v, "\n")
		for i, line := range lines {
			lines[i] = legible.Escape(line)
		}
		return strings.Join(lines, "\n")
	case map[string]any:
		object := make(map[string]any, len(v))
		for _, key := range slices.Sorted(maps.Keys(v)) {
			shown := legible.Escape(key)
			for taken(object, shown) { // another key looks like the escape of this one
				shown += " (another)"
			}
			object[shown] = showable(v[key])
		}
		return object
	case []any:
		list := make([]any, len(v))
		for i, element := range v {
			list[i] = showable(element)
		}
		return list
	default:
		return v
	}
}

func taken(object map[string]any, key string) bool {
	_, is := object[key]
	return is
}

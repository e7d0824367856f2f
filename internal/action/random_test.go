package action

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
)

// randomiser makes content that is as awkward as content can be: few names, so that they meet; lists that nearly have
// keys; empty maps, empty lists and nulls.
type randomiser struct {
	*rand.Rand
}

var randomNames = []string{
	"name", "env", "ports", "containerPort", "protocol", "port", "conditions", "type", "containers", "image", "value",
	"data", "metadata", "labels", "annotations", "ownerReferences", "uid", "volumeMounts", "mountPath", "a", "b", "",
}

func (r randomiser) pick(names []string) string { return names[r.IntN(len(names))] }

func (r randomiser) scalar() any {
	switch r.IntN(8) {
	case 0:
		return nil
	case 1:
		return r.IntN(2) == 0
	case 2:
		return int64(r.IntN(3))
	case 3:
		return json.Number(r.pick([]string{"1.0", "1", "1e400", "-0"}))
	case 4:
		return ""
	default:
		return r.pick([]string{"x", "y", "1", "TCP"})
	}
}

func (r randomiser) value(depth int) any {
	switch n := r.IntN(10); {
	case depth <= 0 || n < 4:
		return r.scalar()
	case n < 7:
		return r.object(depth)
	default:
		return r.list(depth)
	}
}

func (r randomiser) object(depth int) map[string]any {
	object := map[string]any{}
	for range r.IntN(5) {
		object[r.pick(randomNames)] = r.value(depth - 1)
	}
	return object
}

// list makes lists of objects with keys as often as any others.
func (r randomiser) list(depth int) []any {
	list := []any{}
	keys := [][]string{{"name"}, {"containerPort", "protocol"}, {"type"}, {"uid"}, {"mountPath"}, nil}[r.IntN(6)]
	for i := range r.IntN(5) {
		if keys == nil {
			list = append(list, r.value(depth-1))
			continue
		}
		element := r.object(depth - 1)
		for _, key := range keys {
			element[key] = []any{int64(i), string(rune('a' + i)), r.scalar()}[min(2, r.IntN(12)/5)]
		}
		list = append(list, element)
	}
	return list
}

// mutate changes a copy of a value somewhere.
func (r randomiser) mutate(v any) any {
	switch v := v.(type) {
	case map[string]any:
		return r.mutateMap(deepCopy(v).(map[string]any))
	case []any:
		return r.mutateList(deepCopy(v).([]any))
	default:
		return r.value(2)
	}
}

func (r randomiser) mutateMap(object map[string]any) any {
	keys := slices.Sorted(func(yield func(string) bool) {
		for key := range object {
			if !yield(key) {
				return
			}
		}
	})
	switch n := r.IntN(10); {
	case n == 0:
		return map[string]any{}
	case n < 3 || len(keys) == 0:
		object[r.pick(randomNames)] = r.value(2)
	case n < 5:
		delete(object, r.pick(keys))
	default:
		key := r.pick(keys)
		object[key] = r.mutate(object[key])
	}
	return object
}

func (r randomiser) mutateList(list []any) any {
	switch n := r.IntN(12); {
	case n == 0:
		return []any{}
	case n < 3 || len(list) == 0:
		return append(list, r.list(2)...)
	case n < 5:
		i := r.IntN(len(list))
		return slices.Delete(list, i, i+1)
	case n == 5:
		r.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	case n == 6:
		return slices.Insert(list, r.IntN(len(list)), r.value(1))
	case n == 7:
		return append(list, deepCopy(list[r.IntN(len(list))]))
	default:
		i := r.IntN(len(list))
		list[i] = r.mutate(list[i])
	}
	return list
}

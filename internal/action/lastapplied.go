package action

import (
	"encoding/base64"
	"encoding/json"
	"fmt"

	"k8s.io/apimachinery/pkg/api/resource"
)

// lastAppliedIsNoise says whether a change of the last-applied annotation only records the other changes:
//
//   - every leaf that the new annotation names stands in the new object with that value, and
//   - every leaf that it names and the old one does not, or the other way round, is among the other changes. Kubectl
//     deletes what is in the annotation and no longer in what a person applies, so whoever could name another field
//     could make that person delete it.
//
// What a leaf's value was means nothing to kubectl, so a value that merely follows the object is no change of its own.
func lastAppliedIsNoise(secret bool, change Change, object map[string]any, others []Change) bool {
	before, err := decodeLastApplied(change.From)
	if err != nil {
		return false
	}
	after, err := decodeLastApplied(change.To)
	if err != nil {
		return false
	}
	if secret {
		before, after = stringDataAsData(before), stringDataAsData(after)
	}
	return holds(object, after, "") && leavesInside(diff(before, after, nil), others)
}

// withoutLastApplied returns the object without its last-applied annotation where every leaf that this names stands in
// the object: as if it had been created in another way.
func withoutLastApplied(secret bool, object map[string]any) map[string]any {
	annotation := at(object, "metadata", "annotations", lastAppliedKey)
	applied, err := decodeLastApplied(annotation)
	if err != nil || !annotation.Present {
		return object
	}
	if secret {
		applied = stringDataAsData(applied)
	}
	if !holds(object, applied, "") {
		return object
	}
	object = without(object, "metadata", "annotations", lastAppliedKey)
	if len(asMap(at(object, "metadata", "annotations"))) == 0 {
		object = without(object, "metadata", "annotations")
	}
	return object
}

// maxLastApplied bounds the annotation as the API server does all annotations of an object.
const maxLastApplied = 256 << 10

func decodeLastApplied(annotation Value) (map[string]any, error) {
	if !annotation.Present {
		return nil, nil
	}
	text, ok := annotation.V.(string)
	if !ok {
		return nil, errNotObject
	}
	if len(text) > maxLastApplied {
		return nil, errNotObject
	}
	return decodeObject(text, maxFieldDepth)
}

// stringDataAsData does to a Secret what the API server does: stringData is data in plain text, and wins over it.
func stringDataAsData(secret map[string]any) map[string]any {
	plain, ok := secret["stringData"].(map[string]any)
	if !ok {
		return secret
	}
	data := map[string]any{}
	if have, ok := secret["data"].(map[string]any); ok {
		data = copied(have)
	}
	for key, v := range plain {
		if text, isText := v.(string); isText {
			v = base64.StdEncoding.EncodeToString([]byte(text))
		}
		data[key] = v
	}
	secret = copied(secret)
	delete(secret, "stringData")
	secret["data"] = data
	return secret
}

// holds says whether what was applied stands in the live value. Null and empty maps name nothing; neither does a zero
// value that the live object leaves out, as the API server does with most of them.
func holds(live, applied any, field string) bool {
	switch applied := applied.(type) {
	case nil:
		return true
	case map[string]any:
		return holdsMap(live, applied, field)
	case []any:
		return holdsList(live, applied, field)
	default:
		return equal(live, applied) || live == nil && isZero(applied) || sameQuantity(live, applied, field)
	}
}

func holdsMap(live any, applied map[string]any, field string) bool {
	object, isMap := live.(map[string]any)
	if !isMap && live != nil {
		return false
	}
	for key, v := range applied {
		name := key
		if isQuantityMap(field) {
			name = field
		}
		if !holds(object[key], v, name) {
			return false
		}
	}
	return true
}

// holdsList looks elements up by key where they have keys: the live list may hold more of them. Other lists are
// replaced as a whole, so they must be as long and in the same order.
func holdsList(live any, applied []any, field string) bool {
	list, isList := live.([]any)
	if !isList && live != nil {
		return false
	}
	names := keysOf(field, list, applied)
	if names == nil || len(list) == 0 {
		return sameElements(list, applied, field)
	}
	byID := make(map[identity]any, len(list))
	for _, element := range list {
		id, _ := identify(names, element)
		byID[id] = element
	}
	for _, element := range applied {
		id, _ := identify(names, element)
		if found, ok := byID[id]; !ok || !holds(found, element, "") {
			return false
		}
	}
	return len(byID) == len(list) && len(applied) > 0
}

func sameElements(live, applied []any, field string) bool {
	if len(live) != len(applied) {
		return false
	}
	for i := range applied {
		if !holds(live[i], applied[i], field) || live[i] == nil != (applied[i] == nil) {
			return false
		}
	}
	return true
}

func isZero(v any) bool {
	return v == false || v == "" || v == int64(0)
}

// isQuantityMap says whether the values of a map are quantities, by its name in the built-in kinds.
func isQuantityMap(field string) bool {
	switch field {
	case "limits", "requests", "hard", "capacity", "allocatable", "overhead", "podFixed",
		"max", "min", "default", "defaultRequest", "maxLimitRequestRatio":
		return true
	default:
		return false
	}
}

// isQuantity says whether a field is a quantity, by its name in the built-in kinds.
func isQuantity(field string) bool {
	switch field {
	case "sizeLimit", "divisor", "averageValue", "storage":
		return true
	default:
		return isQuantityMap(field)
	}
}

// sameQuantity says whether two texts or numbers are one quantity: 1000m and 1.
func sameQuantity(a, b any, field string) bool {
	if !isQuantity(field) {
		return false
	}
	x, err := parseQuantity(a)
	if err != nil {
		return false
	}
	y, err := parseQuantity(b)
	return err == nil && x.Cmp(y) == 0
}

// maxQuantity bounds the text of a quantity: one with a huge exponent takes a huge number to compare.
const maxQuantity = 32

func parseQuantity(v any) (resource.Quantity, error) {
	switch v.(type) {
	case string, int64, json.Number:
	default:
		return resource.Quantity{}, resource.ErrFormatWrong
	}
	text := fmt.Sprint(v)
	if len(text) > maxQuantity {
		return resource.Quantity{}, resource.ErrFormatWrong
	}
	return resource.ParseQuantity(text)
}

// leavesInside says whether every leaf that the changes of the annotation gain or lose is inside the other changes. Its
// leaves are keys, whatever they hold: kubectl deletes all labels where the annotation says "labels: {}" and a person
// applies none.
func leavesInside(annotation, others []Change) bool {
	for _, c := range annotation {
		if c.From.Present && c.To.Present && isLeaf(c.From.V) && isLeaf(c.To.V) {
			continue
		}
		if !leafInside(c.From, c.Path, others) || !leafInside(c.To, c.Path, others) {
			return false
		}
	}
	return true
}

// isLeaf says whether a value is neither a map nor a list.
func isLeaf(v any) bool {
	return v == nil || isScalar(v)
}

// leafInside looks at the leaves under a path. A list is a leaf, but where its elements have keys. It overwrites what is
// behind the path in its array.
func leafInside(v Value, path Path, others []Change) bool {
	if !v.Present || inside(others, path) {
		return true
	}
	switch content := v.V.(type) {
	case map[string]any:
		for key, below := range content {
			if !leafInside(Value{Present: true, V: below}, append(path, Segment{Field: key}), others) {
				return false
			}
		}
		return len(content) > 0 || isAlwaysApplied(path)
	case []any:
		names := keysOf(path[len(path)-1].Field, content, nil)
		if names == nil {
			return false
		}
		for _, element := range content {
			id, _ := identify(names, element)
			if !leafInside(Value{Present: true, V: element}, append(path, frame{names: names, id: id}.segment()), others) {
				return false
			}
		}
		return len(content) > 0
	default:
		return content == nil && path.compare(creationTimestampPath) == 0
	}
}

var (
	annotationsPath       = fields("metadata", "annotations")
	creationTimestampPath = fields("metadata", "creationTimestamp")
)

// isAlwaysApplied says whether whatever kubectl applies has the map at the path: it puts its own annotation there.
func isAlwaysApplied(path Path) bool {
	return path.compare(annotationsPath) == 0
}

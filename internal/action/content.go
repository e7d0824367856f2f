package action

import "maps"

// at returns what stands at a path of fields.
func at(object map[string]any, names ...string) Value {
	v := Value{Present: object != nil, V: object}
	for _, name := range names {
		m, _ := v.V.(map[string]any)
		v.V, v.Present = m[name]
	}
	return v
}

// textAt returns the string at a path of fields, "" where there is none.
func textAt(object map[string]any, names ...string) string {
	text, _ := at(object, names...).V.(string)
	return text
}

// copied returns a shallow copy.
func copied(m map[string]any) map[string]any {
	if m == nil {
		return map[string]any{}
	}
	return maps.Clone(m)
}

// with returns a copy of the object with a value at a path of fields. What is not on the path is shared.
func with(object map[string]any, v any, names ...string) map[string]any {
	object = copied(object)
	if len(names) == 1 {
		object[names[0]] = v
		return object
	}
	below, _ := object[names[0]].(map[string]any)
	object[names[0]] = with(below, v, names[1:]...)
	return object
}

// without returns a copy of the object without what stands at a path of fields. What is not on the path is shared.
func without(object map[string]any, names ...string) map[string]any {
	if !at(object, names...).Present {
		return object
	}
	object = copied(object)
	if below, ok := object[names[0]].(map[string]any); ok && len(names) > 1 {
		object[names[0]] = without(below, names[1:]...)
	} else {
		delete(object, names[0])
	}
	return object
}

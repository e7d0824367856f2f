package policy

// fieldOf is what stands at a path of fields, nil where there is nothing.
func fieldOf(content map[string]any, names ...string) any {
	var v any = content
	for _, name := range names {
		m, _ := v.(map[string]any)
		v = m[name]
	}
	return v
}

// textOf is the string at a path of fields, "" where there is none.
func textOf(content map[string]any, names ...string) string {
	text, _ := fieldOf(content, names...).(string)
	return text
}

// objectsOf are the objects of the list at a path of fields.
func objectsOf(content map[string]any, names ...string) []map[string]any {
	list, _ := fieldOf(content, names...).([]any)
	objects := make([]map[string]any, 0, len(list))
	for _, v := range list {
		if m, ok := v.(map[string]any); ok {
			objects = append(objects, m)
		}
	}
	return objects
}

// textsOf are the strings of the list at a path of fields.
func textsOf(content map[string]any, names ...string) []string {
	list, _ := fieldOf(content, names...).([]any)
	texts := make([]string, 0, len(list))
	for _, v := range list {
		if text, ok := v.(string); ok {
			texts = append(texts, text)
		}
	}
	return texts
}

package action

// ParsePath reads a path as Path.String writes it: one place, spelled as in a refusal. Its errors are *PatternError.
func ParsePath(s string) (Path, error) {
	pattern, err := ParsePattern(s)
	if err != nil {
		return nil, err
	}
	path := make(Path, len(pattern.segments))
	for i, segment := range pattern.segments {
		if segment.any {
			return nil, &PatternError{Pattern: s, Position: 1, Cause: "[*] is many places", Instead: "name one, as in [name=web]"}
		}
		path[i].Field = segment.field
		for _, key := range segment.keys {
			var value any = key.value
			if !key.quoted {
				value = bareValue(key.value)
			}
			path[i].Keys = append(path[i].Keys, Key{Name: key.name, Value: value})
		}
	}
	return path, nil
}

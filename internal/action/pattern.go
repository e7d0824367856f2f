package action

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/countersign-dev/countersign/internal/legible"
)

// Pattern is a set of paths, as policies write it: spec.template.spec.containers[*].image, [name=web],
// [containerPort=80,protocol=TCP], metadata.annotations["a/b"], data[*]. The zero Pattern covers nothing.
type Pattern struct {
	segments []patternSegment
}

// patternSegment is one step of a pattern. Exactly one of its members counts: any, keys where there are some, field.
type patternSegment struct {
	any   bool
	field string
	keys  []patternKey
}

// patternKey is one key of a list element. Its value is text: whoever writes containerPort=80 must not have to know
// whether it is a number. A quoted value is meant as a string.
type patternKey struct {
	name, value string
	quoted      bool
}

// Covers says whether the path is one of the pattern's or lies under one. Where the pattern names some of the keys of
// a list element, all elements that have these are meant.
func (p Pattern) Covers(path Path) bool {
	if len(p.segments) == 0 || len(path) < len(p.segments) {
		return false
	}
	for i, segment := range p.segments {
		if !segment.matches(path[i]) {
			return false
		}
	}
	return true
}

func (s patternSegment) matches(t Segment) bool {
	switch {
	case s.any:
		return true
	case len(s.keys) == 0:
		return len(t.Keys) == 0 && s.field == t.Field
	default:
		return !slices.ContainsFunc(s.keys, func(k patternKey) bool { return !k.in(t.Keys) })
	}
}

func (k patternKey) in(keys []Key) bool {
	return slices.ContainsFunc(keys, func(key Key) bool {
		text, isString := key.Value.(string)
		if !isString {
			text = fmt.Sprint(key.Value)
		}
		return key.Name == k.name && text == k.value && (isString || !k.quoted)
	})
}

// HasKeys says whether the pattern chooses elements of lists by key.
func (p Pattern) HasKeys() bool {
	return slices.ContainsFunc(p.segments, func(s patternSegment) bool { return len(s.keys) > 0 })
}

// Field is the pattern of a field below.
func (p Pattern) Field(names ...string) Pattern {
	segments := slices.Clone(p.segments)
	for _, name := range names {
		segments = append(segments, patternSegment{field: name})
	}
	return Pattern{segments: segments}
}

// in returns what stands in an object where a pattern without keys points, in order. Null counts as absent. Where the
// object is of another shape than the pattern, that is among it: a text or a number in the place of an object.
func (p Pattern) in(object map[string]any) []any {
	if object == nil {
		return nil
	}
	found := []any{object}
	for _, segment := range p.segments {
		var below []any
		for _, v := range found {
			below = append(below, segment.below(v)...)
		}
		found = slices.DeleteFunc(below, func(v any) bool { return v == nil })
	}
	return found
}

func (s patternSegment) below(v any) []any {
	switch v := v.(type) {
	case map[string]any:
		if !s.any {
			return []any{v[s.field]}
		}
		var all []any
		for _, key := range slices.Sorted(maps.Keys(v)) {
			all = append(all, v[key])
		}
		return all
	case []any:
		if s.any {
			return v
		}
		return []any{"a list"}
	default:
		return []any{v}
	}
}

// names says whether the pattern covers the path and spells out its segment i, rather than something above it or any.
func (p Pattern) names(path Path, i int) bool {
	return len(p.segments) > i && !p.segments[i].any && p.Covers(path)
}

// String renders the pattern in the form that ParsePattern reads.
func (p Pattern) String() string {
	var b strings.Builder
	for _, segment := range p.segments {
		segment.render(&b)
	}
	return b.String()
}

func (s patternSegment) render(b *strings.Builder) {
	switch {
	case s.any:
		b.WriteString("[*]")
	case len(s.keys) == 0:
		renderField(b, s.field)
	default:
		keys := make([]string, len(s.keys))
		for i, key := range s.keys {
			keys[i] = quoteUnlessBare(key.name) + "=" + key.renderValue()
		}
		b.WriteString("[" + strings.Join(keys, ",") + "]")
	}
}

func (k patternKey) renderValue() string {
	if k.quoted || !bareKeyValue(k.value) {
		return legible.Quote(k.value)
	}
	return k.value
}

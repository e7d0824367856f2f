package action

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
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
		return strconv.Quote(k.value)
	}
	return k.value
}

package action

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/countersign-dev/countersign/internal/legible"
)

// Path is a place in an object: typed segments, never a rendered string, so that a dot or a bracket within a key means
// nothing.
type Path []Segment

// Segment is one step of a path: a field of an object, or an element of a list chosen by its keys.
type Segment struct {
	// Field is the name of a field, or of a key of a map. It is meant where Keys is empty; it may be "".
	Field string
	// Keys choose an element of a list: one or several, in the order in which the kind of list names them.
	Keys []Key
}

// Key is one key of a list element.
type Key struct {
	// Name of the field.
	Name string
	// Value of the field: a string, int64, json.Number or bool.
	Value any
}

// fields makes a path of field names.
func fields(names ...string) Path {
	path := make(Path, len(names))
	for i, name := range names {
		path[i].Field = name
	}
	return path
}

// String renders the path for people: spec.template.spec.containers[name=web].image, metadata.annotations["a/b"].
// ParsePattern reads it back. What cannot be printed is escaped, so that a path cannot play tricks on a terminal.
func (p Path) String() string {
	var b strings.Builder
	for _, segment := range p {
		segment.render(&b)
	}
	return b.String()
}

func (s Segment) render(b *strings.Builder) {
	if len(s.Keys) == 0 {
		renderField(b, s.Field)
		return
	}
	for i, key := range s.Keys {
		if i == 0 {
			b.WriteByte('[')
		} else {
			b.WriteByte(',')
		}
		b.WriteString(quoteUnlessBare(key.Name))
		b.WriteByte('=')
		b.WriteString(renderKeyValue(key.Value))
	}
	b.WriteByte(']')
}

func renderField(b *strings.Builder, name string) {
	switch {
	case !bare(name):
		b.WriteString("[" + legible.Quote(name) + "]")
	case b.Len() == 0:
		b.WriteString(name)
	default:
		b.WriteString("." + name)
	}
}

// renderKeyValue quotes a string that would read as a number or a truth value.
func renderKeyValue(v any) string {
	switch v := v.(type) {
	case string:
		if _, isString := bareValue(v).(string); isString && bareKeyValue(v) {
			return v
		}
		return legible.Quote(v)
	case json.Number:
		return v.String()
	default:
		return fmt.Sprint(v)
	}
}

func quoteUnlessBare(s string) string {
	if bare(s) {
		return s
	}
	return legible.Quote(s)
}

// bare says whether a name stands in a path without quotes.
func bare(s string) bool {
	for i := range len(s) {
		if !bareByte(s[i]) {
			return false
		}
	}
	return s != ""
}

func bareByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '-' || c == '$'
}

// bareKeyValue says whether the value of a key stands in a path without quotes.
func bareKeyValue(s string) bool {
	for i := range len(s) {
		if !bareKeyByte(s[i]) {
			return false
		}
	}
	return s != ""
}

func bareKeyByte(c byte) bool {
	return ' ' < c && c <= '~' && !strings.ContainsRune(`,=[]*"\`, rune(c))
}

// bareValue reads a key value that stands without quotes.
func bareValue(s string) any {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil && strconv.FormatInt(n, 10) == s {
		return n
	}
	switch s {
	case "true":
		return true
	case "false":
		return false
	}
	return s
}

// hasPrefix says whether the path is prefix, or lies under it.
func (p Path) hasPrefix(prefix Path) bool {
	return len(p) >= len(prefix) && slices.EqualFunc(p[:len(prefix)], prefix, Segment.equal)
}

// equal compares typed: the keys "80" and 80 differ. The order of several keys means nothing.
func (s Segment) equal(t Segment) bool {
	if len(s.Keys) != len(t.Keys) {
		return false
	}
	if len(s.Keys) == 0 {
		return s.Field == t.Field
	}
	for _, key := range s.Keys {
		if !slices.Contains(t.Keys, key) {
			return false
		}
	}
	return true
}

// compare orders paths segment by segment: what is above comes before what is under it.
func (p Path) compare(q Path) int {
	return slices.CompareFunc(p, q, Segment.compare)
}

func (s Segment) compare(t Segment) int {
	if byField := cmp.Compare(s.Field, t.Field); byField != 0 {
		return byField
	}
	return slices.CompareFunc(s.Keys, t.Keys, Key.compare)
}

func (k Key) compare(l Key) int {
	return cmp.Or(cmp.Compare(k.Name, l.Name), compareScalars(k.Value, l.Value))
}

// compareScalars orders strings and integers by value, and everything else by type and text.
func compareScalars(a, b any) int {
	switch x := a.(type) {
	case string:
		if y, ok := b.(string); ok {
			return cmp.Compare(x, y)
		}
	case int64:
		if y, ok := b.(int64); ok {
			return cmp.Compare(x, y)
		}
	}
	return cmp.Compare(fmt.Sprintf("%T %v", a, a), fmt.Sprintf("%T %v", b, b))
}

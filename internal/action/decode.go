package action

import (
	"errors"
	"fmt"
	"unicode/utf8"
	"unsafe"
)

// maxDepth is how deep JSON may nest: the API server's own limit.
const maxDepth = 10_000

var (
	errNotObject = errors.New("not a JSON object")
	errNotUTF8   = errors.New("not UTF-8")
	errMissing   = errors.New("it is missing")
	errOther     = errors.New("reading metadata: it is not the object that the review names")
)

// DecodeObject decodes a JSON object. Integers are exact: int64 where they fit; every other number stays the literal
// it was, as json.Number. Nothing is rounded.
//
// It is stricter than encoding/json: a key given twice, half a surrogate pair or invalid UTF-8 is an error, because two
// readers of such text may see two things. Errors name the byte and the cause, never the content.
//
// Strings of the result share one copy of raw.
func DecodeObject(raw []byte) (map[string]any, error) {
	return decodeObject(string(raw), maxDepth)
}

func decodeObject(text string, depth int) (map[string]any, error) {
	d := decoder{text: text, left: depth}
	return d.whole()
}

// view is a text that shares memory with bytes which nobody changes any more: to copy a review makes more garbage than all
// values that are read.
func view(raw []byte) string {
	return unsafe.String(unsafe.SliceData(raw), len(raw)) //nolint:gosec // that the bytes stay as they are is said where they come from
}

// whole reads the text as one object.
func (d *decoder) whole() (map[string]any, error) {
	if !utf8.ValidString(d.text) {
		return nil, errNotUTF8
	}
	d.space()
	if d.at >= len(d.text) || d.text[d.at] != '{' {
		return nil, errNotObject
	}
	object, err := d.object()
	if err != nil {
		return nil, err
	}
	if d.space(); d.at != len(d.text) {
		return nil, d.fail("text after the object")
	}
	return object, nil
}

// decoder reads JSON text by recursive descent. encoding/json would do, but takes four times as long: it copies every
// string and every key.
type decoder struct {
	text string
	at   int
	// left is how much deeper it may nest.
	left int
	// items holds the elements of the lists that are being read, so that each list is allocated once, at its size.
	items []any
	// buf holds a string with escapes while it is read.
	buf []byte
	// twins is set where the text, or what is read of it, is one of two that are alike.
	twins *twins
	// empty stands for all empty objects, of which managedFields have many. Nil: each is one of its own.
	empty map[string]any
	// sharesSets says that sets of fields may be those of other texts.
	sharesSets bool
}

func (d *decoder) fail(cause string) error {
	return fmt.Errorf("reading JSON at byte %d: %s", d.at, cause)
}

func (d *decoder) space() {
	for d.at < len(d.text) {
		switch d.text[d.at] {
		case ' ', '\t', '\n', '\r':
			d.at++
		default:
			return
		}
	}
}

// peek skips space and returns the byte at hand, 0 at the end.
func (d *decoder) peek() byte {
	d.space()
	if d.at < len(d.text) {
		return d.text[d.at]
	}
	return 0
}

func (d *decoder) value() (any, error) {
	switch c := d.peek(); {
	case c == '"':
		return boxed(d.string())
	case c == '{':
		return boxed(d.object())
	case c == '[':
		return boxed(d.list())
	case isNumber(c):
		return d.number()
	default:
		return d.literal()
	}
}

// boxed keeps a failed value from becoming a non-nil interface.
func boxed[T any](v T, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	return v, nil
}

func (d *decoder) enter() error {
	if d.left--; d.left < 0 {
		return d.fail("nested too deeply")
	}
	d.at++
	return nil
}

// next reads what follows an item: a comma, and it goes on, or the closing byte.
func (d *decoder) next(closing byte) (more bool, err error) {
	switch d.peek() {
	case ',':
		d.at++
		return true, nil
	case closing:
		d.at++
		d.left++
		return false, nil
	default:
		return false, d.fail("no comma and no end")
	}
}

func (d *decoder) object() (map[string]any, error) {
	if err := d.enter(); err != nil {
		return nil, err
	}
	if d.peek() == '}' {
		_, err := d.next('}')
		return d.emptyObject(), err
	}
	object := map[string]any{}
	for more := true; more; {
		key, err := d.key()
		if err != nil {
			return nil, err
		}
		value, err := d.part(key)
		if err != nil {
			return nil, err
		}
		size := len(object)
		if object[key] = value; len(object) == size {
			return nil, d.fail("a key is given twice")
		}
		if more, err = d.next('}'); err != nil {
			return nil, err
		}
	}
	return object, nil
}

func (d *decoder) emptyObject() map[string]any {
	if d.empty != nil {
		return d.empty
	}
	return map[string]any{}
}

func (d *decoder) key() (string, error) {
	if d.peek() != '"' {
		return "", d.fail("no key")
	}
	key, err := d.string()
	if err != nil {
		return "", err
	}
	return key, d.colon()
}

func (d *decoder) colon() error {
	if d.peek() != ':' {
		return d.fail("no colon")
	}
	d.at++
	return nil
}

func (d *decoder) list() ([]any, error) {
	if err := d.enter(); err != nil {
		return nil, err
	}
	if d.peek() == ']' {
		_, err := d.next(']')
		return []any{}, err
	}
	start := len(d.items)
	for more := true; more; {
		value, err := d.part("")
		if err != nil {
			return nil, err
		}
		d.items = append(d.items, value)
		if more, err = d.next(']'); err != nil {
			return nil, err
		}
	}
	list := append(make([]any, 0, len(d.items)-start), d.items[start:]...)
	clear(d.items[start:])
	d.items = d.items[:start]
	return list, nil
}

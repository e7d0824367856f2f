package action

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
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
	return decodeObject(raw, maxDepth)
}

func decodeObject(raw []byte, depth int) (map[string]any, error) {
	d := decoder{text: string(raw), left: depth}
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
	case c == '-' || '0' <= c && c <= '9':
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

func (d *decoder) literal() (any, error) {
	rest := d.text[d.at:]
	switch {
	case strings.HasPrefix(rest, "true"):
		d.at += len("true")
		return true, nil
	case strings.HasPrefix(rest, "false"):
		d.at += len("false")
		return false, nil
	case strings.HasPrefix(rest, "null"):
		d.at += len("null")
		return nil, nil
	default:
		return nil, d.fail("no value")
	}
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
	object := map[string]any{}
	if d.peek() == '}' {
		_, err := d.next('}')
		return object, err
	}
	for more := true; more; {
		key, err := d.key()
		if err != nil {
			return nil, err
		}
		value, err := d.value()
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

func (d *decoder) key() (string, error) {
	if d.peek() != '"' {
		return "", d.fail("no key")
	}
	key, err := d.string()
	if err != nil {
		return "", err
	}
	if d.peek() != ':' {
		return "", d.fail("no colon")
	}
	d.at++
	return key, nil
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
		value, err := d.value()
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

// plain holds the bytes that stand for themselves within a string.
var plain = func() (plain [256]bool) {
	for c := range plain {
		plain[c] = c >= ' ' && c != '"' && c != '\\'
	}
	return plain
}()

// run reads bytes that stand for themselves.
func (d *decoder) run() string {
	start, text := d.at, d.text
	i := start
	for i < len(text) && plain[text[i]] {
		i++
	}
	d.at = i
	return text[start:i]
}

// string reads a string, which shares the text unless it holds escapes.
func (d *decoder) string() (string, error) {
	d.at++
	s := d.run()
	if d.at < len(d.text) && d.text[d.at] == '"' {
		d.at++
		return s, nil
	}
	d.buf = append(d.buf[:0], s...)
	for d.at < len(d.text) {
		switch d.text[d.at] {
		case '"':
			d.at++
			return string(d.buf), nil
		case '\\':
			r, err := d.escape()
			if err != nil {
				return "", err
			}
			d.buf = utf8.AppendRune(d.buf, r)
			d.buf = append(d.buf, d.run()...)
		default:
			return "", d.fail("a control character in a string")
		}
	}
	return "", d.fail("a string without end")
}

func (d *decoder) escape() (rune, error) {
	if d.at++; d.at >= len(d.text) {
		return 0, d.fail("a string without end")
	}
	c := d.text[d.at]
	if c == 'u' {
		return d.unicode()
	}
	if i := strings.IndexByte(`"\/bfnrt`, c); i >= 0 {
		d.at++
		return rune("\"\\/\b\f\n\r\t"[i]), nil
	}
	return 0, d.fail("an invalid escape in a string")
}

// unicode reads the escape of a character. Half a surrogate pair is no character.
func (d *decoder) unicode() (rune, error) {
	r, err := d.hex()
	if err != nil || !utf16.IsSurrogate(r) {
		return r, err
	}
	if strings.HasPrefix(d.text[d.at:], `\u`) {
		d.at++
		low, err := d.hex()
		if err != nil {
			return 0, err
		}
		if r = utf16.DecodeRune(r, low); r != utf8.RuneError {
			return r, nil
		}
	}
	return 0, d.fail("half a surrogate pair in a string")
}

func (d *decoder) hex() (rune, error) {
	if d.at+5 > len(d.text) {
		return 0, d.fail("a string without end")
	}
	n, err := strconv.ParseUint(d.text[d.at+1:d.at+5], 16, 16)
	if err != nil {
		return 0, d.fail("an invalid escape in a string")
	}
	d.at += 5
	return rune(n), nil
}

func (d *decoder) number() (any, error) {
	start := d.at
	if d.text[d.at] == '-' {
		d.at++
	}
	whole := d.digits()
	if whole == 0 || whole > 1 && d.text[d.at-whole] == '0' {
		return nil, d.fail("an invalid number")
	}
	integer := true
	if d.at < len(d.text) && d.text[d.at] == '.' {
		if d.at++; d.digits() == 0 {
			return nil, d.fail("an invalid number")
		}
		integer = false
	}
	if d.at < len(d.text) && d.text[d.at]|0x20 == 'e' {
		if d.at++; d.at < len(d.text) && (d.text[d.at] == '+' || d.text[d.at] == '-') {
			d.at++
		}
		if d.digits() == 0 {
			return nil, d.fail("an invalid number")
		}
		integer = false
	}
	return exact(d.text[start:d.at], integer), nil
}

func (d *decoder) digits() int {
	start := d.at
	for d.at < len(d.text) && '0' <= d.text[d.at] && d.text[d.at] <= '9' {
		d.at++
	}
	return d.at - start
}

// exact keeps -0 as it is written: as an integer it would lose its sign.
func exact(literal string, integer bool) any {
	if integer && literal != "-0" {
		if n, err := strconv.ParseInt(literal, 10, 64); err == nil {
			return n
		}
	}
	return json.Number(literal)
}

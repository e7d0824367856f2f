// Package jsontext writes JSON objects member by member, without asking a type for its fields: of what agents wait for, looking
// at types anew takes longer than deciding does. What is written shows nothing hidden.
package jsontext

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/countersign-dev/countersign/internal/legible"
)

// Writer writes the members of JSON objects. After an error what it has written means nothing.
type Writer struct {
	buf []byte
	err error
}

// Append returns a writer that appends to a text.
func Append(text []byte) Writer { return Writer{buf: text} }

// Bytes are the text that the writer began with and what it has written since, or why it could not write that.
func (w *Writer) Bytes() ([]byte, error) { return w.buf, w.err }

// Raw writes JSON, or a part of it, as it is.
func (w *Writer) Raw(text string) { w.buf = append(w.buf, text...) }

// Separate writes a comma, but before the first member or element, and at the beginning of a text.
func (w *Writer) Separate() {
	if len(w.buf) == 0 {
		return
	}
	if last := w.buf[len(w.buf)-1]; last != '{' && last != '[' {
		w.buf = append(w.buf, ',')
	}
}

// Member begins a member, the value of which is to follow. Its name needs no escapes.
func (w *Writer) Member(name string) {
	w.Separate()
	w.buf = append(append(append(w.buf, '"'), name...), `":`...)
}

// Text writes a member that is a text.
func (w *Writer) Text(name, text string) {
	w.Member(name)
	w.Value(text)
}

// Optional writes a member that is a text, unless that is empty.
func (w *Writer) Optional(name, text string) {
	if text != "" {
		w.Text(name, text)
	}
}

// Texts writes a member that is a list of texts, unless it is empty.
func (w *Writer) Texts(name string, list []string) {
	if len(list) == 0 {
		return
	}
	w.Member(name)
	w.buf = append(w.buf, '[')
	for _, text := range list {
		w.Separate()
		w.Value(text)
	}
	w.buf = append(w.buf, ']')
}

// Bool writes a member that is a truth value.
func (w *Writer) Bool(name string, is bool) {
	w.Member(name)
	w.buf = strconv.AppendBool(w.buf, is)
}

// Integer writes a member that is a whole number.
func (w *Writer) Integer(name string, n int64) {
	w.Member(name)
	w.buf = strconv.AppendInt(w.buf, n, 10)
}

// Time writes a member that is an instant, as RFC 3339 does. It fails where the year does not have four digits.
func (w *Writer) Time(name string, t time.Time) {
	w.Member(name)
	text, err := t.AppendText(append(w.buf, '"'))
	if err != nil {
		w.err = fmt.Errorf("writing %s: %w", name, err)
		return
	}
	w.buf = text
	w.buf = append(w.buf, '"')
}

// Object writes a member that is an object.
func (w *Writer) Object(name string, members func()) {
	w.Member(name)
	w.buf = append(w.buf, '{')
	members()
	w.buf = append(w.buf, '}')
}

// Each writes a member that is a list of objects, unless it is empty.
func Each[T any](w *Writer, name string, list []T, write func(*T, *Writer)) {
	for i := range list {
		if i == 0 {
			w.Member(name)
			w.buf = append(w.buf, '[')
		}
		w.Separate()
		w.buf = append(w.buf, '{')
		write(&list[i], w)
		w.buf = append(w.buf, '}')
	}
	if len(list) > 0 {
		w.buf = append(w.buf, ']')
	}
}

// Encoded writes a member of which encoding/json makes the value.
func (w *Writer) Encoded(name string, v any) {
	w.Member(name)
	w.encode(v)
}

func (w *Writer) encode(v any) {
	encoded, err := json.Marshal(v)
	if err != nil {
		w.err = fmt.Errorf("encoding %T: %w", v, err)
		return
	}
	w.buf = legible.JSON(w.buf, encoded)
}

// Value writes a text. Most are ASCII, with no more to escape than the quotes of a changed field's value.
func (w *Writer) Value(text string) {
	begun, start := len(w.buf), 0
	w.buf = append(w.buf, '"')
	for i := range len(text) {
		switch c := text[i]; {
		case plain[c]:
		case c == '"', c == '\\':
			w.buf = append(append(w.buf, text[start:i]...), '\\')
			start = i
		default:
			w.buf = w.buf[:begun]
			w.encode(text)
			return
		}
	}
	w.buf = append(append(w.buf, text[start:]...), '"')
}

// plain are the visible bytes that encoding/json writes as they are.
var plain = func() (table [256]bool) {
	for c := ' '; c <= '~'; c++ {
		table[c] = c != '"' && c != '\\' && c != '<' && c != '>' && c != '&'
	}
	return table
}()

package decisionlog

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/countersign-dev/countersign/internal/legible"
)

// writer writes the members of a JSON object. After an error what it writes means nothing.
type writer struct {
	line []byte
	err  error
}

// separate writes a comma, but before the first member or element.
func (w *writer) separate() {
	if last := w.line[len(w.line)-1]; last != '{' && last != '[' {
		w.line = append(w.line, ',')
	}
}

// member begins a member. Its name needs no escapes.
func (w *writer) member(name string) {
	w.separate()
	w.line = append(append(append(w.line, '"'), name...), `":`...)
}

func (w *writer) text(name, text string) {
	w.member(name)
	w.value(text)
}

// optional leaves an empty text out.
func (w *writer) optional(name, text string) {
	if text != "" {
		w.text(name, text)
	}
}

func (w *writer) integer(name string, n int64) {
	w.member(name)
	w.line = strconv.AppendInt(w.line, n, 10)
}

func (w *writer) time(name string, t time.Time) {
	w.member(name)
	line, err := t.AppendText(append(w.line, '"'))
	if err != nil {
		w.err = fmt.Errorf("writing %s: %w", name, err)
		return
	}
	w.line = line
	w.line = append(w.line, '"')
}

func (w *writer) object(name string, members func()) {
	w.member(name)
	w.line = append(w.line, '{')
	members()
	w.line = append(w.line, '}')
}

// writeEach writes a list of objects, unless it is empty.
func writeEach[T any](w *writer, name string, list []T, write func(*T, *writer)) {
	for i := range list {
		if i == 0 {
			w.member(name)
			w.line = append(w.line, '[')
		}
		w.separate()
		w.line = append(w.line, '{')
		write(&list[i], w)
		w.line = append(w.line, '}')
	}
	if len(list) > 0 {
		w.line = append(w.line, ']')
	}
}

// encoded writes what encoding/json makes of a value.
func (w *writer) encoded(name string, v any) {
	w.member(name)
	w.encode(v)
}

func (w *writer) encode(v any) {
	encoded, err := json.Marshal(v)
	if err != nil {
		w.err = fmt.Errorf("encoding %T: %w", v, err)
		return
	}
	w.line = legible.JSON(w.line, encoded)
}

// value writes a text. Most are ASCII, with no more to escape than the quotes of a changed field's value.
func (w *writer) value(text string) {
	begun, start := len(w.line), 0
	w.line = append(w.line, '"')
	for i := range len(text) {
		switch c := text[i]; {
		case plain[c]:
		case c == '"', c == '\\':
			w.line = append(append(w.line, text[start:i]...), '\\')
			start = i
		default:
			w.line = w.line[:begun]
			w.encode(text)
			return
		}
	}
	w.line = append(append(w.line, text[start:]...), '"')
}

// plain are the visible bytes that encoding/json writes as they are.
var plain = func() (table [256]bool) {
	for c := ' '; c <= '~'; c++ {
		table[c] = c != '"' && c != '\\' && c != '<' && c != '>' && c != '&'
	}
	return table
}()

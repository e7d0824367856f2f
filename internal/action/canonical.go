package action

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/countersign-dev/countersign/internal/legible"
)

// writer writes canonical JSON: sorted keys, no space, numbers by their literal, and no escapes but those of quotes,
// backslashes and control characters. Equal values give equal text, and different ones different text.
type writer struct {
	buf []byte
	// limit ends the writing soon after so many characters; 0 is none.
	limit int
	// printable escapes all that cannot be printed.
	printable bool
	// secret writes what stands for a secret value; nil writes the value.
	secret func(w *writer, v any)
	// mask writes true for times that differ at every attempt.
	mask bool
}

// value writes what stands in a zone.
func (w *writer) value(z zone, v any) {
	if w.full() {
		return
	}
	if w.secret != nil && z.hides(v) {
		w.secret(w, v)
		return
	}
	switch v := v.(type) {
	case nil:
		w.raw("null")
	case bool:
		w.buf = strconv.AppendBool(w.buf, v)
	case string:
		w.text(v)
	case int64:
		w.buf = strconv.AppendInt(w.buf, v, 10)
	case json.Number:
		w.raw(v.String())
	case float64:
		w.float(v)
	case map[string]any:
		w.object(z, v)
	case []any:
		w.list(z, v)
	default:
		// Only a target that was not decoded from JSON holds other types.
		w.text(fmt.Sprintf("%T %v", v, v))
	}
}

func (w *writer) object(z zone, object map[string]any) {
	keys := make([]string, 0, len(object))
	for key := range object {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	w.raw("{")
	for i, key := range keys {
		if w.full() {
			return
		}
		if i > 0 {
			w.raw(",")
		}
		w.text(key)
		w.raw(":")
		if w.mask && z == zoneAnnotations && isRestart(key, object[key]) {
			w.raw("true")
			continue
		}
		w.value(z.field(key), object[key])
	}
	w.raw("}")
}

func (w *writer) list(z zone, list []any) {
	w.raw("[")
	for i, element := range list {
		if w.full() {
			return
		}
		if i > 0 {
			w.raw(",")
		}
		w.value(z.element(), element)
	}
	w.raw("]")
}

// float writes a number as the API server does: the shortest that reads as the same.
func (w *writer) float(f float64) {
	text, err := json.Marshal(f)
	if err != nil {
		w.text(fmt.Sprint(f))
		return
	}
	w.buf = append(w.buf, text...)
}

func (w *writer) raw(s string) {
	w.buf = append(w.buf, s...)
}

func (w *writer) text(s string) {
	w.raw(`"`)
	if w.printable {
		w.readable(s)
	} else {
		w.bytes(s)
	}
	w.raw(`"`)
}

// bytes writes a text byte by byte: invalid UTF-8 stays what it is, so that different texts stay different.
func (w *writer) bytes(s string) {
	done := 0
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			w.raw(s[done:i])
			w.buf = append(w.buf, '\\', c)
			done = i + 1
		case c < ' ':
			w.raw(s[done:i])
			w.buf = fmt.Appendf(w.buf, `\u%04x`, c)
			done = i + 1
		}
	}
	w.raw(s[done:])
}

// readable writes a text for people, who can be deceived by what cannot be seen.
func (w *writer) readable(s string) {
	if w.limit > 0 && len(s) > utf8.UTFMax*w.limit {
		s = s[:utf8.UTFMax*w.limit]
	}
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			w.buf = append(w.buf, '\\', byte(r))
		case legible.Visible(r):
			w.buf = utf8.AppendRune(w.buf, r)
		case r < 0x10000:
			w.buf = fmt.Appendf(w.buf, `\u%04x`, r)
		default:
			high, low := utf16.EncodeRune(r)
			w.buf = fmt.Appendf(w.buf, `\u%04x\u%04x`, high, low)
		}
	}
}

func (w *writer) full() bool {
	return w.limit > 0 && len(w.buf) > utf8.UTFMax*w.limit
}

// cut returns the text, at most limit characters of it.
func (w *writer) cut() string {
	if utf8.RuneCount(w.buf) <= w.limit {
		return string(w.buf)
	}
	runes := bytes.Runes(w.buf)
	return string(runes[:w.limit-1]) + "…"
}

const restartedAtKey = "kubectl.kubernetes.io/restartedAt"

// isRestart says whether an annotation is the time that kubectl rollout restart writes. Any other text counts: a
// container could read it through the downward API.
func isRestart(key string, v any) bool {
	text, ok := v.(string)
	if key != restartedAtKey || !ok {
		return false
	}
	_, err := time.Parse(time.RFC3339, text)
	return err == nil
}

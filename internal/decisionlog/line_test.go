package decisionlog

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-dev/countersign/internal/legible"
)

func TestAppendLine(t *testing.T) {
	for name, text := range map[string]string{
		"names":       "shop-deploy-bot",
		"JSON":        `{"image":"web:1\\2"}`,
		"markup":      "<b>&amp;</b>",
		"hidden":      "\u202e\u007f\x00",
		"not UTF-8":   "a\xff",
		"beyond":      "\U000e0041 \U0001f600 é \u2028",
		"ends a line": "a\"}]}\n{",
	} {
		t.Run(name, func(t *testing.T) {
			event := &Event{}
			fill(t, reflect.ValueOf(event).Elem(), text)
			expectLine(t, event)
		})
	}
	t.Run("nothing", func(t *testing.T) { expectLine(t, &Event{}) })
	t.Run("a year without four digits", func(t *testing.T) {
		event := &Event{Time: time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)}
		if line, err := event.AppendLine(nil, ""); err == nil {
			t.Errorf("no error, but %s", line)
		}
	})
}

// fill sets every field, so that none is forgotten that is added.
func fill(t *testing.T, v reflect.Value, text string) {
	t.Helper()
	if v.Type() == reflect.TypeFor[time.Time]() {
		v.Set(reflect.ValueOf(time.Date(2026, 11, 26, 3, 0, 0, 1, time.UTC)))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(-7)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(t, v.Elem(), text)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range 2 {
			fill(t, v.Index(i), text)
		}
	case reflect.Struct:
		for _, field := range v.Fields() {
			fill(t, field, text)
		}
	default:
		t.Fatalf("the event has a field of type %s, which the test does not know", v.Type())
	}
}

// expectLine expects one line that shows nothing hidden and says what encoding/json says of the event.
func expectLine(t *testing.T, event *Event) {
	t.Helper()
	policies, err := AppendPolicies(nil, event.Data.Policies)
	if err != nil {
		t.Fatal(err)
	}
	line, err := event.AppendLine([]byte("before\n"), string(policies))
	if err != nil {
		t.Fatal(err)
	}
	before, line, _ := bytes.Cut(line, []byte{'\n'})
	if string(before) != "before" || bytes.Count(line, []byte{'\n'}) != 1 || !bytes.HasSuffix(line, []byte{'\n'}) {
		t.Errorf("not one line more: %s", line)
	}
	if shown := strings.TrimSuffix(string(line), "\n"); legible.Escape(shown) != shown {
		t.Errorf("holds what cannot be seen: %q", line)
	}
	plainly, err := json.Marshal(event)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(decoded(t, plainly), decoded(t, line)); diff != "" {
		t.Errorf("the line says something else (-encoding/json +line): %s", diff)
	}
}

func decoded(t *testing.T, text []byte) (v any) {
	t.Helper()
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return v
}

func BenchmarkAppendLine(b *testing.B) {
	event := &Event{
		SpecVersion: "1.0", ID: "e163977b-fe4b-462e-860b-402de986b9b1", Type: EventType, Time: time.Now().UTC(),
		Data: Record{
			Actor:   Actor{Username: "system:serviceaccount:ci:bot", Groups: []string{"system:serviceaccounts", "system:authenticated"}},
			Action:  Action{Operation: "UPDATE", Resource: "deployments", Changes: []Change{{"spec.image", `"web:1"`, `"web:2"`}}},
			Outcome: "Allow",
		},
	}
	policies, err := AppendPolicies(nil, make([]Policy, 10))
	if err != nil {
		b.Fatal(err)
	}
	var line []byte
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if line, err = event.AppendLine(line[:0], string(policies)); err != nil {
			b.Fatal(err)
		}
	}
}

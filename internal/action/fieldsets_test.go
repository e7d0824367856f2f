package action

import (
	"fmt"
	"strings"
	"testing"
)

// TestFieldSetsAreShared wants a set of fields to be read once, whatever reviews it comes in, unless it is long.
func TestFieldSetsAreShared(t *testing.T) {
	set := func(object string) any {
		t.Helper()
		o, err := decode("object", []byte(object))
		if err != nil {
			t.Fatal(err)
		}
		return o["metadata"].(map[string]any)["managedFields"].([]any)[0].(map[string]any)["fieldsV1"]
	}
	entry := func(name, fields string) string {
		return fmt.Sprintf(`{"metadata":{"name":%q,"managedFields":[{"fieldsV1":%s}]}}`, name, fields)
	}
	known := set(entry("a", `{"f:data":{"f:shared":{}}}`))
	if again := set(entry("b", `{"f:data":{"f:shared":{}}}`)); !same(known, again) {
		t.Error("a set that is known is read anew")
	}
	if other := set(entry("b", `{"f:data":{"f:other":{}}}`)); same(known, other) || equal(known, other) {
		t.Errorf("another set is %v", other)
	}
	long := fmt.Sprintf(`{"f:data":{"f:%s":{}}}`, strings.Repeat("x", maxFieldSet))
	if a, b := set(entry("a", long)), set(entry("a", long)); same(a, b) || !equal(a, b) {
		t.Error("a long set is remembered")
	}
}

// TestFieldSetsAreForgotten wants no more of them to be remembered than the bound, whoever writes how many.
func TestFieldSetsAreForgotten(t *testing.T) {
	var s fieldSets
	most := 0
	for i := range 10_000 {
		text := fmt.Sprintf(`{"f:data":{"f:%0100d":{}}}`, i)
		if set, err := s.decode(text); err != nil || set["f:data"] == nil {
			t.Fatalf("%v: %v", set, err)
		}
		held := 0
		for text := range s.read {
			held += len(text)
		}
		if most = max(most, held); held != s.size || held > maxFieldSets {
			t.Fatalf("%d bytes are held, %d are counted", held, s.size)
		}
	}
	if most < maxFieldSets/2 {
		t.Errorf("no more than %d bytes were ever held", most)
	}
}

// TestFieldSetsAreNoWayAround wants what may not be read not to be let through because it is known, or kept where it was not
// read to its end.
func TestFieldSetsAreNoWayAround(t *testing.T) {
	const levels = 1_000
	deep := strings.Repeat(`{"f:a":`, levels) + "{}" + strings.Repeat("}", levels)
	for range 2 {
		if _, err := decode("object", []byte(`{"metadata":{"managedFields":[{"fieldsV1":`+deep+`}]}}`)); err != nil {
			t.Fatal(err)
		}
		above := strings.Repeat(`{"metadata":`, maxDepth-levels+1)
		if _, err := decode("object", []byte(above+`{"fieldsV1":`+deep+`}`+strings.Repeat("}", maxDepth-levels+1))); err == nil {
			t.Error("content that is nested too deeply is read, because a part of it is known")
		}
		for _, fields := range []string{`{"f:a":{},"f:a":{}}`, `{"f:a":`, `{"f:a":{}`, `{"f:a":{}]`} {
			text := `{"metadata":{"managedFields":[{"fieldsV1":` + fields + `}]}}`
			_, err := decode("object", []byte(text))
			if _, plain := DecodeObject([]byte(text)); err == nil || !strings.HasSuffix(err.Error(), plain.Error()) {
				t.Errorf("%s: %v instead of %v", fields, err, plain)
			}
		}
	}
}

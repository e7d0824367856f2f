package action

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/countersign-dev/countersign/internal/reviewtest"
)

// FuzzTwins has an update normalised, of which the objects share what is the same, alone or in one review, and compares with what
// comes of objects that are decoded apart: the content, the changes, the hash, and what is said of what cannot be read.
func FuzzTwins(f *testing.F) {
	for _, r := range reviewtest.All(f) {
		if r.Object == nil {
			continue
		}
		old := r.OldObject
		if old == nil {
			old = r.Object
		}
		f.Add(old, r.Object)
		for _, mutant := range reviewtest.Mutants(f, [][]byte{r.Object}, 10) {
			f.Add(old, mutant)
			f.Add(mutant, old)
		}
	}
	hostile := hostileObjects()
	for i, before := range hostile {
		for _, after := range hostile[max(0, i-3):min(i+4, len(hostile))] {
			f.Add([]byte(before), []byte(after))
		}
	}
	f.Fuzz(func(t *testing.T, before, after []byte) {
		for _, resource := range []string{"deployments", "pods", "secrets", "services"} {
			checkTwins(t, Request{Operation: "UPDATE", Version: "v1", Resource: resource, Name: "web", OldObject: before, Object: after})
		}
	})
}

func TestRandomTwins(t *testing.T) {
	r := randomiser{rand.New(rand.NewPCG(1, 2))}
	for range 5_000 {
		before := r.object(5)
		after := r.mutate(before)
		for range r.IntN(3) {
			after = r.mutate(after)
		}
		checkTwins(t, Request{Operation: "UPDATE", Version: "v1", Resource: "pods", OldObject: []byte(canonicalText(before)), Object: []byte(canonicalText(after))})
	}
}

func checkTwins(t *testing.T, r Request) {
	t.Helper()
	checkShared(t, r)
	checkShared(t, carry(r))
}

// carry has a review carry the objects of a request, which are decoded with it where that is possible.
func carry(r Request) Request {
	if !utf8.Valid(r.Object) || !utf8.Valid(r.OldObject) || !json.Valid(r.Object) || !json.Valid(r.OldObject) {
		return r
	}
	c := Carry(slices.Concat(r.Object, []byte(","), r.OldObject), 0)
	defer c.Close()
	object, err := c.Twin()
	if err != nil || !c.Pass(",") {
		return r
	}
	old, err := c.Twin()
	if err != nil {
		return r
	}
	r.Decoded = Decoded{Object: object.Object, OldObject: old.Object}
	return r
}

func checkShared(t *testing.T, r Request) {
	t.Helper()
	facts := KindFacts{Kind: "Kind", PreferredVersion: "v1", HasStatus: r.Resource != "secrets"}
	got, gotErr := Normalise(r, Facts{Kind: facts})
	want, wantErr := apart(r, facts)
	if fmt.Sprint(gotErr) != fmt.Sprint(wantErr) {
		t.Fatalf("the error is %v, want %v", gotErr, wantErr)
	}
	if gotErr != nil {
		return
	}
	if hash := hasher.Hash(got); hash != hasher.Hash(want) {
		t.Errorf("the hash is %s, want %s", hash, hasher.Hash(want))
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the action is\n%s of %s\nand %s, want\n%s of %s\nand %s", changesText(got.Changes), canonicalText(got.Old), canonicalText(got.New),
			changesText(want.Changes), canonicalText(want.Old), canonicalText(want.New))
	}
}

// apart normalises an update without sharing anything.
func apart(r Request, k KindFacts) (*Action, error) {
	objects := map[string]map[string]any{}
	for _, part := range []struct {
		name string
		raw  []byte
	}{{"oldObject", r.OldObject}, {"object", r.Object}} {
		if len(part.raw) == 0 {
			return nil, &DecodeError{Part: part.name, Err: errMissing}
		}
		object, err := DecodeObject(part.raw)
		if err != nil {
			return nil, &DecodeError{Part: part.name, Err: err}
		}
		objects[part.name] = object
	}
	return Between(r, k, objects["oldObject"], objects["object"])
}

// hostileObjects are alike, and each has something that no API server sends, or what sharing could get wrong.
func hostileObjects() []string {
	texts := []string{"", "null", "[]", "{}", ` {"a" : {"long enough": 1} } `, `{"a":{"long enough":1}}x`}
	deep := func(n int, leaf string) string { return strings.Repeat(`{"a":`, n) + leaf + strings.Repeat(`}`, n) }
	for _, spec := range []string{
		`{}`, `null`, `[]`, `""`, `0`, `-0`, `1e400`, `1.0`, `1`, `9223372036854775808`, `123456789012345678901234567890`,
		`"a text that is long"`, `"a text that is long\u0021"`, `"a text that is long`, `"\ud800 half a pair, long"`, "\"not UTF-8, and long \xff\"",
		`{"name":"long enough"}`, `{"name":"long enough","name":"long enough"}`, `{"n\u0061me":"long enough"}`, `{"name": "long enough"}`,
		`{"other":1,"name":{"k":"long enough"}}`, `{"name":{"k":"long enough"}}`, `{"name":{"k":"long enough"},"other":{"k":"long enough"}}`,
		`{"other":{"k":"long enough"},"name":{"k":"long enough"}}`, `{"name":{"k":"long enough","k":1}}`,
		`[{"name":"a","value":"long enough"},{"name":"b","value":"long enough"}]`, `[{"name":"b","value":"long enough"},{"name":"a","value":"long enough"}]`,
		`[{"name":"b","value":"long enough"}]`, `[{"name":"a","value":"long enough"},{"name":"a","value":"long enough"}]`,
		deep(9_998, `{}`), deep(9_998, `{"long enough":true}`), deep(9_999, `1`), deep(9_999, `{"long enough":true}`), deep(40, `"long enough to share"`),
		deep(40, `"long enough to shar."`),
	} {
		texts = append(texts, `{"metadata":{"name":"web","uid":"1"},"spec":`+spec+`}`)
	}
	for _, fields := range []string{
		`{"f:spec":{"f:a":{}}}`, `{"f:spec":{"f:a":1}}`, `{"f:spec":{"f:a":1,"f:b":{}}}`, `{"f:spec":{"f:a":{".":1,"f:b":{}}}}`, deep(300, `{}`), deep(300, `{"f:b":{}}`),
	} {
		entry := `{"manager":"%s","operation":"Update","fieldsType":"FieldsV1","fieldsV1":` + fields + `}`
		texts = append(texts, `{"metadata":{"managedFields":[`+fmt.Sprintf(entry, "a")+`]}}`,
			`{"metadata":{"managedFields":[`+fmt.Sprintf(entry, "a")+`,`+fmt.Sprintf(entry, "b")+`]}}`,
			`{"spec":{"a":1},"metadata":{"managedFields":[`+fmt.Sprintf(entry, "b")+`,`+fmt.Sprintf(entry, "a")+`]}}`)
	}
	return texts
}

// TestTwinsShare sees to it that what is the same is read once.
func TestTwinsShare(t *testing.T) {
	a := normalised(t, "deployment-set-image.1")
	for _, path := range [][]string{{"metadata", "labels"}, {"spec", "selector"}, {"spec", "template", "metadata"}, {"spec", "strategy"}} {
		if before, after := at(a.Old, path...), at(a.New, path...); !before.Present || !same(before.V, after.V) {
			t.Errorf("%v is not shared", path)
		}
	}
	if same(a.Old, a.New) || same(at(a.Old, "spec").V, at(a.New, "spec").V) {
		t.Error("what differs is shared")
	}
}

// TestRun compares with reading byte by byte.
func TestRun(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	alphabet := []byte("abc\x00\x1f \x7f\x80\xff\"\\#[]!\xa2\xdc")
	for range 20_000 {
		text := make([]byte, r.IntN(40))
		for i := range text {
			if text[i] = byte(r.IntN(256)); r.IntN(4) > 0 {
				text[i] = alphabet[r.IntN(len(alphabet))]
			}
			if r.IntN(8) > 0 {
				text[i] |= 0x60
			}
		}
		want := 0
		for want < len(text) && plain[text[want]] {
			want++
		}
		d := decoder{text: string(text)}
		if got := d.run(); got != string(text[:want]) || d.at != want {
			t.Fatalf("of %q it reads %q, want %q", text, got, text[:want])
		}
	}
}

// TestMarksHoldNothing wants slices of marks that are used again to hold no part of the object for which they served.
func TestMarksHoldNothing(t *testing.T) {
	twins := &twins{}
	text := `{"metadata":{"name":"web-1","labels":{"a":"b"},"annotations":{"long":"0123456789abcdef"}},"spec":[{"x":"1"},{"y":"0123456789abcdef"}],"short":"1"}`
	if _, err := decodeBy(twins.decode, "object", []byte(text)); err != nil {
		t.Fatal(err)
	}
	marks := twins.marks
	if len(marks) == 0 {
		t.Fatal("there are no marks")
	}
	twins.release()
	for i, m := range marks[:cap(marks)] {
		if m.key != "" || m.value != nil {
			t.Errorf("mark %d holds %q: %v", i, m.key, m.value)
		}
	}
}

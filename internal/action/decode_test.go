package action

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestDecodeObject(t *testing.T) {
	for name, tc := range map[string]struct {
		raw     string
		want    map[string]any
		wantErr string
	}{
		"empty object":         {raw: ` { } `, want: map[string]any{}},
		"scalars":              {raw: `{"a":null,"b":true,"c":false,"d":"x"}`, want: map[string]any{"a": nil, "b": true, "c": false, "d": "x"}},
		"lists and objects":    {raw: `{"a":[{},[],[1,[2]]]}`, want: map[string]any{"a": []any{map[string]any{}, []any{}, []any{int64(1), []any{int64(2)}}}}},
		"integers":             {raw: `{"a":9223372036854775807,"b":-9223372036854775808}`, want: map[string]any{"a": int64(9223372036854775807), "b": int64(-9223372036854775808)}},
		"integer beyond int64": {raw: `{"a":9223372036854775808}`, want: map[string]any{"a": json.Number("9223372036854775808")}},
		"fractions":            {raw: `{"a":1.0,"b":1.10,"c":1e3,"d":-0,"e":0.1E+2}`, want: map[string]any{"a": json.Number("1.0"), "b": json.Number("1.10"), "c": json.Number("1e3"), "d": json.Number("-0"), "e": json.Number("0.1E+2")}},
		"escapes":              {raw: `{"\u0061\n":"\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00x\ufffd"}`, want: map[string]any{"a\n": "\"\\/\b\f\n\r\té😀x\ufffd"}},
		"deep":                 {raw: `{"a":` + strings.Repeat("[", maxDepth-1) + strings.Repeat("]", maxDepth-1) + `}`, want: map[string]any{"a": nested(maxDepth - 1)}},

		"nothing":              {raw: ``, wantErr: "not a JSON object"},
		"null":                 {raw: `null`, wantErr: "not a JSON object"},
		"list":                 {raw: `[{}]`, wantErr: "not a JSON object"},
		"too deep":             {raw: `{"a":` + strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth) + `}`, wantErr: "nested too deeply"},
		"more text":            {raw: `{}{}`, wantErr: "byte 2: text after the object"},
		"key twice":            {raw: `{"a":1,"b":2,"\u0061":3}`, wantErr: "a key is given twice"},
		"no end":               {raw: `{"a":[1,2`, wantErr: "no comma and no end"},
		"no colon":             {raw: `{"a" 1}`, wantErr: "no colon"},
		"no key":               {raw: `{a:1}`, wantErr: "no key"},
		"trailing comma":       {raw: `{"a":1,}`, wantErr: "no key"},
		"leading zero":         {raw: `{"a":01}`, wantErr: "an invalid number"},
		"plus":                 {raw: `{"a":+1}`, wantErr: "no value"},
		"dot":                  {raw: `{"a":1.}`, wantErr: "an invalid number"},
		"no exponent":          {raw: `{"a":1e}`, wantErr: "an invalid number"},
		"control character":    {raw: "{\"a\":\"x\ny\"}", wantErr: "a control character in a string"},
		"control after escape": {raw: "{\"a\":\"\\tx\ny\"}", wantErr: "a control character in a string"},
		"invalid UTF-8":        {raw: "{\"a\":\"\xff\"}", wantErr: "not UTF-8"},
		"invalid after escape": {raw: "{\"a\":\"\\t\xff\"}", wantErr: "not UTF-8"},
		"unknown escape":       {raw: `{"a":"\x"}`, wantErr: "an invalid escape in a string"},
		"half a pair":          {raw: `{"a":"\ud800"}`, wantErr: "half a surrogate pair in a string"},
		"low half":             {raw: `{"a":"\udc00\ud800"}`, wantErr: "half a surrogate pair in a string"},
		"half and a character": {raw: `{"a":"\ud800\u0041"}`, wantErr: "half a surrogate pair in a string"},
		"half beside itself":   {raw: `{"a":"\\ufffd \ud800"}`, wantErr: "half a surrogate pair in a string"},
		"short escape":         {raw: `{"a":"\u12`, wantErr: "a string without end"},
		"string without end":   {raw: `{"a":"x`, wantErr: "a string without end"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := DecodeObject([]byte(tc.raw))
			if tc.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tc.wantErr) {
					t.Fatalf("error %v, want %q", err, tc.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !equal(got, tc.want) {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

func nested(depth int) any {
	var v any = []any{}
	for range depth - 1 {
		v = []any{v}
	}
	return v
}

func TestDecodeObjectDoesNotShareItsInput(t *testing.T) {
	raw := []byte(`{"key":"value"}`)
	object, err := DecodeObject(raw)
	if err != nil {
		t.Fatal(err)
	}
	copy(raw, `{"xxx":"xxxxx"}`)
	if diff := cmp.Diff(map[string]any{"key": "value"}, object); diff != "" {
		t.Error(diff)
	}
}

// FuzzDecodeObject compares with encoding/json, which accepts more.
func FuzzDecodeObject(f *testing.F) {
	for _, seed := range []string{
		`{"a":[1,-2.5e3,"x\u00e9\ud83d\ude00",{"b":null}],"c":true}`, `{"a":1,"a":2}`, `{"a":"\ud800"}`, `{"":{}}`, ` {"a" : [ ] } `,
		`{"a":9223372036854775808,"b":-0}`, "{\"a\":\"\xff\"}", `{"a":[[[[]]]]}`,
	} {
		f.Add([]byte(seed))
	}
	for _, object := range objects(f) {
		f.Add(object)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, err := DecodeObject(raw)
		checkCarried(t, raw, got, err)
		var want map[string]any
		decoder := json.NewDecoder(bytes.NewReader(raw))
		decoder.UseNumber()
		wantErr := decoder.Decode(&want)
		if wantErr == nil && decoder.More() {
			wantErr = errNotObject
		}
		switch {
		case err != nil && wantErr == nil:
			if !stricter(raw, err) {
				t.Errorf("refused: %v", err)
			}
		case err == nil && (wantErr != nil || want == nil):
			t.Errorf("accepted, but encoding/json says %v", wantErr)
		case err == nil && !equal(got, exactly(want)):
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

// another is an object that most texts share nothing with.
const another = `{"a":{"b":["c","what two objects share"]}}`

// checkCarried has the text be carried by a review: alone, after one that is the same, and after another one. Only a key that is
// given twice is not noticed there.
func checkCarried(t *testing.T, raw []byte, want map[string]any, decoded error) {
	t.Helper()
	if !utf8.Valid(raw) {
		return
	}
	for _, before := range []string{"", string(raw), another} {
		for _, read := range []func(*Carrier) (Carried, error){(*Carrier).Object, (*Carrier).Twin} {
			c := Carry([]byte(before+`,`+string(raw)), 0)
			if before != "" {
				if _, err := read(c); err != nil {
					c.Close()
					continue
				}
			}
			if isNext := c.Pass(","); !isNext {
				c.Close()
				continue // the first is more than one value
			}
			carried, err := read(c)
			switch {
			case decoded == nil && err != nil && !strings.Contains(err.Error(), "nested too deeply"):
				t.Errorf("what can be decoded is not carried: %v", err)
			case err == nil && decoded != nil && json.Valid(raw) && !stricter(raw, decoded) && !strings.Contains(decoded.Error(), "not a JSON object"):
				t.Errorf("what cannot be decoded is carried: %v", decoded)
			case err == nil && c.Ended():
				checkOneCarried(t, raw, carried, want)
			}
			c.Close()
		}
	}
}

func checkOneCarried(t *testing.T, raw []byte, carried Carried, want map[string]any) {
	t.Helper()
	if string(carried.Raw) != strings.Trim(string(raw), " \t\r\n") || !json.Valid(carried.Raw) {
		t.Errorf("%q is carried as %q", raw, carried.Raw)
	}
	if (carried.Object == nil) != (want == nil) || !equal(carried.Object, want) {
		t.Errorf("%q is carried as %v, want %v", raw, carried.Object, want)
	}
}

// stricter says whether an error is one of those that encoding/json does not know.
func stricter(raw []byte, err error) bool {
	switch text := err.Error(); {
	case strings.Contains(text, "a key is given twice"), strings.Contains(text, "half a surrogate pair"):
		return true
	case strings.Contains(text, "not UTF-8"):
		return !utf8.Valid(raw)
	case strings.Contains(text, "text after the object"):
		return true // a decoder reads one value of several
	default:
		return strings.Contains(text, "not a JSON object") && bytes.HasPrefix(bytes.TrimSpace(raw), []byte("null"))
	}
}

// exactly turns the numbers of encoding/json into those of DecodeObject.
func exactly(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key := range v {
			v[key] = exactly(v[key])
		}
	case []any:
		for i := range v {
			v[i] = exactly(v[i])
		}
	case json.Number:
		return exact(v.String(), !strings.ContainsAny(v.String(), ".eE"))
	}
	return v
}

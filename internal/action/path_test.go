package action

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

func TestPathString(t *testing.T) {
	for name, tc := range map[string]struct {
		path Path
		want string
	}{
		"nothing":         {path: nil, want: ""},
		"fields":          {path: fields("spec", "replicas"), want: "spec.replicas"},
		"list key":        {path: Path{{Field: "spec"}, {Field: "containers"}, keyed("name", "web"), {Field: "image"}}, want: "spec.containers[name=web].image"},
		"several keys":    {path: Path{{Field: "ports"}, {Keys: []Key{{"containerPort", int64(80)}, {"protocol", "TCP"}}}}, want: "ports[containerPort=80,protocol=TCP]"},
		"annotation":      {path: fields("metadata", "annotations", "a/b.c"), want: `metadata.annotations["a/b.c"]`},
		"plain key":       {path: fields("data", "key"), want: "data.key"},
		"empty key":       {path: fields("data", ""), want: `data[""]`},
		"first is quoted": {path: fields("a.b", "c"), want: `["a.b"].c`},
		"slashes":         {path: Path{{Field: "volumeMounts"}, keyed("mountPath", "/var/run")}, want: "volumeMounts[mountPath=/var/run]"},
		"number as text":  {path: Path{{Field: "env"}, keyed("name", "80")}, want: `env[name="80"]`},
		"truth as text":   {path: Path{{Field: "env"}, keyed("name", "true")}, want: `env[name="true"]`},
		"truth":           {path: Path{{Field: "x"}, {Keys: []Key{{"on", true}}}}, want: "x[on=true]"},
		"large number":    {path: Path{{Field: "x"}, {Keys: []Key{{"id", json.Number("12345678901234567890")}}}}, want: "x[id=12345678901234567890]"},
		"tricks":          {path: Path{{Field: "a\x1b[2J\u202e"}, keyed("name", `x]"y,z=*`)}, want: `["a\x1b[2J\u202e"][name="x]\"y,z=*"]`},
		"empty value":     {path: Path{{Field: "env"}, keyed("name", "")}, want: `env[name=""]`},
	} {
		t.Run(name, func(t *testing.T) {
			got := tc.path.String()
			if got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
			if len(tc.path) == 0 {
				return
			}
			pattern, err := ParsePattern(got)
			if err != nil {
				t.Fatalf("the path is no pattern: %v", err)
			}
			if !pattern.Covers(tc.path) {
				t.Error("the path read as a pattern does not cover the path")
			}
			if pattern.String() != got {
				t.Errorf("the pattern reads %s", pattern)
			}
		})
	}
}

func TestPathOrder(t *testing.T) {
	ordered := []Path{
		fields("a"),
		fields("a", "b"),
		{{Field: "a"}, {Field: "ports"}},
		{{Field: "a"}, {Field: "ports"}, {Keys: []Key{{"port", int64(9)}}}},
		{{Field: "a"}, {Field: "ports"}, {Keys: []Key{{"port", int64(80)}}}},
		{{Field: "a"}, {Field: "ports"}, {Keys: []Key{{"port", int64(80)}}}, {Field: "x"}},
		{{Field: "a"}, {Field: "ports"}, {Keys: []Key{{"port", "80"}}}},
		fields("a.b"),
		fields("b"),
	}
	for i, p := range ordered {
		for j, q := range ordered {
			if got := p.compare(q); got < 0 != (i < j) || got > 0 != (i > j) {
				t.Errorf("comparing %s with %s: %d", p, q, got)
			}
		}
	}
}

func TestParsePattern(t *testing.T) {
	web := Path{{Field: "spec"}, {Field: "template"}, {Field: "spec"}, {Field: "containers"}, keyed("name", "web")}
	image := append(slices.Clip(web), Segment{Field: "image"})
	port := Path{{Field: "ports"}, {Keys: []Key{{"containerPort", int64(80)}, {"protocol", "TCP"}}}}
	for name, tc := range map[string]struct {
		pattern   string
		covers    []Path
		coversNot []Path
	}{
		"a field and what is under it": {
			pattern: "spec.template", covers: []Path{image, fields("spec", "template")},
			coversNot: []Path{fields("spec"), fields("spec", "templates"), fields("status", "template"), {}},
		},
		"any element": {
			pattern:   "spec.template.spec.containers[*].image",
			covers:    []Path{image},
			coversNot: []Path{web, web[:4], fields("spec", "template", "spec", "initContainers", "x", "image")},
		},
		"one element": {
			pattern:   "spec.template.spec.containers[name=web]",
			covers:    []Path{web, image},
			coversNot: []Path{append(web[:4:4], keyed("name", "web2")), append(web[:4:4], Segment{Field: "web"})},
		},
		"an element by all keys":     {pattern: "ports[containerPort=80,protocol=TCP]", covers: []Path{port}},
		"in any order":               {pattern: "ports[protocol=TCP,containerPort=80]", covers: []Path{port}},
		"by some keys":               {pattern: "ports[containerPort=80]", covers: []Path{port}},
		"a number in quotes is text": {pattern: `ports[containerPort="80"]`, coversNot: []Path{port}},
		"text that is a number":      {pattern: "env[name=80]", covers: []Path{{{Field: "env"}, keyed("name", "80")}}},
		"another key":                {pattern: "ports[name=http]", coversNot: []Path{port}},
		"any key of a map":           {pattern: "data[*]", covers: []Path{fields("data", "a/b"), fields("data", "c", "d")}, coversNot: []Path{fields("data")}},
		"a quoted key":               {pattern: `metadata.annotations["a/b"]`, covers: []Path{fields("metadata", "annotations", "a/b")}, coversNot: []Path{fields("metadata", "annotations", "a", "b"), fields("metadata", "annotations")}},
		"a plain key in quotes":      {pattern: `data["key"]`, covers: []Path{fields("data", "key")}},
		"a quoted field at first":    {pattern: `["a.b"].c`, covers: []Path{fields("a.b", "c")}},
		"a number in quotes":         {pattern: `data["0"]`, covers: []Path{fields("data", "0")}},
	} {
		t.Run(name, func(t *testing.T) {
			pattern, err := ParsePattern(tc.pattern)
			if err != nil {
				t.Fatal(err)
			}
			for _, path := range tc.covers {
				if !pattern.Covers(path) {
					t.Errorf("does not cover %s", path)
				}
			}
			for _, path := range tc.coversNot {
				if pattern.Covers(path) {
					t.Errorf("covers %s", path)
				}
			}
		})
	}
}

func TestZeroPatternCoversNothing(t *testing.T) {
	if (Pattern{}).Covers(fields("a")) || (Pattern{}).Covers(nil) {
		t.Error("it covers something")
	}
}

func TestParsePatternErrors(t *testing.T) {
	for pattern, want := range map[string]string{
		"":                        "position 1: a field name is missing: write a path such as",
		"spec.":                   "position 6: a field name is missing",
		".spec":                   "position 1: a field name is missing before the dot: begin with a field",
		"spec..x":                 "position 6: a field name is missing before the dot",
		"/spec/replicas":          "position 1: this looks like a JSON pointer: separate fields by dots",
		"spec.*":                  `position 6: "*" stands alone: write [*]`,
		"spec containers":         "position 5: a field begins without a dot",
		"spec.a/b":                "position 7: a field begins without a dot",
		"containers[0].image":     "position 12: elements of a list are chosen by key, not by position: write [name=...] for one of them or [*] for all",
		"containers[-1]":          "position 12: elements of a list are chosen by key",
		"containers[]":            "position 12: neither a key nor a quoted name",
		"containers[web]":         `position 15: neither a key nor a quoted name: write [name=web]`,
		"containers[=web]":        "position 12: neither a key nor a quoted name",
		"containers[name=]":       "position 17: a key without a value: write the whole value",
		"containers[name=web-*]":  "position 21: the bracket is not closed here",
		"containers[*":            "position 13: the bracket is not closed here",
		"containers[name=web":     "position 20: the bracket is not closed here",
		"containers[name=a,]":     "position 19: a key without a value: write name=value",
		`annotations["a/b]`:       "position 13: a quoted text that cannot be read",
		"spec.é":                  "position 6: this character cannot stand in a field name",
		"spec[*]image":            "position 8: a field begins without a dot",
		strings.Repeat("a", 2000): "it is too long: write at most 1024 bytes",
	} {
		t.Run(pattern[:min(len(pattern), 32)], func(t *testing.T) {
			got, err := ParsePattern(pattern)
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error %v, want %q", err, want)
			}
			if len(got.segments) > 0 {
				t.Error("a pattern was returned with the error")
			}
		})
	}
}

func FuzzParsePattern(f *testing.F) {
	for _, seed := range []string{
		"spec.template.spec.containers[*].image", "a[name=web].b", `a["x\"y"].c[containerPort=80,protocol=TCP]`, "[0]", "a[", `["`, "a[=", "a..b",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		pattern, err := ParsePattern(s)
		if err != nil {
			if len(err.Error()) > 2000 {
				t.Error("a long error")
			}
			return
		}
		again, err := ParsePattern(pattern.String())
		if err != nil {
			if len(pattern.String()) > maxPatternLength {
				return // escapes are longer than what they stand for
			}
			t.Fatalf("%q reads back as %q: %v", s, pattern, err)
		}
		if again.String() != pattern.String() || len(again.segments) != len(pattern.segments) {
			t.Errorf("%q reads back as %q and then %q", s, pattern, again)
		}
	})
}

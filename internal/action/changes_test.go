package action

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-dev/countersign/internal/reviewtest"
)

func mustDecode(tb testing.TB, raw string) map[string]any {
	tb.Helper()
	object, err := DecodeObject([]byte(raw))
	if err != nil {
		tb.Fatalf("%v in %.200s", err, raw)
	}
	return object
}

func TestDiff(t *testing.T) {
	for name, tc := range map[string]struct {
		from, to string
		want     []string
	}{
		"nothing":          {from: `{"a":{"b":[1,{"c":null}]}}`, to: `{"a":{"b":[1,{"c":null}]}}`},
		"a scalar":         {from: `{"a":{"b":1}}`, to: `{"a":{"b":2}}`, want: []string{"a.b: 1 -> 2"}},
		"number and text":  {from: `{"a":1}`, to: `{"a":"1"}`, want: []string{`a: 1 -> "1"`}},
		"a large integer":  {from: `{"a":9007199254740993}`, to: `{"a":9007199254740992}`, want: []string{"a: 9007199254740993 -> 9007199254740992"}},
		"larger integers":  {from: `{"a":12345678901234567890}`, to: `{"a":12345678901234567891}`, want: []string{"a: 12345678901234567890 -> 12345678901234567891"}},
		"absent and null":  {from: `{}`, to: `{"a":null}`, want: []string{"a: absent -> null"}},
		"null and absent":  {from: `{"a":null}`, to: `{}`, want: []string{"a: null -> absent"}},
		"absent and empty": {from: `{}`, to: `{"a":{},"b":[],"c":""}`, want: []string{"a: absent -> {}", "b: absent -> []", `c: absent -> ""`}},
		"empties":          {from: `{"a":{},"b":[],"c":""}`, to: `{"a":[],"b":"","c":{}}`, want: []string{"a: {} -> []", `b: [] -> ""`, `c: "" -> {}`}},
		"kinds":            {from: `{"a":{"b":1}}`, to: `{"a":[{"name":"b"}]}`, want: []string{`a: {"b":1} -> [{"name":"b"}]`}},
		"sorted":           {from: `{"b":1,"a":{"y":1,"x":1},"a.b":1}`, to: `{"b":2,"a":{"y":2,"x":2},"a.b":2}`, want: []string{"a.x: 1 -> 2", "a.y: 1 -> 2", `["a.b"]: 1 -> 2`, "b: 1 -> 2"}},

		"the first annotation":       {from: `{"metadata":{}}`, to: `{"metadata":{"annotations":{"a":"1"}}}`, want: []string{`metadata.annotations.a: absent -> "1"`}},
		"the last annotation":        {from: `{"metadata":{"annotations":{"a":"1"},"x":1}}`, to: `{"metadata":{"x":1}}`, want: []string{`metadata.annotations.a: "1" -> absent`}},
		"emptied, but there":         {from: `{"annotations":{"a":"1"}}`, to: `{"annotations":{}}`, want: []string{`annotations: {"a":"1"} -> {}`}},
		"filled":                     {from: `{"annotations":{}}`, to: `{"annotations":{"a":"1"}}`, want: []string{`annotations.a: absent -> "1"`}},
		"a subtree":                  {from: `{}`, to: `{"a":{"b":{"c":1}}}`, want: []string{`a: absent -> {"b":{"c":1}}`}},
		"from null":                  {from: `{"a":null}`, to: `{"a":{"b":1}}`, want: []string{`a: null -> {"b":1}`}},
		"a map with a null in it":    {from: `{}`, to: `{"a":{"b":null}}`, want: []string{`a: absent -> {"b":null}`}},
		"a list with keys":           {from: `{}`, to: `{"env":[{"name":"A"},{"name":"B"}]}`, want: []string{`env[name=A]: absent -> {"name":"A"} (1)`, `env[name=B]: absent -> {"name":"B"} (2)`}},
		"a list with keys is gone":   {from: `{"env":[{"name":"A"}]}`, to: `{}`, want: []string{`env[name=A]: {"name":"A"} -> absent`}},
		"a list with keys is empty":  {from: `{"env":[{"name":"A"}]}`, to: `{"env":[]}`, want: []string{`env: [{"name":"A"}] -> []`}},
		"a list with keys is filled": {from: `{"env":[]}`, to: `{"env":[{"name":"A"}]}`, want: []string{`env[name=A]: absent -> {"name":"A"}`}},

		"an element": {
			from: `{"containers":[{"name":"a","image":"1"},{"name":"b","image":"1"}]}`,
			to:   `{"containers":[{"name":"a","image":"1"},{"name":"b","image":"2"}]}`,
			want: []string{`containers[name=b].image: "1" -> "2"`},
		},
		"one removed, one added": {
			from: `{"containers":[{"name":"a"},{"name":"b"},{"name":"c"}]}`,
			to:   `{"containers":[{"name":"b"},{"name":"c"},{"name":"d"}]}`,
			want: []string{`containers[name=a]: {"name":"a"} -> absent`, `containers[name=d]: absent -> {"name":"d"}`},
		},
		"several added in an order": {
			from: `{"env":[{"name":"x"}]}`, to: `{"env":[{"name":"x"},{"name":"c"},{"name":"b"}]}`,
			want: []string{`env[name=b]: absent -> {"name":"b"} (2)`, `env[name=c]: absent -> {"name":"c"} (1)`},
		},
		"another order": {
			from: `{"env":[{"name":"a"},{"name":"b"}]}`, to: `{"env":[{"name":"b"},{"name":"a"}]}`,
			want: []string{`env: [{"name":"a"},{"name":"b"}] -> [{"name":"b"},{"name":"a"}]`},
		},
		"inserted in the middle": {
			from: `{"env":[{"name":"a"},{"name":"b"}]}`, to: `{"env":[{"name":"a"},{"name":"c"},{"name":"b"}]}`,
			want: []string{`env: [{"name":"a"},{"name":"b"}] -> [{"name":"a"},{"name":"c"},{"name":"b"}]`},
		},
		"given twice": {
			from: `{"env":[{"name":"a","value":"1"}]}`, to: `{"env":[{"name":"a","value":"1"},{"name":"a","value":"2"}]}`,
			want: []string{`env: [{"name":"a","value":"1"}] -> [{"name":"a","value":"1"},{"name":"a","value":"2"}]`},
		},
		"given twice, and stays": {
			from: `{"x":1,"env":[{"name":"a","value":"1"},{"name":"a","value":"2"}]}`,
			to:   `{"x":2,"env":[{"name":"a","value":"1"},{"name":"a","value":"2"}]}`,
			want: []string{"x: 1 -> 2"},
		},
		"an empty element":    {from: `{"ingress":[]}`, to: `{"ingress":[{}]}`, want: []string{`ingress: [] -> [{}]`}},
		"a null element":      {from: `{"env":[{"name":"a"}]}`, to: `{"env":[{"name":"a"},null]}`, want: []string{`env: [{"name":"a"}] -> [{"name":"a"},null]`}},
		"a null key":          {from: `{"env":[{"name":"a"}]}`, to: `{"env":[{"name":null}]}`, want: []string{`env: [{"name":"a"}] -> [{"name":null}]`}},
		"an object as key":    {from: `{"env":[{"name":{"x":1}}]}`, to: `{"env":[{"name":{"x":2}}]}`, want: []string{`env: [{"name":{"x":1}}] -> [{"name":{"x":2}}]`}},
		"text and number":     {from: `{"env":[{"name":"1"}]}`, to: `{"env":[{"name":1}]}`, want: []string{`env[name=1]: absent -> {"name":1}`, `env[name="1"]: {"name":"1"} -> absent`}},
		"a list of texts":     {from: `{"args":["a","b"]}`, to: `{"args":["a","c"]}`, want: []string{`args: ["a","b"] -> ["a","c"]`}},
		"a list of lists":     {from: `{"a":[[{"name":"x"}]]}`, to: `{"a":[[{"name":"y"}]]}`, want: []string{`a: [[{"name":"x"}]] -> [[{"name":"y"}]]`}},
		"tolerations":         {from: `{"tolerations":[{"key":"a","operator":"Exists"}]}`, to: `{"tolerations":[{"key":"a"}]}`, want: []string{`tolerations: [{"key":"a","operator":"Exists"}] -> [{"key":"a"}]`}},
		"conditions":          {from: `{"conditions":[{"type":"Ready","status":"True"}]}`, to: `{"conditions":[{"type":"Ready","status":"False"}]}`, want: []string{`conditions[type=Ready].status: "True" -> "False"`}},
		"owner references":    {from: `{"ownerReferences":[{"uid":"1","name":"a"}]}`, to: `{"ownerReferences":[{"uid":"2","name":"a"}]}`, want: []string{`ownerReferences[uid="1"]: {"name":"a","uid":"1"} -> absent`, `ownerReferences[uid="2"]: absent -> {"name":"a","uid":"2"}`}},
		"mounts by path":      {from: `{"volumeMounts":[{"name":"v","mountPath":"/a"},{"name":"v","mountPath":"/b"}]}`, to: `{"volumeMounts":[{"name":"v","mountPath":"/a"},{"name":"w","mountPath":"/b"}]}`, want: []string{`volumeMounts[mountPath=/b].name: "v" -> "w"`}},
		"ports of containers": {from: `{"ports":[{"containerPort":80,"protocol":"TCP"},{"containerPort":80,"protocol":"UDP"}]}`, to: `{"ports":[{"containerPort":80,"protocol":"TCP"},{"containerPort":80,"protocol":"UDP","name":"x"}]}`, want: []string{`ports[containerPort=80,protocol=UDP].name: absent -> "x"`}},
		"ports of services":   {from: `{"ports":[{"port":80,"protocol":"TCP","targetPort":1}]}`, to: `{"ports":[{"port":80,"protocol":"TCP","targetPort":2}]}`, want: []string{`ports[port=80,protocol=TCP].targetPort: 1 -> 2`}},
		"ports and a default": {from: `{"ports":[{"containerPort":80}]}`, to: `{"ports":[{"containerPort":80,"protocol":"TCP"}]}`, want: []string{`ports[containerPort=80,protocol=TCP].protocol: absent -> "TCP"`}},
		"a default twice":     {from: `{"ports":[{"containerPort":80}]}`, to: `{"ports":[{"containerPort":80},{"containerPort":80,"protocol":"TCP"}]}`, want: []string{`ports: [{"containerPort":80}] -> [{"containerPort":80},{"containerPort":80,"protocol":"TCP"}]`}},
	} {
		t.Run(name, func(t *testing.T) {
			from, to := mustDecode(t, tc.from), mustDecode(t, tc.to)
			changes := diff(from, to, nil)
			want := strings.Join(append(tc.want, ""), "\n")
			if d := cmp.Diff(want, changesText(changes)); d != "" {
				t.Error(d)
			}
			if got := apply(from, changes); !equal(got, to) {
				t.Errorf("applied: %s", canonicalText(got))
			}
		})
	}
}

// TestDiffIsSound proves on random content that the changes hold the whole difference, that no two results of one
// content have the same changes, and that no change covers another one.
func TestDiffIsSound(t *testing.T) {
	r := randomiser{rand.New(rand.NewPCG(1, 2))}
	rounds := 100_000
	if testing.Short() {
		rounds = 5_000
	}
	for range rounds {
		from := r.object(4)
		to, other := r.changed(from), r.changed(from)
		checkSound(t, from, to)
		same := changesText(diff(from, to, nil)) == changesText(diff(from, other, nil))
		if same != equal(to, other) {
			t.Fatalf("from %s\nto   %s\nand  %s\nthe same changes: %t", canonicalText(from), canonicalText(to), canonicalText(other), same)
		}
	}
}

func (r randomiser) changed(from map[string]any) map[string]any {
	to := from
	for range 1 + r.IntN(3) {
		if mutated, ok := r.mutate(to).(map[string]any); ok {
			to = mutated
		}
	}
	return to
}

func checkSound(t *testing.T, from, to map[string]any) {
	t.Helper()
	changes := diff(from, to, nil)
	if got := apply(from, changes); !equal(got, to) {
		t.Fatalf("from    %s\nto      %s\napplied %s\n%s", canonicalText(from), canonicalText(to), canonicalText(got), changesText(changes))
	}
	if len(changes) == 0 != equal(from, to) {
		t.Fatalf("from %s\nto   %s\n%d changes", canonicalText(from), canonicalText(to), len(changes))
	}
	for i := 1; i < len(changes); i++ {
		if changes[i-1].Path.compare(changes[i].Path) >= 0 || changes[i].Path.hasPrefix(changes[i-1].Path) {
			t.Fatalf("%s stands before %s", changes[i-1].Path, changes[i].Path)
		}
	}
}

// TestFindAgreesWithSearching checks the search among sorted changes against looking at every one.
func TestFindAgreesWithSearching(t *testing.T) {
	r := randomiser{rand.New(rand.NewPCG(3, 4))}
	for range 20_000 {
		from := r.object(4)
		changes := diff(from, r.changed(from), nil)
		for _, c := range diff(from, r.changed(from), nil) {
			for n := range len(c.Path) + 1 {
				path := c.Path[:n]
				wantInside := slices.ContainsFunc(changes, func(c Change) bool { return path.hasPrefix(c.Path) })
				leads := slices.ContainsFunc(changes, func(c Change) bool { return c.Path.hasPrefix(path) })
				if inside(changes, path) != wantInside || touches(changes, path) != (wantInside || leads) {
					t.Fatalf("%s among\n%s", path, changesText(changes))
				}
			}
		}
	}
}

func FuzzChanges(f *testing.F) {
	f.Add([]byte(`{"env":[{"name":"a","value":"1"}]}`), []byte(`{"env":[{"name":"b"},{"name":"a"}]}`))
	f.Add([]byte(`{"ports":[{"containerPort":80},{"containerPort":80,"protocol":"UDP"}]}`), []byte(`{"ports":[{"containerPort":81}]}`))
	f.Add([]byte(`{"a":{"b":1}}`), []byte(`{"a":{}}`))
	f.Add([]byte(`{"conditions":[{"type":"a"},{"type":"b"}]}`), []byte(`{"conditions":[{"type":"b"},{"type":"c"},{"type":"d"}]}`))
	for _, r := range reviewtest.All(f) {
		if r.Object != nil && r.OldObject != nil {
			f.Add(r.OldObject, r.Object)
			for _, mutant := range reviewtest.Mutants(f, [][]byte{r.Object}, 20) {
				f.Add(r.Object, mutant)
			}
		}
	}
	f.Fuzz(func(t *testing.T, before, after []byte) {
		from, err := DecodeObject(before)
		if err != nil {
			return
		}
		to, err := DecodeObject(after)
		if err != nil {
			return
		}
		checkSound(t, from, to)
	})
}

// TestHostileContent bounds the time and memory that content takes which is made to take much.
func TestHostileContent(t *testing.T) {
	deep := func(depth int, leaves string) string {
		return `{"spec":` + strings.Repeat(`{"a":`, depth) + `{` + leaves + `}` + strings.Repeat("}", depth) + `}`
	}
	leaves := func(n int, value string) string {
		items := make([]string, n)
		for i := range items {
			items[i] = fmt.Sprintf(`"k%d":%s`, i, value)
		}
		return strings.Join(items, ",")
	}
	list := func(n int, value string) string {
		items := make([]string, n)
		for i := range items {
			items[i] = fmt.Sprintf(`{"name":"k%d","v":%s}`, i, value)
		}
		return "[" + strings.Join(items, ",") + "]"
	}
	for name, tc := range map[string]struct{ from, to string }{
		"many changes deep down": {from: deep(4000, leaves(100_000, "1")), to: deep(4000, leaves(100_000, "2"))},
		"as deep as can be":      {from: deep(9_990, `"x":1`), to: deep(9_990, `"x":2`)},
		"a long list":            {from: `{"spec":` + list(100_000, "1") + `}`, to: `{"spec":` + list(100_000, "2") + `}`},
		"a long list reversed":   {from: `{"spec":` + list(50_000, "1") + `}`, to: `{"spec":[` + reversed(50_000) + `]}`},
		"lists within lists":     {from: nestedLists(3_000, "1"), to: nestedLists(3_000, "2")},
		"added within added":     {from: `{}`, to: nestedLists(3_000, "2")},
		"many fields":            {from: `{` + leaves(100_000, "1") + `}`, to: `{` + leaves(100_000, "2") + `}`},
	} {
		t.Run(name, func(t *testing.T) {
			from, to := mustDecode(t, tc.from), mustDecode(t, tc.to)
			start := time.Now()
			changes := diff(from, to, nil)
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("it took %s", took)
			}
			if len(changes) == 0 {
				t.Error("no changes")
			}
			segments := 0
			for _, c := range changes {
				segments += len(c.Path)
			}
			if segments > maxPathSegments+coarseDepth*len(changes) {
				t.Errorf("%d changes with %d segments", len(changes), segments)
			}
			if len(changes) < 1000 && !equal(apply(from, changes), to) {
				t.Error("the changes do not hold the difference")
			}
		})
	}
}

func reversed(n int) string {
	items := make([]string, n)
	for i := range items {
		items[i] = fmt.Sprintf(`{"name":"k%d","v":1}`, n-1-i)
	}
	return strings.Join(items, ",")
}

func nestedLists(depth int, leaf string) string {
	return `{"spec":` + strings.Repeat(`{"env":[{"name":"x","y":`, depth) + leaf + strings.Repeat("}]}", depth) + `}`
}

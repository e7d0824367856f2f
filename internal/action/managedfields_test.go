package action

import (
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/structured-merge-diff/v6/value"
)

// owning is an object with an image that is owned by what is given.
func owning(image, entries string) string {
	return `{"metadata":{"managedFields":` + entries + `},"spec":{"containers":[{"name":"a","image":"` + image + `"}],"replicas":1}}`
}

func entry(manager, operation, time, set string) string {
	return `{"manager":"` + manager + `","operation":"` + operation + `","apiVersion":"apps/v1","time":"` + time + `","fieldsType":"FieldsV1","fieldsV1":` + set + `}`
}

func TestManagedFields(t *testing.T) {
	const (
		image    = `{"f:spec":{"f:containers":{"k:{\"name\":\"a\"}":{"f:image":{}}}}}`
		whole    = `{"f:spec":{"f:containers":{"k:{\"name\":\"a\"}":{".":{},"f:image":{},"f:name":{}}},"f:replicas":{}}}`
		replicas = `{"f:spec":{"f:replicas":{}}}`
	)
	people := entry("kubectl", "Update", "2026-01-01T00:00:00Z", whole)
	only, also := []string{"spec.containers[name=a].image"}, []string{"metadata.managedFields", "spec.containers[name=a].image"}
	for name, tc := range map[string]struct {
		before, after string
		image         string // after; 1 before
		want          []string
	}{
		"nothing":                      {before: `[` + people + `]`, after: `[` + people + `]`, image: "1"},
		"only a time":                  {before: `[` + people + `]`, after: `[` + entry("kubectl", "Update", "2026-02-02T00:00:00Z", whole) + `]`, image: "1"},
		"the owner of what changes":    {before: `[` + people + `]`, after: `[` + people + `,` + entry("agent", "Update", "", image) + `]`, image: "2", want: only},
		"and it leaves the old one":    {before: `[` + people + `]`, after: `[` + entry("kubectl", "Update", "", `{"f:spec":{"f:containers":{"k:{\"name\":\"a\"}":{".":{},"f:name":{}}},"f:replicas":{}}}`) + `,` + entry("agent", "Update", "", image) + `]`, image: "2", want: only},
		"what leads to the change":     {before: `[` + people + `]`, after: `[` + people + `,` + entry("agent", "Apply", "", `{"f:spec":{"f:containers":{"k:{\"name\":\"a\"}":{".":{},"f:image":{}}}}}`) + `]`, image: "2", want: only},
		"the key of what changes":      {before: `[` + people + `]`, after: `[` + people + `,` + entry("agent", "Apply", "", `{"f:spec":{"f:containers":{"k:{\"name\":\"a\"}":{".":{},"f:image":{},"f:name":{}}}}}`) + `]`, image: "2", want: only},
		"the key without a change":     {before: `[` + people + `]`, after: `[` + people + `,` + entry("agent", "Apply", "", `{"f:spec":{"f:containers":{"k:{\"name\":\"a\"}":{"f:name":{}}}}}`) + `]`, image: "1", want: []string{"metadata.managedFields"}},
		"one owner and junk":           {before: `[` + people + `]`, after: `[` + people + `,` + entry("agent", "Apply", "", `{"f:spec":1}`) + `,` + entry("agent", "Apply", "", image) + `]`, image: "2", want: also},
		"something else too":           {before: `[` + people + `]`, after: `[` + people + `,` + entry("agent", "Apply", "", whole) + `]`, image: "2", want: also},
		"something else only":          {before: `[` + people + `]`, after: `[` + people + `,` + entry("agent", "Apply", "", replicas) + `]`, image: "1", want: []string{"metadata.managedFields"}},
		"another operation":            {before: `[` + people + `]`, after: `[` + entry("kubectl", "Apply", "", whole) + `]`, image: "2", want: also},
		"another version of the API":   {before: `[` + people + `]`, after: `[{"manager":"kubectl","operation":"Update","apiVersion":"apps/v2","fieldsType":"FieldsV1","fieldsV1":` + whole + `}]`, image: "2", want: only},
		"another subresource":          {before: `[` + people + `]`, after: `[{"manager":"kubectl","operation":"Update","subresource":"status","fieldsType":"FieldsV1","fieldsV1":` + whole + `}]`, image: "2", want: also},
		"one owner in two entries":     {before: `[` + people + `]`, after: `[` + people + `,` + entry("kubectl", "Update", "", replicas) + `]`, image: "2", want: only},
		"all gone":                     {before: `[` + people + `]`, after: `[]`, image: "2", want: also},
		"an owner of the same changes": {before: `[` + people + `]`, after: `[` + people + `,` + entry("agent", "Apply", "", `{"f:spec":{"f:containers":{"k:{\"name\":\"b\"}":{"f:image":{}}}}}`) + `]`, image: "2", want: also},
		"an unknown element":           {before: `[` + people + `]`, after: `[` + people + `,` + entry("agent", "Apply", "", `{"x:spec":{}}`) + `]`, image: "2", want: also},
		"a key that is no key":         {before: `[` + people + `]`, after: `[` + people + `,` + entry("agent", "Apply", "", `{"f:spec":{"k:{":{}}}`) + `]`, image: "2", want: also},
		"null for a set":               {before: `[` + people + `]`, after: `[` + people + `,` + entry("agent", "Apply", "", `{"f:spec":null}`) + `]`, image: "2", want: also},
		"no set":                       {before: `[` + people + `]`, after: `[` + people + `,{"manager":"agent","operation":"Apply","fieldsType":"FieldsV1"}]`, image: "2", want: also},
		"another form":                 {before: `[` + people + `]`, after: `[` + people + `,{"manager":"agent","fieldsType":"FieldsV2","fieldsV1":{}}]`, image: "2", want: also},
		"no list":                      {before: `[` + people + `]`, after: `{"a":1}`, image: "2", want: also},
		"no entry":                     {before: `[` + people + `]`, after: `[1]`, image: "2", want: also},
		"a manager that is no text":    {before: `[` + people + `]`, after: `[` + people + `,{"manager":1,"fieldsType":"FieldsV1","fieldsV1":{}}]`, image: "2", want: also},
		"junk that stays":              {before: `[{"junk":1}]`, after: `[{"junk":1}]`, image: "2", want: only},
	} {
		t.Run(name, func(t *testing.T) {
			a := updateOf(t, ofDeployment, hasStatus, owning("1", tc.before), owning(tc.image, tc.after))
			if d := cmp.Diff(tc.want, pathsOf(a.Changes)); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestManagedFieldsOfASet(t *testing.T) {
	object := func(finalizers, set string) string {
		return `{"metadata":{"finalizers":` + finalizers + `,"managedFields":[` + entry("agent", "Apply", "", set) + `]}}`
	}
	before := object(`["a"]`, `{"f:metadata":{"f:finalizers":{".":{},"v:\"a\"":{}}}}`)
	for name, tc := range map[string]struct {
		after string
		want  []string
	}{
		"an element of the set": {after: object(`["a","b"]`, `{"f:metadata":{"f:finalizers":{".":{},"v:\"a\"":{},"v:\"b\"":{}}}}`), want: []string{"metadata.finalizers"}},
		"without a change":      {after: object(`["a"]`, `{"f:metadata":{"f:finalizers":{".":{}}}}`), want: []string{"metadata.managedFields"}},
	} {
		t.Run(name, func(t *testing.T) {
			a := updateOf(t, ofDeployment, hasStatus, before, tc.after)
			if d := cmp.Diff(tc.want, pathsOf(a.Changes)); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestOwnershipAgreesWithTheLibrary compares with the library that the API server uses: random sets, written by it, and
// the difference as it sees it.
func TestOwnershipAgreesWithTheLibrary(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	element := func() fieldpath.PathElement {
		switch r.IntN(8) {
		case 0:
			return fieldpath.PathElement{Key: &value.FieldList{{Name: "name", Value: value.NewValueInterface("a")}}}
		case 1:
			return fieldpath.PathElement{Key: &value.FieldList{{Name: "containerPort", Value: value.NewValueInterface(80)}, {Name: "protocol", Value: value.NewValueInterface("TCP")}}}
		case 2:
			v := value.NewValueInterface("a")
			return fieldpath.PathElement{Value: &v}
		default:
			name := []string{"a", "b", "c"}[r.IntN(3)]
			return fieldpath.PathElement{FieldName: &name}
		}
	}
	set := func() *fieldpath.Set {
		s := fieldpath.NewSet()
		for range r.IntN(8) {
			var path fieldpath.Path
			for range 1 + r.IntN(3) {
				path = append(path, element())
			}
			s.Insert(path)
		}
		return s
	}
	for range 20_000 {
		before, after, more := set(), set(), set()
		var changes []Change
		set().Iterate(func(path fieldpath.Path) { changes = append(changes, Change{Path: fromLibrary(t, path)}) })
		changes = antichain(changes)

		want := true
		check := func(path fieldpath.Path) { want = want && touches(changes, fromLibrary(t, path)) }
		both := after.Union(more)
		before.Difference(both).Iterate(check)
		both.Difference(before).Iterate(check)
		got := ownershipFollows(changes, entriesOf(t, before), entriesOf(t, after, more))
		if got != want {
			t.Fatalf("%t, want %t: from %s to %s with\n%s", got, want, before, both, changesText(changes))
		}
	}
}

// antichain sorts changes and drops those under another one.
func antichain(changes []Change) []Change {
	a := Action{Changes: changes}
	var top []Change
	for _, c := range a.Changes {
		covered := false
		for _, o := range a.Changes {
			covered = covered || len(o.Path) < len(c.Path) && c.Path.hasPrefix(o.Path)
		}
		if !covered {
			top = append(top, c)
		}
	}
	sortChanges(top)
	return top
}

func fromLibrary(t *testing.T, path fieldpath.Path) Path {
	t.Helper()
	var ours Path
	for _, element := range path {
		text, err := fieldpath.SerializePathElement(element)
		if err != nil {
			t.Fatal(err)
		}
		segment, err := segmentOf(text)
		if err != nil {
			t.Fatal(err)
		}
		ours = append(ours, segment)
	}
	return ours
}

// entriesOf are the entries of one owner.
func entriesOf(t *testing.T, sets ...*fieldpath.Set) any {
	t.Helper()
	var entries []any
	for _, set := range sets {
		text, err := set.ToJSON()
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, mustDecode(t, entry("m", "Update", "", string(text))))
	}
	return entries
}

package action

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

func TestTemplateAccounts(t *testing.T) {
	for name, tc := range map[string]struct {
		path, object string
		want         []string
	}{
		"a template":             {path: "spec.template", object: `{"spec":{"template":{"spec":{"serviceAccountName":"a"}}}}`, want: []string{"a"}},
		"that names none":        {path: "spec.template", object: `{"spec":{"template":{"spec":{}}}}`, want: []string{"default"}},
		"without a spec":         {path: "spec.template", object: `{"spec":{"template":{}}}`, want: []string{"default"}},
		"with a spec of null":    {path: "spec.template", object: `{"spec":{"template":{"spec":null}}}`, want: []string{"default"}},
		"none":                   {path: "spec.template", object: `{"spec":{}}`},
		"null":                   {path: "spec.template", object: `{"spec":{"template":null}}`},
		"a text":                 {path: "spec.template", object: `{"spec":{"template":"default"}}`, want: []string{"(string)"}},
		"a text above":           {path: "spec.template", object: `{"spec":"default"}`, want: []string{"(string)"}},
		"a list":                 {path: "spec.template", object: `{"spec":{"template":[{"spec":{}}]}}`, want: []string{"([]interface {})"}},
		"a list above":           {path: "spec.template", object: `{"spec":[{"template":{"spec":{}}}]}`, want: []string{"(string)"}},
		"a spec that is a text":  {path: "spec.template", object: `{"spec":{"template":{"spec":"default"}}}`, want: []string{"(string)"}},
		"elements of a list":     {path: "spec.x[*].template", object: `{"spec":{"x":[{"template":{"spec":{"serviceAccountName":"b"}}},{},{"template":{"spec":{"serviceAccount":"a"}}}]}}`, want: []string{"b", "a"}},
		"values of a map":        {path: "spec.x[*].template", object: `{"spec":{"x":{"z":{"template":{"spec":{"serviceAccountName":"b"}}},"a":{"template":{}}}}}`, want: []string{"default", "b"}},
		"lists within lists":     {path: "spec.x[*].y[*]", object: `{"spec":{"x":[{"y":[{"spec":{"serviceAccountName":"a"}}]},{"y":[{"spec":{"serviceAccountName":"b"}}]}]}}`, want: []string{"a", "b"}},
		"the name and the alias": {path: "spec", object: `{"spec":{"spec":{"serviceAccountName":"b","serviceAccount":"a"}}}`, want: []string{"a", "b"}},
	} {
		t.Run(name, func(t *testing.T) {
			pattern, err := ParsePattern(tc.path)
			if err != nil {
				t.Fatal(err)
			}
			object := mustDecode(t, tc.object)
			a := &Action{Operation: v1alpha1.OperationUpdate, Group: "example.com", Resource: "widgets", New: object}
			before, after := a.TemplateAccounts(pattern)
			if d := cmp.Diff([][]string{nil, tc.want}, [][]string{before, after}); d != "" {
				t.Error(d)
			}
			a.Old, a.New = object, nil
			if before, _ := a.TemplateAccounts(pattern); !cmp.Equal(before, tc.want) {
				t.Errorf("before are %v", before)
			}
		})
	}
}

func TestScaleTargets(t *testing.T) {
	target := func(name string) map[string]any {
		return mustDecode(t, `{"spec":{"scaleTargetRef":{"apiVersion":"apps/v1","kind":"Deployment","name":"`+name+`"}}}`)
	}
	web, db := ScaleTarget{"apps/v1", "Deployment", "web"}, ScaleTarget{"apps/v1", "Deployment", "db"}
	for name, tc := range map[string]struct {
		operation   v1alpha1.Operation
		subresource string
		old, new    map[string]any
		changed     string // what an update changes
		want        []ScaleTarget
	}{
		"created":       {operation: v1alpha1.OperationCreate, new: target("web"), want: []ScaleTarget{web}},
		"kept":          {operation: v1alpha1.OperationUpdate, old: target("web"), new: target("web"), changed: "spec", want: []ScaleTarget{web}},
		"labelled":      {operation: v1alpha1.OperationUpdate, old: target("web"), new: target("web"), changed: "metadata"},
		"exchanged":     {operation: v1alpha1.OperationUpdate, old: target("web"), new: target("db"), changed: "spec", want: []ScaleTarget{web, db}},
		"deleted":       {operation: v1alpha1.OperationDelete, old: target("web")},
		"of its status": {operation: v1alpha1.OperationUpdate, subresource: "status", old: target("web"), new: target("web")},
		"unreadable":    {operation: v1alpha1.OperationCreate, new: mustDecode(t, `{"spec":{"scaleTargetRef":1}}`), want: []ScaleTarget{{}}},
	} {
		t.Run(name, func(t *testing.T) {
			a := Action{
				Operation: tc.operation, Group: "autoscaling", Resource: "horizontalpodautoscalers", Subresource: tc.subresource, Old: tc.old, New: tc.new,
			}
			if tc.changed != "" {
				a.Changes = []Change{{Path: Path{{Field: tc.changed}, {Field: "some"}}}}
			}
			if d := cmp.Diff(tc.want, a.ScaleTargets()); d != "" {
				t.Error(d)
			}
			a.Group = "example.com"
			if targets := a.ScaleTargets(); targets != nil {
				t.Errorf("a kind of others scales %v", targets)
			}
		})
	}
}

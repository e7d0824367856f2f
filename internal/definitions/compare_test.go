package definitions

import (
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// TestDifference changes a definition in one way at a time.
func TestDifference(t *testing.T) {
	w, err := New(nil)
	if err != nil {
		t.Fatal(err)
	}
	type object = apiextensionsv1.CustomResourceDefinition
	type schema = apiextensionsv1.JSONSchemaProps
	// In the spec of approvals, or below it.
	spec := func(o *object, change func(*schema), path ...string) {
		var down func(s *schema, path []string)
		down = func(s *schema, path []string) {
			if len(path) == 0 {
				change(s)
				return
			}
			next := s.Properties[path[0]]
			down(&next, path[1:])
			s.Properties[path[0]] = next
		}
		down(o.Spec.Versions[0].Schema.OpenAPIV3Schema, append([]string{"spec"}, path...))
	}
	tests := map[string]struct {
		change func(*object)
		want   string // a part of it; empty: no difference
	}{
		"as it is":            {func(*object) {}, ""},
		"converted by nobody": {func(o *object) { o.Spec.Conversion = &apiextensionsv1.CustomResourceConversion{Strategy: "None"} }, ""},
		"another description": {func(o *object) { spec(o, func(s *schema) { s.Description = "x" }) }, ""},
		"other columns":       {func(o *object) { o.Spec.Versions[0].AdditionalPrinterColumns = nil }, ""},
		"one more field":      {func(o *object) { spec(o, func(s *schema) { s.Properties["x"] = schema{Type: "string"} }) }, ""},
		"one more rule": {func(o *object) {
			spec(o, func(s *schema) {
				s.XValidations = append(s.XValidations, apiextensionsv1.ValidationRule{Rule: "false"})
			})
		}, ""},
		"one more is required":  {func(o *object) { spec(o, func(s *schema) { s.Required = append(s.Required, "x") }) }, ""},
		"it is deleted":         {func(o *object) { o.DeletionTimestamp = &metav1.Time{} }, "being deleted"},
		"another kind":          {func(o *object) { o.Spec.Names.Kind = "X" }, "names differ"},
		"cluster-scoped":        {func(o *object) { o.Spec.Scope = apiextensionsv1.ClusterScoped }, "scope is Cluster"},
		"unknown fields":        {func(o *object) { o.Spec.PreserveUnknownFields = true }, "keeps unknown fields"},
		"converted":             {func(o *object) { o.Spec.Conversion = &apiextensionsv1.CustomResourceConversion{Strategy: "Webhook"} }, "converted"},
		"no version":            {func(o *object) { o.Spec.Versions = nil }, "0 versions"},
		"not served":            {func(o *object) { o.Spec.Versions[0].Served = false }, "not served"},
		"no status":             {func(o *object) { o.Spec.Versions[0].Subresources.Status = nil }, "status subresource"},
		"no subresources":       {func(o *object) { o.Spec.Versions[0].Subresources = nil }, "status subresource"},
		"no schema":             {func(o *object) { o.Spec.Versions[0].Schema = nil }, "no schema"},
		"not established":       {func(o *object) { o.Status.Conditions = nil }, "not served"},
		"no rules":              {func(o *object) { spec(o, func(s *schema) { s.XValidations = nil }) }, "lacks the rule"},
		"a field is gone":       {func(o *object) { spec(o, func(s *schema) { delete(s.Properties, "decisions") }) }, ".spec.decisions is missing"},
		"any field is kept":     {func(o *object) { spec(o, func(s *schema) { s.XPreserveUnknownFields = new(true) }) }, ".spec has other limits"},
		"nothing is required":   {func(o *object) { spec(o, func(s *schema) { s.Required = nil }) }, ".spec does not require"},
		"longer lists":          {func(o *object) { spec(o, func(s *schema) { s.MaxItems = nil }, "decisions") }, ".spec.decisions has other limits"},
		"items of another kind": {func(o *object) { spec(o, func(s *schema) { s.Items = nil }, "decisions") }, ".spec.decisions does not say what its items are"},
		"looser items": {func(o *object) {
			spec(o, func(s *schema) { s.Items.Schema.Required = nil }, "decisions")
		}, ".spec.decisions[*] does not require"},
		"any verdict": {func(o *object) { spec(o, func(s *schema) { s.Enum = nil }, "decision", "verdict") }, ".spec.decision.verdict does not take"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			live := w.want[Approvals].DeepCopy()
			live.Status.Conditions = []apiextensionsv1.CustomResourceDefinitionCondition{{
				Type: apiextensionsv1.Established, Status: apiextensionsv1.ConditionTrue,
			}}
			tc.change(live)
			if got := Difference(live, w.want[Approvals]); (got == "") != (tc.want == "") || !strings.Contains(got, tc.want) {
				t.Errorf("the difference is %q, want %q", got, tc.want)
			}
		})
	}
}

func TestServiceProblem(t *testing.T) {
	for name, tc := range map[string]struct {
		spec map[string]any
		bad  bool
	}{
		"local":          {map[string]any{"group": "countersign.dev"}, false},
		"null":           {map[string]any{"service": nil}, false},
		"another server": {map[string]any{"service": map[string]any{"name": "evil"}}, true},
		"an empty one":   {map[string]any{"service": map[string]any{}}, true},
	} {
		object := &unstructured.Unstructured{Object: map[string]any{"spec": tc.spec}}
		if got := serviceProblem(object); (got != "") != tc.bad {
			t.Errorf("%s: the problem is %q", name, got)
		}
	}
	if got := serviceProblem(&unstructured.Unstructured{Object: map[string]any{"spec": "x"}}); got == "" {
		t.Error("what cannot be read is taken for local")
	}
}

// TestUnverified wants nothing to be trusted before it was read.
func TestUnverified(t *testing.T) {
	w, err := New(nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{"policies": w.Err(), "approvals": w.ApprovalsErr(), "activities": w.ActivitiesErr(), "any": w.AnyErr()} {
		if err == nil || !strings.Contains(err.Error(), "has not looked yet") {
			t.Errorf("%s are trusted: %v", name, err)
		}
	}
}

package definitions

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

// TestExtended adds to a definition in one way at a time.
func TestExtended(t *testing.T) {
	w, err := New(nil)
	if err != nil {
		t.Fatal(err)
	}
	type schema = apiextensionsv1.JSONSchemaProps
	text := schema{Type: "string"}
	tests := map[string]struct {
		change func(root *schema)
		want   bool
	}{
		"as it is":            {func(*schema) {}, false},
		"a field of the spec": {func(s *schema) { s.Properties["spec"].Properties["later"] = text }, true},
		"a field of a task": {func(s *schema) {
			s.Properties["spec"].Properties["tasks"].Items.Schema.Properties["later"] = text
		}, true},
		"deeper": {func(s *schema) {
			s.Properties["spec"].Properties["tasks"].Items.Schema.Properties["scope"].Properties["later"] = text
		}, true},
		"values of any name": {func(s *schema) {
			spec := s.Properties["spec"].Properties
			governs := spec["governs"]
			governs.AdditionalProperties = &apiextensionsv1.JSONSchemaPropsOrBool{Schema: &text}
			spec["governs"] = governs
		}, true},
		"beside the spec":       {func(s *schema) { s.Properties["rules"] = text }, true},
		"a field of the status": {func(s *schema) { s.Properties["status"].Properties["later"] = text }, false},
		"a field less":          {func(s *schema) { delete(s.Properties["spec"].Properties, "guards") }, false},
		"a longer list": {func(s *schema) {
			spec := s.Properties["spec"].Properties
			tasks := spec["tasks"]
			tasks.MaxItems = new(int64(9999))
			spec["tasks"] = tasks
		}, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			live := w.want[Policies].DeepCopy()
			tc.change(live.Spec.Versions[0].Schema.OpenAPIV3Schema)
			if got := Extended(live, w.want[Policies]); got != tc.want {
				t.Errorf("it is extended: %v", got)
			}
		})
	}
}

// TestDecode wants the unknown fields of an object, wherever they are, and the known ones read.
func TestDecode(t *testing.T) {
	var object map[string]any
	if err := yaml.Unmarshal([]byte(`
apiVersion: countersign.dev/v1alpha1
kind: AgentActionPolicy
metadata: {name: p, labels: {any: thing}, laterOfKubernetes: x}
spec:
  enforcement: Enforce
  later: {x: 1}
  tasks:
  - name: t
    quota: null
    scope: {resourceRules: [{apiGroups: [apps], RESOURCES: [deployments]}]}
status: {later: x}
rules: []
`), &object); err != nil {
		t.Fatal(err)
	}
	var p v1alpha1.AgentActionPolicy
	unknown, err := Decode(object, &p)
	if err != nil || p.Spec.Enforcement != v1alpha1.Enforce || len(p.Spec.Tasks) != 1 {
		t.Errorf("it is read as %+v: %v", p, err)
	}
	want := []string{"rules", "spec.later", "spec.tasks[0].quota", "spec.tasks[0].scope.resourceRules[0].RESOURCES", "status.later"}
	if diff := cmp.Diff(want, unknown); diff != "" {
		t.Errorf("unknown (-want +got):\n%s", diff)
	}
	if _, err := Decode(map[string]any{"spec": "x"}, &p); err == nil {
		t.Error("a spec that is text is read")
	}
	if unknown, err := Decode(map[string]any{"spec": map[string]any{"enforcement": "Warn"}}, &p); err != nil || unknown != nil {
		t.Errorf("of a policy without unknown fields these are said: %v, %v", unknown, err)
	}
}

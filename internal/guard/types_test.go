package guard

import (
	"encoding/json"
	"testing"

	"k8s.io/kube-openapi/pkg/validation/spec"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

// TestMistyped holds expressions against the schema of a kind.
func TestMistyped(t *testing.T) {
	schema := &spec.Schema{}
	if err := json.Unmarshal([]byte(`{"type":"object","properties":{
		"apiVersion":{"type":"string"},"kind":{"type":"string"},
		"metadata":{"type":"object","properties":{"name":{"type":"string"},"generateName":{"type":"string"},"labels":{"type":"object","additionalProperties":{"type":"string"}}}},
		"spec":{"type":"object","properties":{
			"replicas":{"type":"integer","format":"int32"},"paused":{"type":"boolean"},
			"port":{"x-kubernetes-int-or-string":true},"free":{"type":"object","x-kubernetes-preserve-unknown-fields":true},
			"containers":{"type":"array","items":{"type":"object","properties":{"image":{"type":"string"}}}}}}}}`), schema); err != nil {
		t.Fatal(err)
	}
	for expression, want := range map[string]string{
		`object.spec.replicas - (oldObject == null ? 0 : oldObject.spec.replicas) <= 5`:                                                  "",
		`object.spec.?containers.orValue([]).all(c, c.image.startsWith('a')) && !object.spec.?paused.orValue(false)`:                     "",
		`has(object.metadata.labels) && 'a' in object.metadata.labels && object.metadata.labels.a == 'b'`:                                "",
		`[object, oldObject].all(o, o == null || o.spec.replicas > 1) && object != oldObject && changes.size() > 1 && object.kind == ''`: "",
		`dyn(object).spec.anything == 1`:                                   "",
		`object.spec.replica < 5`:                                          "line 1, column 12: undefined field 'replica'",
		`object.spec.replicas == '5'`:                                      "line 1, column 22: found no matching overload for '_==_' applied to '(int, string)'",
		`object.spec.containers.all(c, c.imag == 'x') && oldObject.x == 1`: "line 1, column 32: undefined field 'imag'; line 1, column 58: undefined field 'x'",
	} {
		got, message := Mistyped(&v1alpha1.Guard{Expression: expression}, Kind{Name: "Thing", Schema: schema})
		if got != want || message != "" {
			t.Errorf("%s: got %q and %q, want %q", expression, got, message, want)
		}
	}
	if _, got := Mistyped(&v1alpha1.Guard{Expression: "true", MessageExpression: "string(object.x)"}, Kind{Name: "Thing", Schema: schema}); got != "line 1, column 14: undefined field 'x'" {
		t.Errorf("the message: got %q", got)
	}
	if got, _ := Mistyped(&v1alpha1.Guard{Expression: "object.x == 1"}, Kind{Name: "Thing", Schema: &spec.Schema{}}); got != "" {
		t.Errorf("without a schema: got %q", got)
	}
}

package controllers

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/policy"
)

// TestAffected has things get in the way of policies, and go: only those are looked at again whose status may change.
func TestAffected(t *testing.T) {
	var compiled []*policy.Policy
	for _, name := range []string{"a", "b", "c"} {
		p := &v1alpha1.AgentActionPolicy{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name)}}
		p.Spec.Enforcement = v1alpha1.Enforce
		p.Spec.Subjects = []v1alpha1.Subject{{Kind: v1alpha1.SubjectUser, Name: name}}
		compiled = append(compiled, policy.Compile(p, policy.Identity{Username: "operator"}))
	}
	d := newDelivery(policy.NewSet(compiled, policy.Operator{}))
	down, other := hindrance{reason: "CanaryNotRefused", message: "one"}, hindrance{reason: "CanaryNotRefused", message: "another"}
	var o outlook
	o.note("a", true)
	o.note("b", true)
	o.note("c", false)
	for i, step := range []struct {
		found hindrance
		want  []string
	}{
		{hindrance{}, []string{"c"}},
		{notProven, []string{"c"}},
		{hindrance{}, []string{"c"}},
		{down, []string{"a", "b", "c"}},
		{down, []string{"c"}}, // it was told of
		{other, []string{"a", "b", "c"}},
		{notProven, []string{"c"}},
		{other, []string{"a", "b", "c"}},
	} {
		if got := slices.Sorted(slices.Values(o.affected(step.found, d))); !cmp.Equal(got, step.want) {
			t.Errorf("step %d: %v, want %v", i, got, step.want)
		}
	}
	o.note("c", true)
	d.left["b"] = true
	if got := o.affected(hindrance{}, d); !cmp.Equal(got, []string{"b"}) {
		t.Errorf("that its subjects do not fit is looked at of %v", got)
	}
}

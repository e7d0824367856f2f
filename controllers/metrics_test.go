package controllers

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/policy"
	"github.com/countersign-dev/countersign/internal/registry"
)

// TestPolicyMetrics wants a policy that is not ready to be counted, and not to be called open.
func TestPolicyMetrics(t *testing.T) {
	now := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	ever := &v1alpha1.OnceWindow{From: metav1.NewTime(now.Add(-time.Hour)), To: metav1.NewTime(now.Add(time.Hour))}
	named := func(name string, allowed v1alpha1.WindowName) *v1alpha1.AgentActionPolicy {
		return &v1alpha1.AgentActionPolicy{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.AgentActionPolicySpec{
			Enforcement: v1alpha1.Enforce, TimeZone: "UTC",
			Subjects:      []v1alpha1.Subject{{Kind: v1alpha1.SubjectServiceAccount, Namespace: "ci", Name: name}},
			Windows:       []v1alpha1.Window{{Name: "ever", Once: ever}},
			ChangeWindows: &v1alpha1.ChangeWindows{Allowed: []v1alpha1.WindowName{allowed}},
			Tasks: []v1alpha1.Task{{Name: "change", Scope: v1alpha1.TaskScope{ResourceRules: []v1alpha1.ResourceRule{{
				APIGroups: []string{""}, Resources: []string{"configmaps"}, Operations: []v1alpha1.Operation{v1alpha1.OperationUpdate},
			}}}}},
		}}
	}
	r := registry.New(policy.Identity{}, policy.Operator{})
	r.Update([]*v1alpha1.AgentActionPolicy{named("good", "ever"), named("broken", "never")})
	gatherer := prometheus.NewPedanticRegistry()
	gatherer.MustRegister(&policyCollector{r, clocktesting.NewFakePassiveClock(now)})
	families, err := gatherer.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := []string{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			if m.GetGauge().GetValue() == 1 {
				got = append(got, m.GetLabel()[0].GetValue()+" "+m.GetLabel()[1].GetValue())
			}
		}
	}
	slices.Sort(got)
	if diff := cmp.Diff([]string{"Enforce Invalid", "Enforce Ready", "good Open"}, got); diff != "" {
		t.Errorf("what is 1 (-want +got):\n%s", diff)
	}
}

package controllers_test

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/controllers"
	"github.com/countersign-dev/countersign/internal/action"
	"github.com/countersign-dev/countersign/internal/approval"
)

// TestRequestsEnd steps a clock over the moments at which a pending request ends by itself.
func TestRequestsEnd(t *testing.T) {
	noon := berlin(t, "2026-11-23T12:00:00+01:00")
	tests := map[string]struct {
		reason  string
		expires time.Duration
		// steps are instants after noon, with the state and when the reconciler comes back.
		steps []requestStep
	}{
		"when the window opens": {reason: "ChangeWindowClosed", expires: 24 * time.Hour, steps: []requestStep{
			{0, "Pending", 8 * time.Hour}, // the task's own window changes first
			{10*time.Hour - 1, "Pending", 1}, {10 * time.Hour, "NoLongerNeeded", 0}, {30 * time.Hour, "NoLongerNeeded", 0},
		}},
		"when nobody answers": {reason: "FieldOutOfScope", expires: 4 * time.Hour, steps: []requestStep{
			{0, "Pending", 4 * time.Hour}, {4*time.Hour - 1, "Pending", 1}, {4 * time.Hour, "Expired", 0}, {20 * time.Hour, "Expired", 0},
		}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, policySpec, noon)
			b.registry.Update([]*v1alpha1.AgentActionPolicy{b.stored})
			reconciler := &controllers.ActionApprovalReconciler{Client: b, Live: b, Registry: b.registry, Clock: b.clock}
			a := b.request(t, tc.reason, tc.expires, noon)
			for _, s := range tc.steps {
				b.clock.SetTime(noon.Add(s.after))
				result, err := reconciler.Reconcile(t.Context(), reconcile.Request{NamespacedName: client.ObjectKeyFromObject(a)})
				if err != nil {
					t.Fatal(err)
				}
				if err := b.Get(t.Context(), client.ObjectKeyFromObject(a), a); err != nil {
					t.Fatal(err)
				}
				c := meta.FindStatusCondition(a.Status.Conditions, v1alpha1.ApprovalApproved)
				if c == nil || c.Reason != s.state || result.RequeueAfter != s.back {
					t.Errorf("%s after noon the condition is %+v and it comes back after %s, want %s and %s", s.after, c, result.RequeueAfter, s.state, s.back)
				}
			}
		})
	}
}

type requestStep struct {
	after time.Duration
	state string
	back  time.Duration
}

// request stores a pending request of an agent that a restriction of the policy made necessary.
func (b *bench) request(t *testing.T, reason string, expires time.Duration, now time.Time) *v1alpha1.ActionApproval {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "request-"}}
	if err := b.Create(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
	r := approval.Request{
		Action: &action.Action{
			Operation: v1alpha1.OperationCreate, Group: "apps", Version: "v1", Resource: "deployments", Kind: "Deployment",
			Namespaced: true, Namespace: namespace.Name, Name: "web",
		},
		Hash: "v1:abc", Requester: action.Actor{Username: "system:serviceaccount:ci:bot", UID: "1"},
		Reasons: []v1alpha1.ApprovalReason{{Type: reason, Policy: b.stored.Name, Name: "nights"}},
		Requirements: []v1alpha1.StampedRequirement{{
			Policy: v1alpha1.PolicyReference{Name: b.stored.Name, UID: "p", Hash: "h"}, Name: "sre", MinApprovals: 1,
		}},
		ValidFor: time.Hour, RequestExpiresAfter: expires,
	}
	built, err := r.Build(now)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Create(t.Context(), built); err != nil {
		t.Fatal(err)
	}
	return built
}

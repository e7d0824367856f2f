package controllers_test

import (
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/controllers"
)

// TestActivityRetention steps a clock over the instant from which nothing can ask for what an agent did last.
func TestActivityRetention(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	const kept = 8 * 24 * time.Hour
	for name, tc := range map[string]struct {
		// last is when the agent did something last, zero for never: then the object was made now.
		last  time.Time
		after time.Duration
		want  bool
	}{
		"an agent at work":             {last: now, want: true},
		"one that was, to the last":    {last: now.Add(-time.Hour), after: kept - time.Hour - 1, want: true},
		"and no longer":                {last: now.Add(-time.Hour), after: kept - time.Hour},
		"one that never came to do it": {after: kept - time.Hour, want: true},
		"nor will":                     {after: kept + time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, policySpec, now)
			a := &v1alpha1.AgentActivity{ObjectMeta: metav1.ObjectMeta{GenerateName: "agent-"}}
			if err := b.Create(t.Context(), a); err != nil {
				t.Fatal(err)
			}
			if !tc.last.IsZero() {
				last := metav1.NewTime(tc.last)
				a.Status = v1alpha1.AgentActivityStatus{Username: "jane", LastAdmittedAt: &last}
				if err := b.Status().Update(t.Context(), a); err != nil {
					t.Fatal(err)
				}
			}
			b.clock.SetTime(now.Add(tc.after))
			key := client.ObjectKeyFromObject(a)
			result, err := (&controllers.AgentActivityReconciler{Client: b, Clock: b.clock}).Reconcile(t.Context(), reconcile.Request{NamespacedName: key})
			if err != nil {
				t.Fatal(err)
			}
			err = b.Get(t.Context(), key, a)
			if client.IgnoreNotFound(err) != nil {
				t.Fatal(err)
			}
			if got := !apierrors.IsNotFound(err); got != tc.want || got != (result.RequeueAfter > 0) {
				t.Errorf("it is kept: %t, want %t; it is looked at again in %s", got, tc.want, result.RequeueAfter)
			}
		})
	}
}

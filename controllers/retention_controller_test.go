package controllers_test

import (
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/controllers"
	"github.com/countersign-dev/countersign/internal/approval"
)

// TestRetention steps a clock over the end of an approval and of its retention, an hour.
func TestRetention(t *testing.T) {
	noon := berlin(t, "2026-11-23T12:00:00+01:00")
	type step struct {
		after time.Duration
		kept  bool
		back  time.Duration
	}
	for name, tc := range map[string]struct {
		prepare func(t *testing.T, b *bench, a *v1alpha1.ActionApproval)
		steps   []step
	}{
		"one that waits for people stays": {
			prepare: func(*testing.T, *bench, *v1alpha1.ActionApproval) {},
			steps:   []step{{0, true, 0}, {100 * time.Hour, true, 0}},
		},
		"one that has ended goes": {
			prepare: func(t *testing.T, b *bench, a *v1alpha1.ActionApproval) { b.end(t, a, noon) },
			steps:   []step{{0, true, time.Hour}, {time.Hour - 1, true, 1}, {time.Hour, false, 0}},
		},
		"one that is followed by one that waits stays": {
			prepare: func(t *testing.T, b *bench, a *v1alpha1.ActionApproval) {
				b.end(t, a, noon)
				b.follow(t, a)
			},
			steps: []step{{0, true, time.Hour}, {3 * time.Hour, true, time.Hour}},
		},
		"one that is followed by one that has ended goes": {
			prepare: func(t *testing.T, b *bench, a *v1alpha1.ActionApproval) {
				b.end(t, a, noon)
				b.end(t, b.follow(t, a), noon.Add(30*time.Minute))
			},
			steps: []step{{time.Hour, false, 0}},
		},
		"so does the chain as a whole": {
			prepare: func(t *testing.T, b *bench, a *v1alpha1.ActionApproval) {
				b.end(t, a, noon)
				second := b.follow(t, a)
				b.end(t, second, noon)
				b.follow(t, second)
			},
			steps: []step{{2 * time.Hour, true, time.Hour}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, policySpec, noon)
			reconciler := &controllers.RetentionReconciler{Client: b, Clock: b.clock, Retention: time.Hour}
			a := b.request(t, "FieldOutOfScope", 4*time.Hour, noon)
			tc.prepare(t, b, a)
			for _, s := range tc.steps {
				b.clock.SetTime(noon.Add(s.after))
				var result reconcile.Result
				for range 2 { // the change that the first makes brings it back
					var err error
					if result, err = reconciler.Reconcile(t.Context(), reconcile.Request{NamespacedName: client.ObjectKeyFromObject(a)}); err != nil {
						t.Fatal(err)
					}
				}
				err := b.Get(t.Context(), client.ObjectKeyFromObject(a), a)
				if kept := err == nil; kept != s.kept || !kept && !apierrors.IsNotFound(err) || result.RequeueAfter != s.back {
					t.Fatalf("%s after noon it is kept %t (%v) and looked at after %s; want %t and %s", s.after, kept, err, result.RequeueAfter, s.kept, s.back)
				}
				if _, ended := approval.Ended(a); ended && s.kept && a.Spec.Action.Diff != "" {
					t.Error("it keeps its diff")
				}
			}
		})
	}
}

// end has an approval end, as Void.
func (b *bench) end(t *testing.T, a *v1alpha1.ActionApproval, at time.Time) {
	t.Helper()
	a.Status = approval.End(a, approval.Void, "", at)
	if err := b.Status().Update(t.Context(), a); err != nil {
		t.Fatal(err)
	}
}

// follow stores a request that follows another one.
func (b *bench) follow(t *testing.T, a *v1alpha1.ActionApproval) *v1alpha1.ActionApproval {
	t.Helper()
	next := &v1alpha1.ActionApproval{Spec: *a.Spec.DeepCopy()}
	next.Namespace, next.GenerateName = a.Namespace, "next-"
	next.Spec.Follows, next.Spec.Decisions = a.Name, nil
	if err := b.Create(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	return next
}

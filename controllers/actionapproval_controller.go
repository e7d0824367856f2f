package controllers

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/approval"
	"github.com/countersign-dev/countersign/internal/archive"
	"github.com/countersign-dev/countersign/internal/registry"
)

// ActionApprovalReconciler writes the state of approvals that follows from what people decided and from time. It comes
// back at the very instant at which one expires. Uses are spent by the webhook; both write with the resourceVersion
// that they read.
type ActionApprovalReconciler struct {
	Client client.Client
	// Live reads from the API server what has ended: caches hold only a part of that.
	Live client.Reader
	// Archive holds the approvals.
	Archive  *archive.Archive
	Registry *registry.Registry
	Clock    clock.PassiveClock
}

// Reconcile implements reconcile.Reconciler.
func (r *ActionApprovalReconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	stored := &v1alpha1.ActionApproval{}
	if err := r.Client.Get(ctx, req.NamespacedName, stored); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	if _, ended := approval.Ended(stored); ended {
		if approval.Closed(stored) {
			return reconcile.Result{}, nil
		}
		if err := r.Live.Get(ctx, req.NamespacedName, stored); err != nil {
			return reconcile.Result{}, client.IgnoreNotFound(err)
		}
	}
	now := r.Clock.Now()
	desired := stored.DeepCopy()
	desired.Status = approval.StatusOf(stored, now)
	if r.unneeded(stored, now) {
		desired.Status = approval.End(stored, approval.NoLongerNeeded, "the windows are open by now", now)
	}
	if !equality.Semantic.DeepEqual(stored.Status, desired.Status) {
		switch err := r.Client.Status().Update(ctx, desired); {
		case apierrors.IsConflict(err):
			return reconcile.Result{RequeueAfter: conflictPause}, nil // the cache is about to catch up
		case err != nil:
			return reconcile.Result{}, client.IgnoreNotFound(fmt.Errorf("writing the status of approval %s: %w", req, err))
		}
	}
	return reconcile.Result{RequeueAfter: r.next(desired, now)}, nil
}

// unneeded says whether a request waits for nothing any more.
func (r *ActionApprovalReconciler) unneeded(a *v1alpha1.ActionApproval, now time.Time) bool {
	set := r.Registry.Set()
	return set != nil && a.Spec.Action != nil && approval.Evaluate(a, now) == approval.Pending && !set.Pending(a.Spec.Reasons, now)
}

// next is when the approval is to be looked at again; zero for never.
func (r *ActionApprovalReconciler) next(a *v1alpha1.ActionApproval, now time.Time) time.Duration {
	state := approval.Evaluate(a, now)
	expires := a.Spec.RequestExpiresAt
	if state == approval.Approved {
		expires = a.Status.ExpiresAt
	}
	if state.Terminal() || expires == nil {
		return 0
	}
	at := expires.Time
	if change := r.nextChange(a, now); state == approval.Pending && !change.IsZero() && change.Before(at) {
		at = change
	}
	return max(at.Sub(r.Clock.Now()), 1)
}

// nextChange is when the windows of a policy that asks change next, which may take the reasons away; zero for never.
func (r *ActionApprovalReconciler) nextChange(a *v1alpha1.ActionApproval, now time.Time) time.Time {
	var next time.Time
	set := r.Registry.Set()
	for _, reason := range a.Spec.Reasons {
		if set == nil || set.Policy(reason.Policy) == nil {
			continue
		}
		if until := set.Policy(reason.Policy).StateAt(now).Until; next.IsZero() || !until.IsZero() && until.Before(next) {
			next = until
		}
	}
	return next
}

// SetupWithManager watches approvals.
func (r *ActionApprovalReconciler) SetupWithManager(mgr ctrl.Manager) error {
	return approvalController(mgr, "actionapproval", passing(r.Archive, unlessClosed)).Complete(r)
}

package controllers

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/approval"
	"github.com/countersign-dev/countersign/internal/archive"
	"github.com/countersign-dev/countersign/internal/settlement"
)

// SettlementReconciler stores what became of the actions that were admitted under an approval, as long as that has not
// ended.
type SettlementReconciler struct {
	Client client.Client
	// Archive holds the approvals.
	Archive *archive.Archive
	Settler *settlement.Settler
	Clock   clock.PassiveClock
}

// settlements is how many approvals are looked at at once: some wait seconds for the API server.
const settlements = 4

// Reconcile implements reconcile.Reconciler.
func (r *SettlementReconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	a := &v1alpha1.ActionApproval{}
	if err := r.Client.Get(ctx, req.NamespacedName, a); err != nil {
		r.Settler.Forget(req.NamespacedName)
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	if approval.Evaluate(a, r.Clock.Now()).Terminal() {
		r.Settler.Forget(req.NamespacedName)
		return reconcile.Result{}, nil
	}
	settled, again, err := r.Settler.Settle(ctx, a)
	if err != nil || !settled {
		return reconcile.Result{RequeueAfter: again}, err
	}
	switch err := r.Client.Status().Update(ctx, a); {
	case apierrors.IsConflict(err):
		return reconcile.Result{RequeueAfter: conflictPause}, nil // the cache is about to catch up
	case err != nil:
		return reconcile.Result{}, client.IgnoreNotFound(fmt.Errorf("settling uses of approval %s: %w", req, err))
	}
	return reconcile.Result{RequeueAfter: again}, nil
}

// SetupWithManager watches approvals. Only the elected replica looks at all of them.
func (r *SettlementReconciler) SetupWithManager(mgr ctrl.Manager) error {
	return approvalController(mgr, "settlement", untilEnded(r.Archive)).
		WithOptions(controller.Options{MaxConcurrentReconciles: settlements, CacheSyncTimeout: approvalsTimeout}).Complete(r)
}

package controllers

import (
	"context"

	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/activity"
)

// AgentActivityReconciler removes what is known of agents who have done nothing for so long that no policy can ask for it.
type AgentActivityReconciler struct {
	Client client.Client
	Clock  clock.PassiveClock
}

// TransformActivity drops from the cache what only the webhooks want to know, who read it live: it may be large.
func TransformActivity(o any) (any, error) {
	if a, ok := o.(*v1alpha1.AgentActivity); ok {
		a.ManagedFields, a.Status.Recent = nil, nil
	}
	return o, nil
}

// Reconcile implements reconcile.Reconciler.
func (r *AgentActivityReconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	a := &v1alpha1.AgentActivity{}
	if err := r.Client.Get(ctx, req.NamespacedName, a); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	if left := activity.KeptUntil(a).Sub(r.Clock.Now()); left > 0 {
		return reconcile.Result{RequeueAfter: left}, nil
	}
	return reconcile.Result{}, removeAsSeen(ctx, r.Client, a)
}

// SetupWithManager watches activities. Only the elected replica removes.
func (r *AgentActivityReconciler) SetupWithManager(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).Named("agentactivity").For(&v1alpha1.AgentActivity{}).Complete(r)
}

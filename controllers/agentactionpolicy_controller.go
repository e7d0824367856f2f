package controllers

import (
	"context"
	"fmt"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/canary"
	"github.com/countersign-dev/countersign/internal/heartbeat"
	"github.com/countersign-dev/countersign/internal/registry"
)

// AgentActionPolicyReconciler writes the status of policies: whether they are understood, whether they are in force,
// and what their windows say. It comes back at the very instant at which a window opens or closes.
type AgentActionPolicyReconciler struct {
	Client   client.Client
	Registry *registry.Registry
	Endpoint Endpoint
	CABundle func() ([]byte, error)
	Recorder events.EventRecorder
	Clock    clock.PassiveClock
	// Canary says what the canary of this replica has found out, Replicas how the others stand to the policies that
	// this one decides with.
	Canary   func() canary.Status
	Replicas func(policies string) heartbeat.Standing
	// Definitions says why policies or approvals cannot be trusted, nil where they can.
	Definitions func() error
	// Changes calls f whenever what these say may have changed.
	Changes func(f func())

	deliveries deliveries
	outlook    outlook
}

// policyWorkers is how many statuses are written at once: after an upgrade, those of all policies are.
const policyWorkers = 4

// conflictPause is how long a pass waits that found its copy of a policy to be old.
const conflictPause = 50 * time.Millisecond

// Reconcile implements reconcile.Reconciler.
func (r *AgentActionPolicyReconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	if req.Name == everyPolicy {
		return reconcile.Result{}, r.spread(ctx)
	}
	stored := &v1alpha1.AgentActionPolicy{}
	if err := r.Client.Get(ctx, req.NamespacedName, stored); err != nil {
		if apierrors.IsNotFound(err) {
			r.outlook.note(req.Name, true)
		}
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	set := r.Registry.Set()
	if set == nil || set.Policy(stored.Name) == nil {
		return reconcile.Result{}, nil // the registry's update comes back here
	}
	compiled := set.Policy(stored.Name)
	pending, err := r.pending(ctx, set, stored.Name)
	if err != nil {
		return reconcile.Result{}, err
	}
	now := r.Clock.Now()
	state := compiled.StateAt(now)
	desired := stored.DeepCopy()
	desired.Status = statusOf(stored, compiled, state, pending, now)
	r.outlook.note(stored.Name, meta.IsStatusConditionTrue(desired.Status.Conditions, v1alpha1.PolicyEnforced))
	switch err := r.patchStatus(ctx, stored, desired); {
	case apierrors.IsConflict(err):
		return reconcile.Result{RequeueAfter: conflictPause}, nil // the cache is about to catch up
	case err != nil:
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	if state.Until.IsZero() {
		return reconcile.Result{}, nil
	}
	return reconcile.Result{RequeueAfter: max(state.Until.Sub(r.Clock.Now()), 1)}, nil
}

// patchStatus writes the status where it differs, and tells by an event when a policy becomes ready or stops to be.
func (r *AgentActionPolicyReconciler) patchStatus(ctx context.Context, stored, desired *v1alpha1.AgentActionPolicy) error {
	if equality.Semantic.DeepEqual(stored.Status, desired.Status) {
		return nil
	}
	patch := client.MergeFromWithOptions(stored, client.MergeFromWithOptimisticLock{})
	if err := r.Client.Status().Patch(ctx, desired, patch); err != nil {
		return fmt.Errorf("writing the status of policy %s: %w", stored.Name, err)
	}
	before := meta.FindStatusCondition(stored.Status.Conditions, v1alpha1.PolicyReady)
	after := meta.FindStatusCondition(desired.Status.Conditions, v1alpha1.PolicyReady)
	if before == nil || before.Reason != after.Reason {
		kind := corev1.EventTypeNormal
		if after.Reason != v1alpha1.ReasonCompiled {
			kind = corev1.EventTypeWarning
		}
		r.Recorder.Eventf(desired, nil, kind, after.Reason, "Compile", "%s", after.Message)
	}
	return nil
}

// SetupWithManager watches policies, the registry, and the stored webhook configuration.
func (r *AgentActionPolicyReconciler) SetupWithManager(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("agentactionpolicy").
		For(&v1alpha1.AgentActionPolicy{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&admissionregistrationv1.ValidatingWebhookConfiguration{}, handler.EnqueueRequestsFromMapFunc(all)).
		WatchesRawSource(registryUpdates(r.Registry, func(changed []string) []string { return append([]string{everyPolicy}, changed...) })).
		WatchesRawSource(source.Func(r.followChanges)).
		WithOptions(controller.Options{MaxConcurrentReconciles: policyWorkers}).
		Complete(r)
}

// followChanges asks for every policy when the canary or the replicas have something new to say.
func (r *AgentActionPolicyReconciler) followChanges(
	_ context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request],
) error {
	r.outlook.follow(queue)
	r.Changes(func() { queue.Add(requestsFor([]string{everyPolicy})[0]) })
	return nil
}

// all asks for every policy: the configuration that delivers them has changed.
func all(_ context.Context, o client.Object) []reconcile.Request {
	if o.GetName() != ActionsConfiguration {
		return nil
	}
	return requestsFor([]string{everyPolicy})
}

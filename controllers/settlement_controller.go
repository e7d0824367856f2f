package controllers

import (
	"context"
	"fmt"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/action"
	"github.com/countersign-dev/countersign/internal/approval"
	"github.com/countersign-dev/countersign/internal/catalogue"
	"github.com/countersign-dev/countersign/internal/history"
)

// SettlementReconciler finds out what became of the actions that were admitted under an approval, and gives back the
// uses of those that were not stored and cannot be any more. Admitted is not stored: what comes after admission can
// still refuse, and a write can land minutes later. So it reads what was stored since, and gives nothing back where that
// does not prove it.
//
// It asks soon after a use and then less and less often, but often enough that the API server still holds what happened
// in between.
type SettlementReconciler struct {
	Client    client.Client
	History   *history.Reader
	Catalogue *catalogue.Catalogue
	// Hasher gives the key under which actions are hashed.
	Hasher func() (action.Hasher, error)
	Clock  clock.PassiveClock
	// GiveBackAfter is how long a creation that did not appear is waited for, after its attempt was closed.
	GiveBackAfter time.Duration

	// mu guards marks.
	mu    sync.Mutex
	marks map[types.NamespacedName]map[string]history.Snapshot
}

const (
	// firstLook and lastLook bound the time from one look at a use to the next. The API server's caches hold what
	// happened for more than a minute, and its storage for five.
	firstLook, lastLook = 50 * time.Millisecond, 30 * time.Second
	// blindLook is when a use is looked at again whose object may not be read: rights may come.
	blindLook = 5 * time.Minute
	// settlements is how many approvals are looked at at once: some wait seconds for the API server.
	settlements = 4
)

// Reconcile implements reconcile.Reconciler.
func (r *SettlementReconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	a := &v1alpha1.ActionApproval{}
	if err := r.Client.Get(ctx, req.NamespacedName, a); err != nil {
		r.forget(req.NamespacedName)
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	if approval.Evaluate(a, r.Clock.Now()).Terminal() {
		r.forget(req.NamespacedName)
		return reconcile.Result{}, nil
	}
	settled, wait, err := r.settleAll(ctx, a)
	if err != nil || !settled {
		return reconcile.Result{RequeueAfter: wait}, err
	}
	switch err := r.Client.Status().Update(ctx, a); {
	case apierrors.IsConflict(err):
		return reconcile.Result{RequeueAfter: conflictPause}, nil // the cache is about to catch up
	case err != nil:
		return reconcile.Result{}, client.IgnoreNotFound(fmt.Errorf("settling uses of approval %s: %w", req, err))
	}
	return reconcile.Result{RequeueAfter: wait}, nil
}

// settleAll changes the status of an approval by what is found out about its uses. It says whether it did, and when to
// look again; zero for never.
func (r *SettlementReconciler) settleAll(ctx context.Context, a *v1alpha1.ActionApproval) (settled bool, wait time.Duration, err error) {
	for _, use := range a.Status.Uses { // a copy: settling replaces the list
		if approval.EvidenceOf(&use) == approval.NoEvidence {
			continue
		}
		found, err := r.investigate(ctx, a, &use)
		if err != nil {
			return settled, 0, fmt.Errorf("finding out what became of a use of %s/%s: %w", a.Namespace, a.Name, err)
		}
		if found.outcome == "" {
			wait = sooner(wait, found.again)
			continue
		}
		if a.Status, err = approval.Settle(a, use.Key, found.outcome, r.Clock.Now()); err != nil {
			return settled, 0, fmt.Errorf("settling a use of %s/%s: %w", a.Namespace, a.Name, err)
		}
		settled, wait = true, sooner(wait, found.again)
	}
	return settled, wait, nil
}

// sooner is the shorter of two times, of which zero means never.
func sooner(a, b time.Duration) time.Duration {
	if a == 0 || b == 0 {
		return max(a, b)
	}
	return min(a, b)
}

// SetupWithManager watches approvals. Only the elected replica settles.
func (r *SettlementReconciler) SetupWithManager(mgr ctrl.Manager) error {
	r.marks = map[types.NamespacedName]map[string]history.Snapshot{}
	return ctrl.NewControllerManagedBy(mgr).Named("settlement").For(&v1alpha1.ActionApproval{}).
		WithOptions(controller.Options{MaxConcurrentReconciles: settlements}).Complete(r)
}

// mark is the latest state up to which the history of a use is known; ok is false where none was read yet.
func (r *SettlementReconciler) mark(a *v1alpha1.ActionApproval, key string) (s history.Snapshot, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s, ok = r.marks[client.ObjectKeyFromObject(a)][key]
	return s, ok
}

func (r *SettlementReconciler) remember(a *v1alpha1.ActionApproval, key string, s history.Snapshot) {
	r.mu.Lock()
	defer r.mu.Unlock()
	name := client.ObjectKeyFromObject(a)
	if r.marks[name] == nil {
		r.marks[name] = map[string]history.Snapshot{}
	}
	r.marks[name][key] = s
}

func (r *SettlementReconciler) forget(name types.NamespacedName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.marks, name)
}

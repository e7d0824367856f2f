package controllers

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/approval"
	"github.com/countersign-dev/countersign/internal/archive"
)

// FollowsField is the field of an approval by which those that follow another one are found. What serves RetentionReconciler
// needs an index of that name.
const FollowsField = "spec.follows"

// ByFollows is the function of that index.
func ByFollows(a *v1alpha1.ActionApproval) []string {
	if a.Spec.Follows == "" {
		return nil
	}
	return []string{a.Spec.Follows}
}

// RetentionReconciler takes away what is no longer needed of approvals that have ended: the diff at once, and the object
// when it was kept for long enough. What still means something stays: a denial that holds, and whatever an approval that
// has not ended follows.
type RetentionReconciler struct {
	Client client.Client
	// Archive holds the approvals.
	Archive *archive.Archive
	Clock   clock.PassiveClock
	// Retention is how long an approval is kept after its end.
	Retention time.Duration
}

// followedPause is when an approval is looked at again that one follows which has not ended.
const followedPause = time.Hour

// Reconcile implements reconcile.Reconciler.
func (r *RetentionReconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	a := &v1alpha1.ActionApproval{}
	if err := r.Client.Get(ctx, req.NamespacedName, a); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	since, ended := approval.Ended(a)
	if !ended || !a.DeletionTimestamp.IsZero() {
		return reconcile.Result{}, nil
	}
	if a.Spec.Action != nil && a.Spec.Action.Diff != "" {
		return reconcile.Result{}, r.shed(ctx, a)
	}
	if left := approval.KeptUntil(a, since, r.Retention).Sub(r.Clock.Now()); left > 0 {
		return reconcile.Result{RequeueAfter: left}, nil
	}
	followed, err := r.followed(ctx, a)
	if err != nil || followed {
		return reconcile.Result{RequeueAfter: followedPause}, err
	}
	return reconcile.Result{}, removeAsSeen(ctx, r.Client, a)
}

// shed drops the diff, by which nobody decides any more. It writes nothing else: the cache holds only a part of what has
// ended.
func (r *RetentionReconciler) shed(ctx context.Context, a *v1alpha1.ActionApproval) error {
	whole := a.DeepCopy()
	a = a.DeepCopy()
	a.Spec.Action.Diff = ""
	err := r.Client.Patch(ctx, a, client.MergeFromWithOptions(whole, client.MergeFromWithOptimisticLock{}))
	if apierrors.IsConflict(err) { // the cache is about to catch up, and then it is looked at again
		return nil
	}
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("dropping the diff of approval %s/%s: %w", a.Namespace, a.Name, err)
	}
	return nil
}

// followed says whether an approval that has not ended follows this one, or follows one that does: requests for the same
// thing are found along that chain.
func (r *RetentionReconciler) followed(ctx context.Context, a *v1alpha1.ActionApproval) (bool, error) {
	seen, open := sets.New(a.Name), []string{a.Name}
	for len(open) > 0 {
		var followers v1alpha1.ActionApprovalList
		err := r.Client.List(ctx, &followers, client.InNamespace(a.Namespace), client.MatchingFields{FollowsField: open[0]})
		if err != nil {
			return false, fmt.Errorf("listing what follows approval %s/%s: %w", a.Namespace, open[0], err)
		}
		open = open[1:]
		for i := range followers.Items {
			f := &followers.Items[i]
			if _, ended := approval.Ended(f); !ended {
				return true, nil
			}
			if !seen.Has(f.Name) {
				seen.Insert(f.Name)
				open = append(open, f.Name)
			}
		}
	}
	return false, nil
}

// removeAsSeen deletes an object as it was looked at, and not one that has changed since: the cache is about to catch up
// then, and it is looked at again.
func removeAsSeen(ctx context.Context, c client.Client, o client.Object) error {
	uid, version := o.GetUID(), o.GetResourceVersion()
	err := c.Delete(ctx, o, client.Preconditions{UID: &uid, ResourceVersion: &version})
	if err == nil || apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return nil
	}
	return fmt.Errorf("removing %T %s: %w", o, client.ObjectKeyFromObject(o), err)
}

// SetupWithManager watches approvals. Only the elected replica removes.
//
// Those whose time comes later than the next sweep are not waited for one by one: there may be a hundred thousand.
func (r *RetentionReconciler) SetupWithManager(mgr ctrl.Manager) error {
	return approvalController(mgr, "retention", passing(r.Archive, r.soon)).
		WatchesRawSource(source.Func(r.sweep)).Complete(r)
}

// sweepInterval is how often approvals are looked for whose time comes before the next look.
const sweepInterval = time.Hour

// soon says whether something is to be done about an approval before the next sweep is over.
func (r *RetentionReconciler) soon(a *v1alpha1.ActionApproval) bool {
	since, ended := approval.Ended(a)
	if !ended {
		return false
	}
	sheds := a.Spec.Action != nil && a.Spec.Action.Diff != ""
	return sheds || approval.KeptUntil(a, since, r.Retention).Sub(r.Clock.Now()) <= 2*sweepInterval
}

// sweep asks for the approvals whose time comes soon, again and again.
func (r *RetentionReconciler) sweep(ctx context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
	go wait.UntilWithContext(ctx, func(ctx context.Context) {
		err := r.Archive.Each(ctx, func(a *v1alpha1.ActionApproval) bool {
			if r.soon(a) {
				queue.Add(reconcile.Request{NamespacedName: client.ObjectKeyFromObject(a)})
			}
			return ctx.Err() == nil
		})
		if err != nil {
			ctrl.LoggerFrom(ctx).Error(err, "Looking for approvals whose retention is over; that is tried again", "in", sweepInterval.String())
		}
	}, sweepInterval)
	return nil
}

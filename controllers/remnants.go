package controllers

import (
	"sync"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/approval"
)

// maxWords bounds the memory for words that many approvals have in common.
const maxWords = 20_000

// Remnants makes of approvals what the cache keeps: of those that have ended only what is still asked of them. What comes
// from such a cache must not be written.
type Remnants struct {
	mu    sync.Mutex
	words map[string]string
}

// Transform is for the cache.
func (r *Remnants) Transform(o any) (any, error) {
	a, ok := o.(*v1alpha1.ActionApproval)
	if !ok {
		return o, nil
	}
	a.ManagedFields = nil
	approval.Remnant(a)
	r.mu.Lock()
	defer r.mu.Unlock()
	words := []*string{&a.Namespace, &a.Spec.Requester.Username}
	for i := range a.Status.Conditions {
		c := &a.Status.Conditions[i]
		words = append(words, &c.Type, (*string)(&c.Status), &c.Reason)
	}
	for _, w := range words {
		r.share(w)
	}
	return a, nil
}

// share has a word be the same memory as the last that was alike.
func (r *Remnants) share(word *string) {
	if known, ok := r.words[*word]; ok {
		*word = known
		return
	}
	if r.words == nil || len(r.words) >= maxWords {
		r.words = map[string]string{}
	}
	r.words[*word] = *word
}

// approvalsTimeout is how long controllers wait for all approvals: a hundred thousand on a busy machine take minutes, and
// an operator that gave up would begin anew.
const approvalsTimeout = 15 * time.Minute

// approvalController begins a controller of approvals, which a cache of their own holds.
func approvalController(mgr ctrl.Manager, approvals cache.Cache, name string, passes predicate.Predicate) *builder.Builder {
	watched := source.Kind(approvals, client.Object(&v1alpha1.ActionApproval{}), &handler.EnqueueRequestForObject{}, passes)
	return ctrl.NewControllerManagedBy(mgr).Named(name).WatchesRawSource(watched).
		WithOptions(controller.Options{CacheSyncTimeout: approvalsTimeout})
}

// unlessClosed passes approvals whose state may still have to be written.
func unlessClosed() predicate.Predicate {
	return predicate.NewPredicateFuncs(func(o client.Object) bool {
		a, ok := o.(*v1alpha1.ActionApproval)
		return ok && !approval.Closed(a)
	})
}

// untilEnded passes approvals up to the change by which they end: of a hundred thousand that had ended before, none.
func untilEnded() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc: func(e event.CreateEvent) bool { return !hasEnded(e.Object) },
		UpdateFunc: func(e event.UpdateEvent) bool { return !hasEnded(e.ObjectOld) || !hasEnded(e.ObjectNew) },
	}
}

func hasEnded(o client.Object) bool {
	a, ok := o.(*v1alpha1.ActionApproval)
	if !ok {
		return false
	}
	_, ended := approval.Ended(a)
	return ended
}

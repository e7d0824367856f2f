package archive

import (
	"context"
	"errors"
	"fmt"

	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

// Source has a controller look at approvals that appear, change or go. It implements source.SyncingSource.
type Source struct {
	Archive *Archive
	// Appeared and Changed say which ones to look at. Those that go are all looked at.
	Appeared func(*v1alpha1.ActionApproval) bool
	Changed  func(before, after *v1alpha1.ActionApproval) bool

	registration toolscache.ResourceEventHandlerRegistration
}

// Start implements source.Source.
func (s *Source) Start(_ context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
	add := func(a *v1alpha1.ActionApproval) {
		queue.Add(reconcile.Request{NamespacedName: client.ObjectKeyFromObject(a)})
	}
	var err error
	s.registration, err = s.Archive.informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc: func(held any) {
			if a := view(held); a != nil && s.Appeared(a) {
				add(a)
			}
		},
		UpdateFunc: func(before, after any) {
			if b, a := view(before), view(after); b != nil && a != nil && s.Changed(b, a) {
				add(a)
			}
		},
		DeleteFunc: func(held any) {
			if a := view(held); a != nil {
				add(a)
			}
		},
	})
	if err != nil {
		return fmt.Errorf("watching approvals: %w", err)
	}
	return nil
}

// WaitForSync implements source.SyncingSource.
func (s *Source) WaitForSync(ctx context.Context) error {
	if s.registration == nil {
		return errors.New("watching approvals: it has not begun")
	}
	if !toolscache.WaitForCacheSync(ctx.Done(), s.registration.HasSynced) {
		return errUnsynced
	}
	return nil
}

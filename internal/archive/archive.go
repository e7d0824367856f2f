// Package archive holds approvals in memory: those that wait or can be used whole, of those that have ended what is still asked
// of them. There may be a hundred thousand of these.
package archive

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/approval"
)

// Archive is a cache of approvals. It implements client.Reader, for approvals and nothing else, and manager.Runnable.
type Archive struct {
	cache    cache.Cache
	informer toolscache.SharedIndexInformer
	// synced says that all approvals are held. They are from then on.
	synced atomic.Bool
}

// Options of an Archive.
type Options struct {
	HTTPClient *http.Client
	Scheme     *runtime.Scheme
	Mapper     meta.RESTMapper
	// Indexes are the fields by which approvals are found, and the values that one has there.
	Indexes map[string]func(*v1alpha1.ActionApproval) []string
}

// New makes one of all approvals in a cluster. It is empty until it is started.
func New(config *rest.Config, o Options) (*Archive, error) {
	a := &Archive{}
	var err error
	a.cache, err = cache.New(config, cache.Options{
		HTTPClient: o.HTTPClient, Scheme: o.Scheme, Mapper: o.Mapper,
		ByObject: map[client.Object]cache.ByObject{&v1alpha1.ActionApproval{}: {Transform: condense}},
		// The cache brings an index by namespace of its own, which nobody asks for here and which takes as much as the records.
		NewInformer: func(
			lw toolscache.ListerWatcher, o runtime.Object, resync time.Duration, _ toolscache.Indexers,
		) toolscache.SharedIndexInformer {
			return toolscache.NewSharedIndexInformer(lw, o, resync, toolscache.Indexers{})
		},
	})
	if err != nil {
		return nil, fmt.Errorf("making a cache of approvals: %w", err)
	}
	informer, err := a.cache.GetInformer(context.Background(), &v1alpha1.ActionApproval{}, cache.BlockUntilSynced(false))
	if err != nil {
		return nil, fmt.Errorf("watching approvals: %w", err)
	}
	var ok bool
	if a.informer, ok = informer.(toolscache.SharedIndexInformer); !ok {
		return nil, fmt.Errorf("watching approvals: %T is not an informer that can be read", informer)
	}
	indexers := toolscache.Indexers{}
	for name, of := range o.Indexes {
		indexers[name] = func(held any) ([]string, error) {
			if found := view(held); found != nil {
				return of(found), nil
			}
			return nil, fmt.Errorf("indexing approvals: %T is held", held)
		}
	}
	if err := a.informer.AddIndexers(indexers); err != nil {
		return nil, fmt.Errorf("indexing approvals: %w", err)
	}
	return a, nil
}

// condense makes of an approval what is held of it: a record where it has ended, else itself.
func condense(o any) (any, error) {
	a, ok := o.(*v1alpha1.ActionApproval)
	if !ok {
		return o, nil // it is condensed already, or stands for one that was deleted
	}
	if record := approval.RecordOf(a); record != nil {
		return record, nil
	}
	a.ManagedFields = nil
	return a, nil
}

// view is the approval for what is held of it; it is only read. Nil where something else is held.
func view(held any) *v1alpha1.ActionApproval {
	switch h := held.(type) {
	case *approval.Record:
		return h.Approval()
	case *v1alpha1.ActionApproval:
		return h
	case toolscache.DeletedFinalStateUnknown:
		return view(h.Obj)
	default:
		return nil
	}
}

// Start implements manager.Runnable.
func (a *Archive) Start(ctx context.Context) error {
	if err := a.cache.Start(ctx); err != nil {
		return fmt.Errorf("watching approvals: %w", err)
	}
	return nil
}

// NeedLeaderElection says that every replica holds them.
func (a *Archive) NeedLeaderElection() bool { return false }

// WaitForSync waits until all approvals are held; false where the context ends before.
func (a *Archive) WaitForSync(ctx context.Context) bool {
	if a.synced.Load() {
		return true // as every review asks, and but once there is something to wait for
	}
	if !toolscache.WaitForCacheSync(ctx.Done(), a.informer.HasSynced) {
		return false
	}
	a.synced.Store(true)
	return true
}

// Synced says that all approvals are held, as WaitForSync has found out.
func (a *Archive) Synced() bool { return a.synced.Load() }

// Revision tells the latest resourceVersion that was seen of approvals: the API server sends it now and then even where nothing
// changes.
func (a *Archive) Revision() string { return a.informer.LastSyncResourceVersion() }

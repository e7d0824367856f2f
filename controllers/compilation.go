package controllers

import (
	"context"
	"fmt"

	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/registry"
)

// Compilation keeps the registry equal to the policies in the cache. It implements manager.Runnable and runs on
// every replica. The registry stays empty, and agents refused, until the first complete list is there.
type Compilation struct {
	// Cache holds the policies.
	Cache cache.Cache
	// Registry is kept current.
	Registry *registry.Registry
}

// NeedLeaderElection says that every replica decides for itself.
func (c *Compilation) NeedLeaderElection() bool { return false }

// Start runs until the context ends.
func (c *Compilation) Start(ctx context.Context) error {
	informer, err := c.Cache.GetInformer(ctx, &v1alpha1.AgentActionPolicy{})
	if err != nil {
		return fmt.Errorf("watching policies: %w", err)
	}
	// One pending signal is enough: each pass reads the whole list.
	changed := make(chan struct{}, 1)
	signal := func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	registration, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { signal() },
		UpdateFunc: func(any, any) { signal() },
		DeleteFunc: func(any) { signal() },
	})
	if err != nil {
		return fmt.Errorf("watching policies: %w", err)
	}
	if !toolscache.WaitForCacheSync(ctx.Done(), registration.HasSynced) {
		return nil
	}
	signal()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
			if err := c.update(ctx); err != nil {
				return err
			}
		}
	}
}

func (c *Compilation) update(ctx context.Context) error {
	var list v1alpha1.AgentActionPolicyList
	// The compiler only reads, and the objects of the cache are never changed in place.
	if err := c.Cache.List(ctx, &list, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("listing policies: %w", err)
	}
	policies := make([]*v1alpha1.AgentActionPolicy, len(list.Items))
	for i := range list.Items {
		policies[i] = &list.Items[i]
	}
	c.Registry.Update(policies)
	return nil
}

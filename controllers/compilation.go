package controllers

import (
	"context"
	"fmt"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/definitions"
	"github.com/countersign-dev/countersign/internal/registry"
)

// Compilation keeps the registry equal to the policies in the cache. It implements manager.Runnable and runs on
// every replica. The registry stays empty, and agents refused, until the first complete list is there.
type Compilation struct {
	// Cache holds the policies.
	Cache cache.Cache
	// Registry is kept current.
	Registry *registry.Registry
	// Definitions says whether what the cache holds can be trusted.
	Definitions *definitions.Watch
	// Live reads policies from the API server, as they are stored, while their definition is of a later version.
	Live  client.Reader
	Clock clock.WithTicker

	stored storedPolicies
}

// verifyPause is how long it waits after it could not find out whether policies can be trusted.
const verifyPause = time.Second

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
		AddFunc: func(any) { signal() },
		UpdateFunc: func(before, after any) {
			if !sameGeneration(before, after) {
				signal()
			}
		},
		DeleteFunc: func(any) { signal() },
	})
	if err != nil {
		return fmt.Errorf("watching policies: %w", err)
	}
	if !toolscache.WaitForCacheSync(ctx.Done(), registration.HasSynced) {
		return nil
	}
	c.Definitions.OnChange(func(*unstructured.Unstructured, string) { signal() })
	if err := c.followConfiguration(ctx, signal); err != nil {
		return err
	}
	signal()
	for {
		var again <-chan time.Time
		switch pause, err := c.update(ctx); {
		case err != nil && ctx.Err() == nil:
			log.FromContext(ctx).WithName("policies").Error(err, "Keeping the policies as they were")
			again = c.Clock.After(verifyPause)
		case pause > 0:
			again = c.Clock.After(pause)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-again:
		}
	}
}

// sameGeneration says that two states of a policy differ in what is not compiled: as a rule in its status, of which ten thousand
// are written when an operator starts for the first time.
func sameGeneration(before, after any) bool {
	b, isPolicy := before.(*v1alpha1.AgentActionPolicy)
	a, isToo := after.(*v1alpha1.AgentActionPolicy)
	return isPolicy && isToo && a.UID == b.UID && a.Generation == b.Generation
}

// followConfiguration signals when the configuration changes that says whose policies were lost.
func (c *Compilation) followConfiguration(ctx context.Context, signal func()) error {
	informer, err := c.Cache.GetInformer(ctx, &admissionregistrationv1.ValidatingWebhookConfiguration{})
	if err != nil {
		return fmt.Errorf("watching webhook configurations: %w", err)
	}
	_, err = informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { signal() },
		UpdateFunc: func(any, any) { signal() },
		DeleteFunc: func(any) { signal() },
	})
	if err != nil {
		return fmt.Errorf("watching webhook configurations: %w", err)
	}
	return nil
}

// update takes in the policies as they are, unless they cannot be trusted: then those stay that were known. Policies
// vanish with their definition, and somebody else may serve them. It is to be done again after a pause, unless that is zero.
func (c *Compilation) update(ctx context.Context) (pause time.Duration, err error) {
	var list v1alpha1.AgentActionPolicyList
	// The compiler only reads, and the objects of the cache are never changed in place.
	if err := c.Cache.List(ctx, &list, client.UnsafeDisableDeepCopy); err != nil {
		return 0, fmt.Errorf("listing policies: %w", err)
	}
	policies := make([]*v1alpha1.AgentActionPolicy, len(list.Items))
	for i := range list.Items {
		policies[i] = &list.Items[i]
	}
	// Only now: what takes policies away with their definition is to be seen by then, and so is a definition that lets them
	// have fields which the cache has dropped.
	definition, err := c.Definitions.Verify(ctx)
	if err != nil {
		return 0, err
	}
	var stored admissionregistrationv1.ValidatingWebhookConfiguration
	err = c.Cache.Get(ctx, client.ObjectKey{Name: ActionsConfiguration}, &stored)
	if client.IgnoreNotFound(err) != nil {
		return 0, fmt.Errorf("reading webhook configuration %s: %w", ActionsConfiguration, err)
	}
	unknown, pause, err := c.stored.unknown(ctx, c.Live, &definition, policies, c.Clock.Now())
	if err != nil {
		return 0, err
	}
	c.Registry.UpdateFrom(registry.Contents{
		Policies: policies, Unknown: unknown, Definition: definition.UID, Orphans: lost(&stored, definition.UID),
	})
	return pause, nil
}

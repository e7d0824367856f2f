// Package catalogue knows what the API server serves: for the webhooks, which bring actions to normal form with it, and
// for the controllers, which find out what became of them.
package catalogue

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/utils/clock"

	"github.com/countersign-dev/countersign/internal/action"
)

// Catalogue knows what the API server serves: which resources are namespaced, which version of them is preferred,
// and which have a status subresource. It refreshes itself in the background and, for a resource it has not seen,
// at once. It implements manager.Runnable.
type Catalogue struct {
	discovery discovery.DiscoveryInterface
	clock     clock.WithTicker
	known     atomic.Pointer[Table]

	// mu serialises refreshes; refreshed is when the last one began.
	mu        sync.Mutex
	refreshed time.Time
}

const (
	// interval is how often the catalogue is read anew: a kind that changes is known that late at most.
	interval = 30 * time.Second
	// pause keeps requests for a resource that does not exist from becoming a load on the API server.
	pause = time.Second
)

// New returns an empty catalogue.
func New(d discovery.DiscoveryInterface, clk clock.WithTicker) *Catalogue {
	return &Catalogue{discovery: d, clock: clk}
}

// NeedLeaderElection says that every replica keeps its own catalogue.
func (c *Catalogue) NeedLeaderElection() bool { return false }

// Start refreshes the catalogue until the context ends.
func (c *Catalogue) Start(ctx context.Context) error {
	log := logr.FromContextOrDiscard(ctx).WithName("catalogue")
	ticker := c.clock.NewTicker(interval)
	defer ticker.Stop()
	for {
		if err := c.refresh(); err != nil {
			log.Error(err, "Reading what the API server serves")
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C():
		}
	}
}

// Facts says what is known about a resource. An error means that it is not served, or that the API server did not
// answer.
func (c *Catalogue) Facts(group, resource string) (action.KindFacts, error) {
	key := schema.GroupResource{Group: group, Resource: resource}
	if facts, ok := c.lookup(key); ok {
		return facts, nil
	}
	if err := c.refreshUnlessRecent(); err != nil {
		return action.KindFacts{}, err
	}
	if facts, ok := c.lookup(key); ok {
		return facts, nil
	}
	return action.KindFacts{}, fmt.Errorf("looking up %s: the API server does not list this resource", key)
}

// Resource says which resource a kind is. An error means that none is served, or that the API server did not answer.
func (c *Catalogue) Resource(group, kind string) (string, error) {
	if resource := c.ofKind(group, kind); resource != "" {
		return resource, nil
	}
	if err := c.refreshUnlessRecent(); err != nil {
		return "", err
	}
	if resource := c.ofKind(group, kind); resource != "" {
		return resource, nil
	}
	return "", fmt.Errorf("looking up %s: the API server does not list this kind", schema.GroupKind{Group: group, Kind: kind})
}

func (c *Catalogue) ofKind(group, kind string) string {
	known := c.known.Load()
	if known == nil {
		return ""
	}
	return known.ofKind(group, kind)
}

func (c *Catalogue) lookup(key schema.GroupResource) (action.KindFacts, bool) {
	known := c.known.Load()
	if known == nil {
		return action.KindFacts{}, false
	}
	facts, ok := (*known)[key]
	return facts, ok
}

func (c *Catalogue) refreshUnlessRecent() error {
	c.mu.Lock()
	recent := c.known.Load() != nil && c.clock.Since(c.refreshed) < pause
	c.mu.Unlock()
	if recent {
		return nil
	}
	return c.refresh()
}

// Read reads what an API server serves now. An aggregated API that does not answer leaves out its own group only.
func Read(d discovery.DiscoveryInterface) (Table, error) {
	groups, lists, err := d.ServerGroupsAndResources()
	var partial *discovery.ErrGroupDiscoveryFailed
	if err != nil && !errors.As(err, &partial) {
		return nil, fmt.Errorf("discovering resources: %w", err)
	}
	return collect(groups, lists), nil
}

// refresh reads the catalogue anew.
func (c *Catalogue) refresh() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refreshed = c.clock.Now()
	known, err := Read(c.discovery)
	if err != nil {
		return err
	}
	c.known.Store(&known)
	return nil
}

// collect takes for each resource the first version in the group's order of preference that serves it.
func collect(groups []*metav1.APIGroup, lists []*metav1.APIResourceList) Table {
	byVersion := make(map[string]*metav1.APIResourceList, len(lists))
	for _, l := range lists {
		byVersion[l.GroupVersion] = l
	}
	known := Table{}
	for _, g := range groups {
		for _, v := range preferredFirst(g) {
			if l := byVersion[v.GroupVersion]; l != nil {
				addVersion(known, g.Name, v.Version, l.APIResources)
			}
		}
	}
	return known
}

func preferredFirst(g *metav1.APIGroup) []metav1.GroupVersionForDiscovery {
	return append([]metav1.GroupVersionForDiscovery{g.PreferredVersion}, g.Versions...)
}

func addVersion(known Table, group, version string, resources []metav1.APIResource) {
	status := map[string]bool{}
	for i := range resources {
		if base, ok := strings.CutSuffix(resources[i].Name, "/status"); ok {
			status[base] = true
		}
	}
	for i := range resources {
		r := &resources[i]
		key := schema.GroupResource{Group: group, Resource: r.Name}
		if _, seen := known[key]; seen || strings.Contains(r.Name, "/") {
			continue
		}
		known[key] = action.KindFacts{
			Kind: r.Kind, Namespaced: r.Namespaced, PreferredVersion: version, HasStatus: status[r.Name],
		}
	}
}

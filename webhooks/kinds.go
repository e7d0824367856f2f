package webhooks

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

// Kinds knows what the API server serves: which resources are namespaced, which version of them is preferred,
// and which have a status subresource. It refreshes itself in the background and, for a resource it has not seen,
// at once. It implements manager.Runnable.
type Kinds struct {
	discovery discovery.DiscoveryInterface
	clock     clock.WithTicker
	known     atomic.Pointer[map[schema.GroupResource]action.KindFacts]

	// mu serialises refreshes; refreshed is when the last one began.
	mu        sync.Mutex
	refreshed time.Time
}

const (
	// kindsInterval is how often the catalogue is read anew: a kind that changes is known that late at most.
	kindsInterval = 30 * time.Second
	// kindsPause keeps requests for a resource that does not exist from becoming a load on the API server.
	kindsPause = time.Second
)

// NewKinds returns an empty catalogue.
func NewKinds(d discovery.DiscoveryInterface, c clock.WithTicker) *Kinds {
	return &Kinds{discovery: d, clock: c}
}

// NeedLeaderElection says that every replica keeps its own catalogue.
func (k *Kinds) NeedLeaderElection() bool { return false }

// Start refreshes the catalogue until the context ends.
func (k *Kinds) Start(ctx context.Context) error {
	log := logr.FromContextOrDiscard(ctx).WithName("kinds")
	ticker := k.clock.NewTicker(kindsInterval)
	defer ticker.Stop()
	for {
		if err := k.refresh(); err != nil {
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
func (k *Kinds) Facts(group, resource string) (action.KindFacts, error) {
	key := schema.GroupResource{Group: group, Resource: resource}
	if facts, ok := k.lookup(key); ok {
		return facts, nil
	}
	if err := k.refreshUnlessRecent(); err != nil {
		return action.KindFacts{}, err
	}
	if facts, ok := k.lookup(key); ok {
		return facts, nil
	}
	return action.KindFacts{}, fmt.Errorf("looking up %s: the API server does not list this resource", key)
}

func (k *Kinds) lookup(key schema.GroupResource) (action.KindFacts, bool) {
	known := k.known.Load()
	if known == nil {
		return action.KindFacts{}, false
	}
	facts, ok := (*known)[key]
	return facts, ok
}

func (k *Kinds) refreshUnlessRecent() error {
	k.mu.Lock()
	recent := k.known.Load() != nil && k.clock.Since(k.refreshed) < kindsPause
	k.mu.Unlock()
	if recent {
		return nil
	}
	return k.refresh()
}

// refresh reads the catalogue anew. An aggregated API that does not answer leaves out its own group only.
func (k *Kinds) refresh() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.refreshed = k.clock.Now()
	groups, lists, err := k.discovery.ServerGroupsAndResources()
	var partial *discovery.ErrGroupDiscoveryFailed
	if err != nil && !errors.As(err, &partial) {
		return fmt.Errorf("discovering resources: %w", err)
	}
	known := catalogue(groups, lists)
	k.known.Store(&known)
	return nil
}

// catalogue takes for each resource the first version in the group's order of preference that serves it.
func catalogue(groups []*metav1.APIGroup, lists []*metav1.APIResourceList) map[schema.GroupResource]action.KindFacts {
	byVersion := make(map[string]*metav1.APIResourceList, len(lists))
	for _, l := range lists {
		byVersion[l.GroupVersion] = l
	}
	known := map[schema.GroupResource]action.KindFacts{}
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

func addVersion(known map[schema.GroupResource]action.KindFacts, group, version string, resources []metav1.APIResource) {
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

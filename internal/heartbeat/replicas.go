package heartbeat

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

const (
	// stale is how long a Lease may go without being renewed before its replica is taken for gone. It is longer than
	// Limit: such a replica refuses agents by then, if it lives.
	stale = 12 * time.Second
	// forgotten is how long such a Lease is kept, to look at.
	forgotten = time.Minute
	// patience is how long a replica may decide with other policies before that counts against policies that were in
	// force.
	patience = 15 * time.Second
	// look is how often time is looked at.
	look = time.Second
)

// What CanaryAnnotation says.
const (
	// CanaryUp is of one that is refused.
	CanaryUp = "Up"
	// CanaryUnknown is of one that has just begun.
	CanaryUnknown = "Unknown"
	// CanaryDown begins the annotation of one that is not refused; why follows.
	CanaryDown = "Down"
)

// Replicas follows the heartbeats of all replicas. It implements manager.Runnable, for the leader, which also removes the
// Leases of those that are gone.
type Replicas struct {
	Cache  cache.Cache
	Client client.Client
	Clock  clock.WithTicker
	// Own says with which policies this replica decides.
	Own func() string

	// mu guards what follows.
	mu        sync.Mutex
	seen      map[string]*replica
	lagging   time.Time // since when some replica lags; zero: none does
	last      string    // how the others stood when that was looked at last
	owed      bool      // since listeners were called last, somebody was told that something is in the way
	listeners []func()
}

// OnChange calls f when the answers of Standing may have changed. It must not block.
func (r *Replicas) OnChange(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.listeners = append(r.listeners, f)
}

// replica is what is known of one.
type replica struct {
	version          string // of its Lease
	renewed          time.Time
	policies, canary string
}

// Standing is how the other replicas stand to the policies of this one.
type Standing struct {
	// Lagging are the replicas that decide with other policies, sorted.
	Lagging []string
	// Patient says that they have not done so for long.
	Patient bool
	// Blind are the replicas whose canary is not refused, each with why, sorted.
	Blind []string
}

// Start follows until the context ends.
func (r *Replicas) Start(ctx context.Context) error {
	informer, err := r.Cache.GetInformer(ctx, &coordinationv1.Lease{})
	if err != nil {
		return fmt.Errorf("watching the leases of replicas: %w", err)
	}
	changed := make(chan struct{}, 1)
	signal := func(any) {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	registration, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc: signal, UpdateFunc: func(_, after any) { signal(after) }, DeleteFunc: signal,
	})
	if err != nil {
		return fmt.Errorf("watching the leases of replicas: %w", err)
	}
	if !toolscache.WaitForCacheSync(ctx.Done(), registration.HasSynced) {
		return nil
	}
	ticker := r.Clock.NewTicker(look)
	defer ticker.Stop()
	for {
		if err := r.follow(ctx); err != nil {
			log.FromContext(ctx).WithName("replicas").Error(err, "Following the heartbeats of replicas")
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C():
		case <-changed:
		}
	}
}

// follow takes in the Leases as they are now.
func (r *Replicas) follow(ctx context.Context) error {
	var list coordinationv1.LeaseList
	if err := r.Cache.List(ctx, &list, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("listing the leases of replicas: %w", err)
	}
	gone := r.take(list.Items)
	for _, lease := range gone {
		if err := client.IgnoreNotFound(r.Client.Delete(ctx, lease)); err != nil {
			return fmt.Errorf("deleting the lease of a replica that is gone: %w", err)
		}
	}
	for _, f := range r.news() {
		f()
	}
	return nil
}

// news are the listeners who would learn something. That how the others stand is as it was when that was looked at last does
// not say so: who asked in between, after the policies had changed and before the Leases followed, was told something else.
func (r *Replicas) news() []func() {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.standing(r.Own())
	before, owed := r.last, r.owed && s.clear()
	r.last = fmt.Sprint(s)
	if r.last == before && !owed {
		return nil
	}
	r.owed = false
	return r.listeners
}

// take notes when each Lease was seen to change, by the clock of this process, and returns those to be removed.
func (r *Replicas) take(leases []coordinationv1.Lease) []*coordinationv1.Lease {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.Clock.Now()
	next := make(map[string]*replica, len(leases))
	var gone []*coordinationv1.Lease
	for i := range leases {
		l := &leases[i]
		known := r.seen[l.Name]
		if known == nil || known.version != l.ResourceVersion {
			known = &replica{
				version: l.ResourceVersion, renewed: now,
				policies: l.Annotations[PoliciesAnnotation], canary: l.Annotations[CanaryAnnotation],
			}
		}
		if now.Sub(known.renewed) > forgotten {
			gone = append(gone, l.DeepCopy())
			continue
		}
		next[l.Name] = known
	}
	r.seen = next
	if len(r.lag(r.Own())) == 0 {
		r.lagging = time.Time{}
	} else if r.lagging.IsZero() {
		r.lagging = now
	}
	return gone
}

// Standing says how the others stand to policies, as Lease annotations identify them.
func (r *Replicas) Standing(policies string) Standing {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.standing(policies)
	r.owed = r.owed || !s.clear()
	return s
}

// clear says that nothing is in the way.
func (s *Standing) clear() bool { return len(s.Lagging)+len(s.Blind) == 0 }

func (r *Replicas) standing(policies string) Standing {
	s := Standing{Lagging: r.lag(policies)}
	s.Patient = r.lagging.IsZero() || r.Clock.Now().Sub(r.lagging) <= patience
	for name, known := range r.seen {
		if why, down := strings.CutPrefix(known.canary, CanaryDown); down && r.alive(known) {
			s.Blind = append(s.Blind, name+why)
		}
	}
	slices.Sort(s.Blind)
	return s
}

// lag are the replicas that serve with other policies. Those that have read none refuse agents.
func (r *Replicas) lag(policies string) []string {
	var names []string
	for name, known := range r.seen {
		if known.policies != "" && known.policies != policies && r.alive(known) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func (r *Replicas) alive(known *replica) bool { return r.Clock.Now().Sub(known.renewed) <= stale }

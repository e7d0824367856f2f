// Package registry holds the compiled policies with which this process decides, for the webhook that reads them
// and the controllers that keep them current.
package registry

import (
	"errors"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/types"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/policy"
)

// Registry holds one immutable policy set at a time. Readers never wait. The zero value is not ready to use; see
// New.
type Registry struct {
	self     policy.Identity
	operator policy.Operator
	current  atomic.Pointer[State]

	// mu guards what follows: only one writer builds the next set.
	mu        sync.Mutex
	compiled  map[string]*policy.Policy
	listeners []func(changed []string)
}

// State is a set of policies and where it comes from.
type State struct {
	Set *policy.Set
	// Definition is the UID of the resource definition of the policies, empty where that is not known.
	Definition string
	// Orphans says that policies have vanished with an earlier definition. Whom they named nobody knows any more but the
	// stored webhook configuration: whoever it sends is to be refused, also where no policy names them.
	Orphans bool
}

// New returns an empty registry. Self is whom the operator acts as, so that no policy governs it.
func New(self policy.Identity, operator policy.Operator) *Registry {
	return &Registry{self: self, operator: operator, compiled: map[string]*policy.Policy{}}
}

// Set is the current set, nil before the first Update: then nothing is known, and agents must be refused.
func (r *Registry) Set() *policy.Set { return r.State().Set }

// State is the current set with where it comes from. Its set is nil before the first Update.
func (r *Registry) State() State {
	if s := r.current.Load(); s != nil {
		return *s
	}
	return State{}
}

// Self is whom the operator acts as.
func (r *Registry) Self() policy.Identity { return r.self }

// Ready is a health check: it fails before the first Update.
func (r *Registry) Ready(*http.Request) error {
	if r.Set() == nil {
		return errors.New("the policies have not been read yet")
	}
	return nil
}

// OnUpdate calls f after every change of the set with the names of the policies that changed or went. It must not
// block.
func (r *Registry) OnUpdate(f func(changed []string)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.listeners = append(r.listeners, f)
}

// Contents are what a set is made of.
type Contents struct {
	Policies []*v1alpha1.AgentActionPolicy
	// Unknown are the fields of stored policies that this version does not have, by the UID of the policy.
	Unknown map[types.UID][]string
	// Definition and Orphans are as in State.
	Definition string
	Orphans    bool
}

// Update replaces the set by one of exactly these policies, whose definition is not known.
func (r *Registry) Update(policies []*v1alpha1.AgentActionPolicy) {
	r.UpdateFrom(Contents{Policies: policies})
}

// UpdateFrom replaces the set by one of exactly these policies. It compiles only what has changed.
func (r *Registry) UpdateFrom(c Contents) {
	r.mu.Lock()
	defer r.mu.Unlock()
	all, changed := r.compile(&c)
	next := make(map[string]*policy.Policy, len(all))
	for _, p := range all {
		next[p.Name] = p
	}
	for name := range r.compiled {
		if next[name] == nil {
			changed = append(changed, name)
		}
	}
	state := r.State()
	if len(changed) == 0 && state.Set != nil && state.Definition == c.Definition && state.Orphans == c.Orphans {
		return
	}
	if len(changed) > 0 || state.Set == nil {
		state.Set = policy.NewSet(all, r.operator)
	}
	r.compiled = next
	r.current.Store(&State{Set: state.Set, Definition: c.Definition, Orphans: c.Orphans})
	for _, f := range r.listeners {
		f(changed)
	}
}

// compile compiles what has changed, on all processors: a guard takes half a millisecond, and there may be ten thousand.
func (r *Registry) compile(c *Contents) (all []*policy.Policy, changed []string) {
	all = make([]*policy.Policy, len(c.Policies))
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i, p := range c.Policies {
		known := r.compiled[p.Name]
		if known != nil && known.UID == string(p.UID) && known.Generation == p.Generation &&
			slices.Equal(known.Unknown, c.Unknown[p.UID]) {
			all[i] = known
			continue
		}
		changed = append(changed, p.Name)
		group.Go(func() error {
			all[i] = policy.CompileStored(p, c.Unknown[p.UID], r.self)
			return nil
		})
	}
	_ = group.Wait() // compiling does not fail: what is wrong stands in the policy
	return all, changed
}

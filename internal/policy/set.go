package policy

import (
	"cmp"
	"slices"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/action"
)

// Set is an immutable index over compiled policies: by subject, then by resource. What does not match an action
// costs it nothing.
type Set struct {
	policies []*Policy // by name
	// users, groups and accounts hold the policies that name a user, a group, or every service account of a
	// namespace; everyone holds those with the subject Governed.
	users, groups, accounts map[string]*bucket
	everyone                *bucket
	operator                Operator
	// remembers says that some policy needs to know what agents did.
	remembers bool
	// state identifies the policies.
	state string
}

// Operator says what belongs to Countersign itself, for the actions that are reserved.
type Operator struct {
	// Namespace the operator lives in. Empty while it runs outside of a cluster.
	Namespace string
	// OwnerClusterRole names the ClusterRole that owns the webhook configurations: they go when it goes. Empty while
	// there is none.
	OwnerClusterRole string
	// Canary is the user name of the canary, which is governed whatever the policies say and refused everything. Empty
	// while there is none.
	Canary string
}

// isCanary says whether an actor is the canary.
func (o *Operator) isCanary(actor action.Actor) bool {
	return o.Canary != "" && actor.Username == o.Canary
}

// bucket holds the policies of one subject.
type bucket struct {
	enforced, observed byResource
	// governs says that an Enforce policy is among them.
	governs bool
	// memory is what the policies need together, whatever resource they are about.
	memory memory
}

// byResource finds policies by the resource they govern.
type byResource struct {
	named map[groupResource][]*Policy
	any   []*Policy
}

type groupResource struct{ group, resource string }

// NewSet makes an index over policies.
func NewSet(policies []*Policy, operator Operator) *Set {
	sorted := slices.Clone(policies)
	slices.SortFunc(sorted, byName)
	s := &Set{
		policies: sorted, operator: operator, everyone: newBucket(),
		users: map[string]*bucket{}, groups: map[string]*bucket{}, accounts: map[string]*bucket{},
	}
	for _, p := range sorted {
		s.remembers = s.remembers || !p.memory.empty()
		for _, subject := range p.subjects {
			s.add(subject, p)
		}
	}
	s.state = identify(sorted)
	return s
}

// State identifies the policies of the set: two sets with the same one hold the same generation of every policy.
func (s *Set) State() string { return s.state }

func byName(a, b *Policy) int { return cmp.Compare(a.Name, b.Name) }

// Canary is the user name of the canary, empty where there is none.
func (s *Set) Canary() string { return s.operator.Canary }

// Policies are the policies of the set, by name. The caller must not change the slice.
func (s *Set) Policies() []*Policy { return s.policies }

// Policy finds a policy by name, nil where there is none.
func (s *Set) Policy(name string) *Policy {
	i, found := slices.BinarySearchFunc(s.policies, name, func(p *Policy, n string) int { return cmp.Compare(p.Name, n) })
	if !found {
		return nil
	}
	return s.policies[i]
}

func newBucket() *bucket {
	return &bucket{
		enforced: byResource{named: map[groupResource][]*Policy{}},
		observed: byResource{named: map[groupResource][]*Policy{}},
	}
}

func (s *Set) add(subject v1alpha1.Subject, p *Policy) {
	switch subject.Kind {
	case v1alpha1.SubjectServiceAccount:
		if subject.Name == "*" {
			bucketOf(s.accounts, subject.Namespace).add(p)
			return
		}
		bucketOf(s.users, ServiceAccountUsername(subject.Namespace, subject.Name)).add(p)
	case v1alpha1.SubjectUser:
		bucketOf(s.users, subject.Name).add(p)
	case v1alpha1.SubjectGroup:
		bucketOf(s.groups, subject.Name).add(p)
	case v1alpha1.SubjectGoverned:
		s.everyone.add(p)
	default: // Compile has refused the policy, and nobody can be meant by it
	}
}

func bucketOf(m map[string]*bucket, key string) *bucket {
	if m[key] == nil {
		m[key] = newBucket()
	}
	return m[key]
}

func (b *bucket) add(p *Policy) {
	b.memory = b.memory.with(p.memory)
	// Anything that is not plainly Warn or Audit is enforced.
	if p.Enforcement == v1alpha1.Warn || p.Enforcement == v1alpha1.Audit {
		b.observed.add(p)
		return
	}
	b.governs = true
	b.enforced.add(p)
}

func (r *byResource) add(p *Policy) {
	if p.broken != "" || len(p.governs.rules) == 0 {
		r.any = append(r.any, p)
		return
	}
	for _, rule := range p.governs.rules {
		for _, resource := range rule.Resources {
			for _, group := range rule.APIGroups {
				r.addNamed(group, resource, p)
			}
		}
	}
}

func (r *byResource) addNamed(group, resource string, p *Policy) {
	base := baseResource(resource)
	if group == "*" || base == "*" {
		r.any = append(r.any, p)
		return
	}
	key := groupResource{group, base}
	r.named[key] = append(r.named[key], p)
}

// candidates are the policies that may be about an action.
type candidates struct {
	governed           bool
	enforced, observed []*Policy
	// everyone are the Enforce policies with the subject Governed.
	everyone []*Policy
	// memory is what the policies of the actor need, whatever resource they are about.
	memory memory
}

// find collects the policies of the actor and the resource. The slices are sorted by name, without repetition.
func (s *Set) find(a *action.Action) candidates {
	var c candidates
	key := groupResource{a.Group, a.Resource}
	take := func(b *bucket) {
		if b == nil {
			return
		}
		c.governed = c.governed || b.governs
		c.memory = c.memory.with(b.memory)
		c.enforced = b.enforced.appendTo(c.enforced, key)
		c.observed = b.observed.appendTo(c.observed, key)
	}
	c.governed = s.operator.isCanary(a.Actor)
	take(s.users[a.Actor.Username])
	if namespace, _, ok := splitServiceAccount(a.Actor.Username); ok {
		take(s.accounts[namespace])
		// The group of an impersonated or forged service account may be missing: it follows from the name.
		take(s.groups[serviceAccountsGroupPrefix+namespace])
	}
	for _, g := range a.Actor.Groups {
		take(s.groups[g])
	}
	c.everyone = s.everyone.enforced.appendTo(nil, key)
	if c.governed {
		c.memory = c.memory.with(s.everyone.memory)
		c.enforced = append(c.enforced, c.everyone...)
		c.observed = s.everyone.observed.appendTo(c.observed, key)
	}
	c.enforced, c.observed = unique(c.enforced), unique(c.observed)
	return c
}

// haveGuards says whether one of the policies has guards.
func (c *candidates) haveGuards() bool {
	have := func(p *Policy) bool { return len(p.guards) > 0 }
	return slices.ContainsFunc(c.enforced, have) || slices.ContainsFunc(c.observed, have) || slices.ContainsFunc(c.everyone, have)
}

func (r *byResource) appendTo(list []*Policy, key groupResource) []*Policy {
	return append(append(list, r.any...), r.named[key]...)
}

func unique(list []*Policy) []*Policy {
	slices.SortFunc(list, byName)
	return slices.Compact(list)
}

// Governs says whether an Enforce policy names the actor.
func (s *Set) Governs(actor action.Actor) bool {
	return s.find(&action.Action{Actor: actor}).governed
}

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
	// guards says that one of them has guards.
	guards bool
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
	b.guards = b.guards || len(p.guards) > 0
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
		r.any = appendNew(r.any, p)
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
		r.any = appendNew(r.any, p)
		return
	}
	key := groupResource{group, base}
	r.named[key] = appendNew(r.named[key], p)
}

// appendNew appends the policy at hand to a list that may have it already, as its last.
func appendNew(list []*Policy, p *Policy) []*Policy {
	if len(list) > 0 && list[len(list)-1] == p {
		return list
	}
	return append(list, p)
}

// candidates are the policies that may be about an action.
type candidates struct {
	governed           bool
	enforced, observed []*Policy
	// everyone are the Enforce policies with the subject Governed.
	everyone []*Policy
	// guards says that one of them, or of those about other resources, has guards.
	guards bool
	// memory is what the policies of the actor need, whatever resource they are about.
	memory memory
}

// find collects the policies of the actor and the resource. The slices are sorted by name, without repetition; they may be
// those of the index, and must not be changed.
func (s *Set) find(a *action.Action) candidates {
	var c candidates
	key := groupResource{a.Group, a.Resource}
	take := func(b *bucket) {
		if b == nil {
			return
		}
		c.governed = c.governed || b.governs
		c.take(b)
		c.enforced = b.enforced.join(c.enforced, key)
		c.observed = b.observed.join(c.observed, key)
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
	c.everyone = s.everyone.enforced.join(nil, key)
	c.guards = c.guards || s.everyone.guards
	if c.governed {
		c.take(s.everyone)
		c.enforced = join(c.enforced, c.everyone)
		c.observed = s.everyone.observed.join(c.observed, key)
	}
	return c
}

// take takes over what a bucket says of its policies as a whole.
func (c *candidates) take(b *bucket) {
	c.guards = c.guards || b.guards
	c.memory = c.memory.with(b.memory)
}

// join joins a list with the policies that may be about a resource.
func (r *byResource) join(list []*Policy, key groupResource) []*Policy {
	return join(join(list, r.any), r.named[key])
}

// join joins two lists of the order and form of candidates. Mostly one of them is empty, and then nothing is copied.
func join(a, b []*Policy) []*Policy {
	switch {
	case len(a) == 0:
		return b
	case len(b) == 0:
		return a
	default:
		return unique(slices.Concat(a, b))
	}
}

func unique(list []*Policy) []*Policy {
	slices.SortFunc(list, byName)
	return slices.Compact(list)
}

// Governs says whether an Enforce policy names the actor.
func (s *Set) Governs(actor action.Actor) bool {
	return s.find(&action.Action{Actor: actor}).governed
}

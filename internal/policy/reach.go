package policy

import (
	"slices"
	"strings"
	"time"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/action"
)

// Class is a class of actions: all those of one actor with one operation on one resource, whatever they hold.
type Class struct {
	Actor     action.Actor
	Operation v1alpha1.Operation
	// Group, Resource and Subresource in normal form.
	Group, Resource, Subresource string
	// Namespaced says that objects of the kind live in namespaces, Namespace in which one.
	Namespaced bool
	Namespace  string
	// NamespaceLabels as in Input: nil means that they are not known.
	NamespaceLabels map[string]string
	// Name of the object; empty: any.
	Name string
	// Scale says that nothing but the number of replicas changes.
	Scale bool
}

// Reach says how far a class of actions gets. What only the content of an action shows is left out: a task that reaches
// a class covers some actions of it, and a class that is not reserved can hold actions that are.
type Reach struct {
	// Governed says that an Enforce policy names the actor.
	Governed bool
	// Always says that no policy is asked: the class is part of how every client works.
	Always bool
	// Reserved says why all of the class are refused whatever policies say; empty where they are not.
	Reserved string
	// OutOfScope is what becomes of actions that no task covers; empty where no policy governs the class.
	OutOfScope v1alpha1.OutOfScope
	// Tasks are those that cover actions of the class.
	Tasks []TaskReach
	// LookBack is how far back nothing that is recorded of the actor may be lost.
	LookBack time.Duration
	// Recorded says that everything of the class is recorded, whichever task covers it.
	Recorded bool
}

// TaskReach is a task that covers actions of a class.
type TaskReach struct {
	Policy, Task string
	// Names are the objects it covers; none: whatever their names.
	Names []string
	// Recorded says that what passes under the task is recorded in the AgentActivity of its user.
	Recorded bool
}

// Reach says how far a class of actions gets, by the code that decides on each of them.
func (s *Set) Reach(class Class) Reach {
	in := class.input()
	c := s.find(in.Action)
	r := Reach{Governed: c.governed, LookBack: c.memory.longest, Recorded: c.governed && c.memory.recent > 0}
	if !c.governed {
		return r
	}
	if r.Reserved = s.reserved(&in); r.Reserved != "" {
		return r
	}
	if r.Always = neverGoverned(in.Action); r.Always {
		return r
	}
	q := ask(in)
	for _, p := range c.enforced {
		if !p.governs.reaches(in) {
			continue
		}
		if r.OutOfScope == "" || severity(p.outOfScope) > severity(r.OutOfScope) {
			r.OutOfScope = outOfScopeOf(p)
		}
		for _, t := range p.tasks {
			if names, covers := t.scope.reaches(q); covers && p.broken == "" {
				r.Tasks = append(r.Tasks, TaskReach{p.Name, t.name, names, r.Recorded || t.budget != nil})
			}
		}
	}
	return r
}

// outOfScopeOf is what a policy does with what no task covers; one that cannot judge refuses.
func outOfScopeOf(p *Policy) v1alpha1.OutOfScope {
	if p.outOfScope == "" || p.broken != "" {
		return v1alpha1.OutOfScopeDeny
	}
	return p.outOfScope
}

// input is the action of the class that is the least likely to be refused for what it holds.
func (class *Class) input() Input {
	a := &action.Action{
		Actor: class.Actor, Operation: class.Operation, Group: class.Group, Resource: class.Resource,
		Subresource: class.Subresource, Namespaced: class.Namespaced, Name: class.Name,
	}
	if class.Namespaced {
		a.Namespace = class.Namespace
	}
	if class.Scale {
		a.Changes = []action.Change{{Path: replicas}}
	}
	if class.Group == v1alpha1.GroupName && class.Operation == v1alpha1.OperationCreate {
		a.New = map[string]any{"spec": map[string]any{"task": map[string]any{}}} // as what an agent may ask for
	}
	if class.Subresource == "token" && class.Name != "" && a.Actor.Username == ServiceAccountUsername(a.Namespace, a.Name) {
		a.UID = a.Actor.UID
	}
	return Input{Action: a, NamespaceLabels: class.NamespaceLabels}
}

// reaches says whether the policy is about some actions of a class: which labels a Namespace has, only its content says.
func (g *governs) reaches(in Input) bool {
	if isNamespace(in.Action) {
		whole := *g
		whole.namespaces = nil
		return whole.matches(in)
	}
	return g.matches(in)
}

// reaches says whether a scope covers some actions of a class, and for which objects: all, where it names none.
func (s *scope) reaches(q *question) (names []string, covers bool) {
	if s.coversNamespace(q) != nil || s.coversFields(q) != nil {
		return nil, false
	}
	if s.coversAction(q) == nil {
		return nil, true
	}
	if q.Action.Name != "" {
		return nil, false
	}
	for i := range s.rules {
		for _, name := range s.rules[i].ResourceNames {
			named := *q.Action
			named.Name = name
			with := *q
			with.Action = &named
			if s.coversAction(&with) == nil {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names), len(names) > 0
}

// Places tells namespaces apart for an actor: in two for which it returns the same, classes of actions get as far.
func (s *Set) Places(actor action.Actor) func(namespace string, labels map[string]string) string {
	var policies []*Policy
	for _, p := range s.policies {
		if s.names(p, actor) {
			policies = append(policies, p)
		}
	}
	home, _, _ := splitServiceAccount(actor.Username)
	return func(namespace string, labels map[string]string) string {
		var place strings.Builder
		note := func(is bool) {
			if is {
				place.WriteByte('1')
			} else {
				place.WriteByte('0')
			}
		}
		note(namespace == home)
		note(namespace == s.operator.Namespace)
		for _, p := range policies {
			note(p.governs.namespaces == nil || labels == nil || matchesLabels(p.governs.namespaces, labels))
			for _, t := range p.tasks {
				note(t.scope.namespaceless() || t.scope.inNamespace(namespace, labels))
			}
		}
		return place.String()
	}
}

// Naming are the Enforce policies that name an actor, in the order of their names.
func (s *Set) Naming(actor action.Actor) []*Policy {
	var policies []*Policy
	for _, p := range s.policies {
		if p.Enforcement != v1alpha1.Warn && p.Enforcement != v1alpha1.Audit && s.names(p, actor) {
			policies = append(policies, p)
		}
	}
	return policies
}

// OutOfScope is what the policy does with what no task covers.
func (p *Policy) OutOfScope() v1alpha1.OutOfScope { return outOfScopeOf(p) }

// Operator is what belongs to Countersign itself.
func (s *Set) Operator() Operator { return s.operator }

package privilege

import (
	"reflect"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
)

// holding are the rights that are to be held in one place, by group, resource and names.
type holding map[rightKey]map[string]bool

// keeper collects what the subject is to keep.
type keeper struct {
	review *Review
	// places by namespace; "" is everywhere.
	places map[string]holding
	tasks  map[string]*keptTask
	// paths are rules about paths of the API server rather than resources.
	paths []rbacv1.PolicyRule
	left  []string
	// outside counts the rights to write that no task covers.
	outside int
}

// Objects are all that is to be applied, in the order in which it is.
func (p *Replacement) Objects() []any {
	var all []any
	for i := range p.ClusterRoles {
		all = append(all, &p.ClusterRoles[i])
	}
	for i := range p.ClusterRoleBindings {
		all = append(all, &p.ClusterRoleBindings[i])
	}
	for i := range p.Roles {
		all = append(all, &p.Roles[i])
	}
	for i := range p.RoleBindings {
		all = append(all, &p.RoleBindings[i])
	}
	for i := range p.Policies {
		all = append(all, &p.Policies[i])
	}
	return all
}

// right keeps of a right what the subject needs.
func (k *keeper) right(g *Grant, r *Right) {
	var kept, dropped []string
	for _, verb := range r.Verbs {
		if k.review.isRoute(r, verb, g.Namespace) {
			dropped = append(dropped, verb)
			continue
		}
		kept = append(kept, verb)
	}
	if passes := keepable(r.Coverage) || r.Coverage == Read || r.Coverage == Other; passes && len(dropped) > 0 {
		k.left = append(k.left, r.withVerbs(dropped)+g.where()+": a route around the gate")
	}
	if r.Coverage == Read || r.Coverage == Other {
		for _, verb := range kept {
			k.keep(g.Namespace, r, verb, r.Names)
		}
		return
	}
	some := false
	for i := range r.classes {
		c := &r.classes[i]
		verbs := slices.DeleteFunc(slices.Clone(c.verbs), func(verb string) bool { return !slices.Contains(kept, verb) })
		if len(verbs) == 0 {
			continue
		}
		for place, names := range k.where(g, r, c) {
			some = true
			for _, verb := range verbs {
				k.keep(place, r, verb, names)
			}
		}
		k.keepTasks(g, r, c)
	}
	if !some {
		k.outside++
	}
}

// keepable says whether a right of that coverage is one that the subject needs, or may.
func keepable(c Coverage) bool {
	return c == ByTask || c == Always || c == Allowed || c == Ungoverned
}

// where are the namespaces in which a class is kept, and for which names there; "" is everywhere, no names are all.
func (k *keeper) where(g *Grant, r *Right, c *verbsOf) map[string][]string {
	where := map[string][]string{}
	add := func(place string, names []string) {
		if was, known := where[place]; known {
			names = joinNames(was, names)
		}
		where[place] = names
	}
	for i := range c.parts {
		p := &c.parts[i]
		if !keepable(p.coverage) {
			continue
		}
		if !r.namespaced {
			add(g.Namespace, p.names) // of a Namespace within itself, or everywhere
			continue
		}
		for _, place := range p.where() {
			add(place, p.names)
		}
	}
	if r.namespaced && g.Namespace == "" {
		k.widen(where)
	}
	for _, namespace := range r.usedIn { // under an approval
		if _, known := where[namespace]; !known && (r.Coverage == ByApproval || r.Coverage == Refused) {
			add(namespace, r.Names)
		}
	}
	return where
}

// widen keeps everywhere what is kept in all namespaces, those to come included. Countersign's own is not one of them.
func (k *keeper) widen(where map[string][]string) {
	base, toCome := where[yetToCome]
	delete(where, yetToCome)
	for namespace := range k.review.Namespaces {
		names, kept := where[namespace]
		if namespace != k.review.Set.Operator().Namespace && (!kept || !containsNames(names, base)) {
			return
		}
	}
	if !toCome {
		return
	}
	for namespace, names := range where {
		if containsNames(base, names) {
			delete(where, namespace)
		}
	}
	where[""] = base
}

// containsNames says whether names contain others, where none are all.
func containsNames(names, others []string) bool {
	return len(names) == 0 || len(others) > 0 && !slices.ContainsFunc(others, func(n string) bool { return !slices.Contains(names, n) })
}

func (k *keeper) keep(place string, r *Right, verb string, names []string) {
	if verb == "create" && len(r.Names) == 0 && !strings.Contains(r.Resource, "/") {
		names = nil // a name is not known when something is created
	}
	if k.places[place] == nil {
		k.places[place] = holding{}
	}
	key := rightKey{r.Group, r.Resource, strings.Join(slices.Sorted(slices.Values(names)), "\x00")}
	if k.places[place][key] == nil {
		k.places[place][key] = map[string]bool{}
	}
	k.places[place][key][verb] = true
}

// urls keeps what a grant says about paths, such as /metrics. Every verb of them comes to get.
func (k *keeper) urls(g *Grant) {
	for i := range g.rules {
		rule := &g.rules[i]
		if len(rule.NonResourceURLs) == 0 || g.Namespace != "" {
			continue
		}
		kept := rbacv1.PolicyRule{NonResourceURLs: rule.NonResourceURLs, Verbs: rule.Verbs}
		if slices.Contains(rule.Verbs, rbacv1.VerbAll) {
			kept.Verbs = []string{"get"}
		}
		if !slices.ContainsFunc(k.paths, func(other rbacv1.PolicyRule) bool { return reflect.DeepEqual(other, kept) }) {
			k.paths = append(k.paths, kept)
		}
	}
}

// prune takes out of a namespace what is held everywhere.
func (k *keeper) prune() {
	everywhere := k.places[""]
	for place, held := range k.places {
		if place == "" {
			continue
		}
		for key, verbs := range held {
			for verb := range verbs {
				if everywhere[key][verb] || everywhere[rightKey{key.group, key.resource, ""}][verb] {
					delete(verbs, verb)
				}
			}
			if len(verbs) == 0 {
				delete(held, key)
			}
		}
		if len(held) == 0 {
			delete(k.places, place)
		}
	}
}

package privilege

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

// plainVerbs are those of requests that an API server answers for every resource; the others have a meaning of their own.
var plainVerbs = []string{"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"}

// readVerbs are those of which admission is not asked, but for sessions.
var readVerbs = plainVerbs[:3]

// grantsOf are the grants of somebody in groups, each binding once: as one of their own rather than of a group.
func (r *Review) grantsOf(s Subject, groups []string) []Grant {
	var grants []Grant
	seen := map[*binding]bool{}
	add := func(key, via string) {
		for _, b := range r.bound[key] {
			if !seen[b] {
				seen[b] = true
				grants = append(grants, r.grant(b, via))
			}
		}
	}
	if username := s.Username(); username != "" {
		add(rbacv1.UserKind+"/"+username, "")
	}
	for _, group := range groups {
		via := group
		if s.Kind == v1alpha1.SubjectGroup && group == s.Name {
			via = ""
		}
		add(rbacv1.GroupKind+"/"+group, via)
	}
	slices.SortStableFunc(grants, func(a, b Grant) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Binding, b.Binding))
	})
	return grants
}

// grant is what a binding grants.
func (r *Review) grant(b *binding, via string) Grant {
	g := Grant{Binding: b.String(), Via: via, Namespace: b.namespace, others: len(b.subjects) - 1, bound: b, Rights: []Right{}}
	g.Everybody = (via == everybodyGroup || via == accountsGroup) && b.labels[bootstrappingKey] != ""
	var rules []rbacv1.PolicyRule
	switch b.role.Kind {
	case "ClusterRole":
		g.Role = "ClusterRole/" + b.role.Name
		if role := r.clusterRoles[b.role.Name]; role != nil {
			rules, g.standard = role.Rules, role.Labels[bootstrappingKey] != ""
		} else {
			g.missing = true
		}
	default:
		g.Role = "Role/" + b.namespace + "/" + b.role.Name
		if role := r.roles[b.namespace+"/"+b.role.Name]; role != nil {
			rules = role.Rules
		} else {
			g.missing = true
		}
	}
	g.rules = rules
	e := expansion{served: r.served, namespace: b.namespace, found: map[rightKey]map[string]bool{}}
	for i := range rules {
		e.rule(&rules[i])
	}
	g.Rights, g.Unserved = e.rights(), e.unserved
	return g
}

// rightKey tells the rights of a grant apart, before they are judged.
type rightKey struct{ group, resource, names string }

// expansion spells out the rules of a role.
type expansion struct {
	served map[string]map[string]Resource
	// namespace of the grant; empty: all.
	namespace string
	found     map[rightKey]map[string]bool
	unserved  []string
}

func (e *expansion) rule(rule *rbacv1.PolicyRule) {
	for _, resource := range rule.Resources {
		is := false
		for _, group := range rule.APIGroups {
			if group != rbacv1.APIGroupAll {
				is = e.resources(rule, group, resource) || is
				continue
			}
			for name := range e.served {
				e.resources(rule, name, resource)
			}
			is = true
		}
		// A rule for several groups means each resource in one of them.
		if !is && !strings.Contains(resource, "*") {
			for _, group := range rule.APIGroups {
				e.unknown(rule, group, resource)
			}
		}
	}
}

// resources adds what a rule grants of the resources of one group, and says whether there are any.
func (e *expansion) resources(rule *rbacv1.PolicyRule, group, pattern string) bool {
	served := e.served[group]
	if one, exact := served[pattern]; exact {
		e.add(rule, &one)
		return true
	}
	if pattern != rbacv1.ResourceAll && !strings.HasPrefix(pattern, "*/") {
		return false
	}
	for name, resource := range served {
		if resourceMatches(pattern, name) {
			e.add(rule, &resource)
		}
	}
	return true
}

// resourceMatches says whether what a rule calls a resource includes one, as RBAC reads it.
func resourceMatches(pattern, name string) bool {
	_, subresource, below := strings.Cut(name, "/")
	return pattern == rbacv1.ResourceAll || pattern == name || below && pattern == "*/"+subresource
}

func (e *expansion) add(rule *rbacv1.PolicyRule, resource *Resource) {
	names := rule.ResourceNames
	if e.namespace != "" && !resource.Namespaced {
		// The API server takes a Namespace for something in itself.
		base, _, _ := strings.Cut(resource.Name, "/")
		if resource.Group != "" || base != "namespaces" || len(names) > 0 && !slices.Contains(names, e.namespace) {
			return
		}
		names = []string{e.namespace}
	}
	verbs := rule.Verbs
	if slices.Contains(verbs, rbacv1.VerbAll) {
		verbs = resource.Verbs
	}
	for _, verb := range verbs {
		if slices.Contains(resource.Verbs, verb) || !slices.Contains(plainVerbs, verb) {
			e.note(resource.Group, resource.Name, names, verb)
		}
	}
}

// unknown is a resource that is not served: verbs of their own can be about what is no resource, such as users.
func (e *expansion) unknown(rule *rbacv1.PolicyRule, group, resource string) {
	special := false
	for _, verb := range rule.Verbs {
		if verb != rbacv1.VerbAll && !slices.Contains(plainVerbs, verb) {
			special = true
			e.note(group, resource, rule.ResourceNames, verb)
		}
	}
	if name := withGroup(resource, group); !special && !slices.Contains(e.unserved, name) {
		e.unserved = append(e.unserved, name)
	}
}

func (e *expansion) note(group, resource string, names []string, verb string) {
	sorted := slices.Sorted(slices.Values(names))
	key := rightKey{group, resource, strings.Join(sorted, "\x00")}
	if e.found[key] == nil {
		e.found[key] = map[string]bool{}
	}
	e.found[key][verb] = true
}

// rights are what was found, by group, resource and names, with the verbs in their usual order.
func (e *expansion) rights() []Right {
	keys := slices.SortedFunc(maps.Keys(e.found), func(a, b rightKey) int {
		return cmp.Or(cmp.Compare(a.group, b.group), cmp.Compare(a.resource, b.resource), cmp.Compare(a.names, b.names))
	})
	rights := make([]Right, 0, len(keys))
	for _, key := range keys {
		r := Right{Group: key.group, Resource: key.resource, Verbs: sortVerbs(slices.Collect(maps.Keys(e.found[key])))}
		r.namespaced = e.served[key.group][key.resource].Namespaced
		if key.names != "" {
			r.Names = strings.Split(key.names, "\x00")
		}
		rights = append(rights, r)
	}
	return rights
}

// sortVerbs puts verbs in their usual order, those with a meaning of their own last.
func sortVerbs(verbs []string) []string {
	place := func(verb string) int {
		if i := slices.Index(plainVerbs, verb); i >= 0 {
			return i
		}
		return len(plainVerbs)
	}
	slices.SortFunc(verbs, func(a, b string) int { return cmp.Or(cmp.Compare(place(a), place(b)), cmp.Compare(a, b)) })
	return slices.Compact(verbs)
}

// withGroup is a resource as kubectl writes it: deployments.apps.
func withGroup(resource, group string) string {
	if group == "" {
		return resource
	}
	base, subresource, below := strings.Cut(resource, "/")
	if below {
		return base + "." + group + "/" + subresource
	}
	return base + "." + group
}

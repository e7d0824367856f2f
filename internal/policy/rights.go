package policy

import (
	"slices"
	"strings"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

// right is something that RBAC can grant with which whoever has it reaches around Countersign.
type right struct {
	// what it is, after "the right to".
	what string
	// group, resources and verbs are what a rule must hold, or wildcards in their place, to grant it. A resource that
	// ends in "/*" stands for all subresources of one, "*" for all resources and "*" among the verbs for any verb.
	group     string
	resources []string
	verbs     []string
	// clusterWide says that only a ClusterRoleBinding grants it: what it is about is in no namespace.
	clusterWide bool
}

var writeVerbs = []string{"create", "update", "patch", "delete", "deletecollection"}

// reservedRights are those that no agent may grant. Impersonation has verbs without end besides: see rule.reserved.
var reservedRights = []right{
	{"approve what agents ask for", v1alpha1.GroupName, []string{"actionapprovals"}, []string{"approve"}, false},
	{"write what became of approvals", v1alpha1.GroupName, []string{"actionapprovals/status"}, writeVerbs, false},
	{"change policies", v1alpha1.GroupName, []string{"agentactionpolicies", "agentactionpolicies/status"}, writeVerbs, true},
	{impersonation, "", []string{"serviceaccounts"}, []string{"impersonate"}, false},
	{impersonation, "", []string{"users", "groups"}, []string{"impersonate"}, true},
	{impersonation, authenticationGroup, []string{"serviceaccounts"}, []string{"impersonate"}, false},
	{impersonation, authenticationGroup,
		[]string{"users", "groups", "nodes", "uids", "userextras", "userextras/*"}, []string{"impersonate"}, true},
	{"grant rights that one does not have", rbacGroup, []string{"roles", "clusterroles"}, []string{"escalate", "bind"}, false},
	{"create tokens for accounts", "", []string{"serviceaccounts/token"}, []string{"create"}, false},
	{"change admission webhooks and policies", "admissionregistration.k8s.io", []string{"*"}, writeVerbs, true},
	{"approve or issue certificates", certificatesGroup,
		[]string{"certificatesigningrequests/approval", "certificatesigningrequests/status"}, []string{"update", "patch"}, true},
	{"approve or issue certificates", certificatesGroup, []string{"podcertificaterequests/status"}, []string{"update", "patch"}, false},
	{"approve or issue certificates", certificatesGroup, []string{"signers"}, []string{"approve", "sign", "attest"}, true},
	{"ask for certificates of pods", certificatesGroup, []string{"podcertificaterequests"}, []string{"create"}, false},
	{"talk to kubelets", "", []string{"nodes/proxy"}, []string{"*"}, true},
}

const impersonation = "act as somebody else"

// rule is one rule of a role.
type rule struct{ verbs, groups, resources, names []string }

// rulesOf are the rules of a role, none where there is no role.
func rulesOf(role map[string]any) []rule {
	var rules []rule
	for _, r := range objectsOf(role, "rules") {
		rules = append(rules, rule{textsOf(r, "verbs"), textsOf(r, "apiGroups"), textsOf(r, "resources"), textsOf(r, "resourceNames")})
	}
	return rules
}

// grantedAnew says which reserved right rules grant beyond what the former rules did, within one namespace or everywhere,
// or is empty.
func grantedAnew(rules, former []rule, namespaced bool) string {
	for i := range rules {
		for _, p := range rules[i].reserved(namespaced) {
			if !p.coveredBy(former) {
				return p.what
			}
		}
	}
	return ""
}

// part is what a rule grants of one reserved right.
type part struct {
	rule
	what string
}

// reserved is what a rule grants of the reserved rights.
func (r *rule) reserved(namespaced bool) []part {
	var parts []part
	// Constrained impersonation has the verbs impersonate:<mode> and impersonate-on:<mode>:<verb>, on any resource.
	if verbs := filter(r.verbs, func(v string) bool { return strings.HasPrefix(v, "impersonate") }); len(verbs) > 0 {
		parts = append(parts, part{rule{verbs, r.groups, r.resources, r.names}, impersonation})
	}
	for i := range reservedRights {
		if namespaced && reservedRights[i].clusterWide {
			continue
		}
		if p := reservedRights[i].grantedBy(r); p != nil {
			parts = append(parts, *p)
		}
	}
	return parts
}

// grantedBy is what a rule grants of the right, nil where it grants nothing of it.
func (w *right) grantedBy(r *rule) *part {
	p := part{rule{
		verbs:  filter(r.verbs, func(v string) bool { return v == "*" || w.verbs[0] == "*" || slices.Contains(w.verbs, v) }),
		groups: filter(r.groups, func(g string) bool { return g == "*" || g == w.group }),
		resources: filter(r.resources, func(resource string) bool {
			return slices.ContainsFunc(w.resources, func(reserved string) bool { return includesResource(resource, reserved) })
		}),
		names: r.names,
	}, w.what}
	if len(p.verbs) == 0 || len(p.groups) == 0 || len(p.resources) == 0 {
		return nil
	}
	return &p
}

// includesResource says whether a resource of a rule includes one of a right, or one of those that it stands for.
func includesResource(inRule, reserved string) bool {
	if reserved == "*" || resourceIncludes(inRule, reserved) {
		return true
	}
	base, all := strings.CutSuffix(reserved, "/*")
	return all && (strings.HasPrefix(inRule, base+"/") || strings.HasPrefix(inRule, "*/"))
}

// resourceIncludes says whether what a rule calls a resource includes another one, as RBAC reads it.
func resourceIncludes(inRule, resource string) bool {
	_, sub, below := strings.Cut(resource, "/")
	return inRule == "*" || inRule == resource || below && inRule == "*/"+sub
}

// maxParts bounds how many single grants of one rule are compared with former rules.
const maxParts = 1000

// coveredBy says whether former rules granted all of it already. What is too much to compare was not.
func (p *part) coveredBy(former []rule) bool {
	if len(former) == 0 || len(p.verbs)*len(p.groups)*len(p.resources) > maxParts {
		return false
	}
	for _, verb := range p.verbs {
		for _, group := range p.groups {
			for _, resource := range p.resources {
				if !p.namesCovered(former, verb, group, resource) {
					return false
				}
			}
		}
	}
	return true
}

// namesCovered says whether former rules granted a verb on a resource for all names for which it is granted now.
func (p *part) namesCovered(former []rule, verb, group, resource string) bool {
	var names []string
	for i := range former {
		f := &former[i]
		if !holds(f.verbs, verb) || !holds(f.groups, group) ||
			!slices.ContainsFunc(f.resources, func(was string) bool { return resourceIncludes(was, resource) }) {
			continue
		}
		if len(f.names) == 0 {
			return true
		}
		names = append(names, f.names...)
	}
	return len(p.names) > 0 && !slices.ContainsFunc(p.names, func(n string) bool { return !slices.Contains(names, n) })
}

func holds(list []string, item string) bool {
	return slices.Contains(list, "*") || slices.Contains(list, item)
}

func filter(list []string, keep func(string) bool) []string {
	var kept []string
	for _, item := range list {
		if keep(item) {
			kept = append(kept, item)
		}
	}
	return kept
}

package privilege

import (
	"slices"
	"strings"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/policy"
	"github.com/countersign-dev/countersign/internal/protection"
)

// severity says how bad it is to have a right that leads around Countersign: by what closes it.
func severity(r *protection.Route) Severity {
	switch {
	case r.Closed >= protection.Sealed:
		return High
	case r.NeedsConsent:
		return Low
	default:
		return Medium
	}
}

// routeTo is what is known about a route. One that is not in the table is taken for the worst.
func routeTo(what string) protection.Route {
	if r, known := protection.RouteTo(what); known {
		return r
	}
	return protection.Route{What: what, Closed: protection.NoLevel, Why: "it reaches around Countersign", Do: "take it away"}
}

// openRoutes are further ways around, which the engine does not call reserved, or not in every case.
var openRoutes = []struct {
	what string
	// is says whether a right is one, in a namespace or with "" in all; a task that covers it makes it none unless always.
	is     func(operator policy.Operator, r *Right, verb, namespace string) bool
	always bool
	// place says that it is one only in some namespace.
	place bool
}{
	{protection.ReadSecrets, readsSecrets, true, false},
	{protection.ChangeOwnNamespace, writesOperator, false, true},
	{protection.ChangeDefinitions, writesDefinitions, false, false},
	{protection.WriteRBAC, writesRBAC, false, false},
	{protection.RestoreBudgets, writesActivities, false, false},
	{protection.EnterPods, entersPods, false, false},
	{protection.RequestCertificates, requestsCertificates, false, false},
	{protection.ChangeTrust, writesTrust, false, true},
}

func isWrite(verb string) bool {
	return slices.Contains(plainVerbs, verb) && !slices.Contains(readVerbs, verb)
}

func readsSecrets(_ policy.Operator, r *Right, verb, _ string) bool {
	return r.Group == "" && r.Resource == "secrets" && slices.Contains(readVerbs, verb)
}

func writesOperator(o policy.Operator, r *Right, verb, namespace string) bool {
	if !r.namespaced || o.Namespace == "" || namespace != "" && namespace != o.Namespace || r.Group == v1alpha1.GroupName {
		return false
	}
	return isWrite(verb) && (namespace == o.Namespace || slices.Contains([]string{
		"pods", "pods/exec", "services", "secrets", "configmaps", "serviceaccounts", "deployments", "deployments/scale", "replicasets", "leases",
		"endpoints", "endpointslices", "networkpolicies",
	}, r.Resource))
}

func writesDefinitions(_ policy.Operator, r *Right, verb, _ string) bool {
	base, _, _ := strings.Cut(r.Resource, "/")
	return isWrite(verb) && (r.Group == "apiextensions.k8s.io" && base == "customresourcedefinitions" ||
		r.Group == "apiregistration.k8s.io" && base == "apiservices")
}

func writesRBAC(_ policy.Operator, r *Right, verb, _ string) bool {
	return isWrite(verb) && r.Group == "rbac.authorization.k8s.io"
}

func writesActivities(_ policy.Operator, r *Right, verb, _ string) bool {
	return isWrite(verb) && r.Group == v1alpha1.GroupName && strings.HasPrefix(r.Resource, "agentactivities")
}

func entersPods(_ policy.Operator, r *Right, verb, _ string) bool {
	return r.Group == "" && slices.Contains(plainVerbs, verb) && (sessions[r.Resource] && r.Resource != "nodes/proxy" ||
		r.Resource == "pods/ephemeralcontainers" && isWrite(verb))
}

func requestsCertificates(_ policy.Operator, r *Right, verb, _ string) bool {
	return verb == "create" && r.Group == "certificates.k8s.io" && r.Resource == "certificatesigningrequests"
}

func writesTrust(_ policy.Operator, r *Right, verb, namespace string) bool {
	return isWrite(verb) && r.Group == "" && r.Resource == "configmaps" && (namespace == "" || namespace == "kube-system") &&
		!slices.Equal(r.Names, []string{"kube-root-ca.crt"})
}

// isRoute says whether a verb of a right leads around Countersign, so that no role should hold it.
func (r *Review) isRoute(right *Right, verb, namespace string) bool {
	if policy.IsReservedRight(verb, right.Group, right.Resource, namespace != "") && !r.ownToken(right, verb) {
		return true
	}
	for i := range openRoutes {
		o := &openRoutes[i]
		if o.place && namespace == "" {
			continue // in all other namespaces it is none
		}
		if (o.always || right.Coverage != ByTask) && o.is(r.Set.Operator(), right, verb, namespace) {
			return true
		}
	}
	return false
}

// ownToken says whether a right is to create tokens that the engine does not refuse: those of its own account.
func (r *Review) ownToken(right *Right, verb string) bool {
	return verb == "create" && right.Resource == "serviceaccounts/token" && right.Coverage != Reserved && right.Coverage != Ungoverned
}

// routes are the ways around Countersign that grants hold, one finding for each.
func (r *Review) routes(grants []Grant) []Finding {
	found := map[string]*Finding{}
	note := func(what, detail, by string) {
		f := found[what]
		if f == nil {
			to := routeTo(what)
			f = &Finding{Type: RouteAroundGate, Severity: severity(&to), What: what, Why: to.Why, Do: to.Do}
			found[what] = f
		}
		if !slices.Contains(f.Details, detail) {
			f.Details = append(f.Details, detail)
		}
		if !slices.Contains(f.By, by) {
			f.By = append(f.By, by)
		}
	}
	for i := range grants {
		g := &grants[i]
		r.reservedIn(g, note)
		for k := range openRoutes {
			for _, detail := range r.openIn(g, k) {
				note(openRoutes[k].what, detail, g.by())
			}
		}
	}
	var all []Finding
	for _, what := range policy.ReservedRights() {
		if f := found[what]; f != nil {
			all = append(all, *f)
		}
	}
	for i := range openRoutes {
		if f := found[openRoutes[i].what]; f != nil {
			all = append(all, *f)
		}
	}
	return all
}

// openIn are the rights of a grant that are one of the further routes.
func (r *Review) openIn(g *Grant, index int) []string {
	o := &openRoutes[index]
	var rights []*Right
	for i := range g.Rights {
		right := g.Rights[i]
		if !o.always && right.Coverage == ByTask && right.Elsewhere == "" {
			continue
		}
		right.Verbs = slices.DeleteFunc(slices.Clone(right.Verbs), func(verb string) bool {
			return !o.is(r.Set.Operator(), &right, verb, g.Namespace)
		})
		if len(right.Verbs) > 0 {
			rights = append(rights, &right)
		}
	}
	details := together(rights)
	for i := range details {
		details[i] += g.where()
	}
	return details
}

// reservedIn notes what the rules of a grant hold of the reserved rights.
func (r *Review) reservedIn(g *Grant, note func(what, detail, by string)) {
	for i := range g.rules {
		rule := policy.RoleRule{
			Verbs: g.rules[i].Verbs, APIGroups: g.rules[i].APIGroups, Resources: g.rules[i].Resources, ResourceNames: g.rules[i].ResourceNames,
		}
		for _, reserved := range rule.Reserved(g.Namespace != "") {
			if r.ownTokens(g, &reserved.Rule) {
				continue
			}
			note(reserved.What, ruleText(&reserved.Rule)+g.where(), g.by())
		}
	}
}

// ownTokens says whether all that a rule grants is to create tokens of the agent's own account.
func (r *Review) ownTokens(g *Grant, rule *policy.RoleRule) bool {
	if len(rule.ResourceNames) == 0 || !slices.Equal(rule.Resources, []string{"serviceaccounts/token"}) {
		return false
	}
	own := false
	for i := range g.Rights {
		right := &g.Rights[i]
		if right.Resource == "serviceaccounts/token" && slices.Equal(right.Names, slices.Sorted(slices.Values(rule.ResourceNames))) {
			own = r.ownToken(right, "create") && len(right.OnlyNames) == 0
		}
	}
	return own
}

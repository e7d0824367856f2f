package privilege

import (
	"slices"
	"strings"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/policy"
)

// route explains a way around Countersign.
type route struct {
	severity Severity
	// why it is one and what stops the agent, do what to do instead: a sentence each.
	why, do string
}

// reservedRoutes explain the rights that the engine calls reserved, by what it calls them.
var reservedRoutes = map[string]route{
	"act as somebody else": {High,
		"the API server asks about whoever is impersonated, so no policy is asked about the agent; only level 4 stops it",
		"grant no impersonate; of the roles of Kubernetes admin and edit have it, so bind a role that names what the agent needs"},
	"change admission webhooks and policies": {High,
		"no webhook is asked about admission configuration, and without it nothing is asked; level 3 stops a part of it, level 4 all",
		"grant no writes of admissionregistration.k8s.io"},
	"grant rights that one does not have": {Medium,
		"with escalate or bind it can give any right to an account that nobody governs; the webhook refuses it",
		"grant neither escalate nor bind; let people write roles"},
	"create tokens for accounts": {Medium,
		"with the token of another account it is not governed any more; the webhook and level 3 refuse those of others",
		"grant create on serviceaccounts/token for its own account by resourceNames, or not at all; admin and edit have it for all"},
	"talk to kubelets": {Medium,
		"kubelets run commands in every pod of their node and ask no admission; the webhook and level 3 refuse it at the API server",
		"grant nodes/metrics, nodes/stats or nodes/healthz for what it needs of nodes, and no wildcard that includes nodes/proxy"},
	"approve or issue certificates": {Medium,
		"a certificate makes anybody of its holder; the webhook and level 3 refuse it",
		"grant neither the subresources of certificate requests nor approve, sign and attest on signers"},
	"ask for certificates of pods": {Medium,
		"only kubelets know which pod asks; the webhook and level 3 refuse it",
		"grant no create on podcertificaterequests"},
	"approve what agents ask for": {Medium,
		"whoever decides must be a person; the webhooks refuse agents",
		"grant the agent countersign-requester rather than countersign-approver"},
	"write what became of approvals": {Medium,
		"whoever writes the status of approvals makes them up; the webhook and level 3 refuse agents",
		"grant no writes of actionapprovals/status"},
	"change policies": {Medium,
		"policies say what agents may do; the webhook and level 3 refuse agents",
		"grant agents only reads of agentactionpolicies"},
}

// otherReserved explains a reserved right that is not in the table.
var otherReserved = route{Medium, "it reaches around Countersign; the webhook refuses it", "take it away"}

// openRoutes are further ways around, which the engine does not call reserved, or not in every case.
var openRoutes = []struct {
	what string
	route
	// is says whether a right is one, in a namespace or with "" in all; a task that covers it makes it none unless always.
	is     func(operator policy.Operator, r *Right, verb, namespace string) bool
	always bool
	// place says that it is one only in some namespace.
	place bool
}{
	{"read Secrets", route{High,
		"admission is not asked about reads: tokens and keys of others are in Secrets; only level 4 with --deny-secrets stops it",
		"grant get on the Secrets that it needs by resourceNames, and no list"}, readsSecrets, true, false},
	{"change Countersign's own namespace", route{Medium,
		"whoever changes it can stop the operator or act as it; the webhook refuses it",
		"bind roles in the namespaces of the agent's work, not by a ClusterRoleBinding"}, writesOperator, false, true},
	{"change resource definitions and served APIs", route{Medium,
		"with Countersign's definitions or APIService go its policies; the webhook and level 3 refuse changes of these alone",
		"grant no writes of customresourcedefinitions and apiservices"}, writesDefinitions, false, false},
	{"write roles and bindings", route{Medium,
		"it can give what it has to accounts that nobody governs, and these are not asked about",
		"let people write RBAC, or let a task name the roles to be bound"}, writesRBAC, false, false},
	{"give itself its budgets back", route{Medium,
		"budgets count what is recorded in agentactivities; the webhook and level 3 refuse agents",
		"grant agents only reads of agentactivities"}, writesActivities, false, false},
	{"enter pods of other accounts", route{Medium,
		"in a session it acts with the token of the pod, and nobody sees what it does there",
		"let a task cover the sessions it needs, with its serviceAccounts"}, entersPods, false, false},
	{"request certificates", route{Low,
		"a certificate for a name that nobody governs only needs somebody's consent; the webhook refuses other names than its own",
		"grant no create on certificatesigningrequests"}, requestsCertificates, false, false},
	{"change whom the cluster trusts", route{Medium,
		"ConfigMaps of kube-system say whom aggregated APIs trust and, at some providers, who is who (aws-auth)",
		"grant no writes in kube-system"}, writesTrust, false, true},
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
	note := func(what string, to route, detail, by string) {
		f := found[what]
		if f == nil {
			f = &Finding{Type: RouteAroundGate, Severity: to.severity, What: what, Why: to.why, Do: to.do}
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
				note(openRoutes[k].what, openRoutes[k].route, detail, g.by())
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
func (r *Review) reservedIn(g *Grant, note func(what string, to route, detail, by string)) {
	for i := range g.rules {
		rule := policy.RoleRule{
			Verbs: g.rules[i].Verbs, APIGroups: g.rules[i].APIGroups, Resources: g.rules[i].Resources, ResourceNames: g.rules[i].ResourceNames,
		}
		for _, reserved := range rule.Reserved(g.Namespace != "") {
			if r.ownTokens(g, &reserved.Rule) {
				continue
			}
			to, known := reservedRoutes[reserved.What]
			if !known {
				to = otherReserved
			}
			note(reserved.What, to, ruleText(&reserved.Rule)+g.where(), g.by())
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

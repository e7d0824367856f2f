package protection

import (
	"slices"

	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

const certificatesGroup = "certificates.k8s.io"

// reservedRoutes are the rights that no agent may grant (policy.ReservedRights).
func reservedRoutes() []Route {
	return slices.Concat([]Route{admissionRoute()}, identityRoutes(), []Route{
		{
			What: "grant rights that one does not have", Closed: Webhooks,
			Why: "with escalate or bind it can give any right to an account that nobody governs; the webhook refuses it",
			Do:  "grant neither escalate nor bind; let people write roles",
			Probes: []Probe{
				{Group: rbacv1.GroupName, Resource: "clusterroles", Verb: "escalate"},
				{Group: rbacv1.GroupName, Resource: "clusterroles", Verb: "bind"},
			},
		},
		{
			What: "approve what agents ask for", Closed: Webhooks,
			Why:    "whoever decides must be a person; the webhooks refuse agents",
			Do:     "grant the agent countersign-requester rather than countersign-approver",
			Probes: []Probe{{Group: v1alpha1.GroupName, Resource: "actionapprovals", Verb: "approve", Namespaced: true}},
		},
		{
			What: "write what became of approvals", Closed: Webhooks,
			Why:    "whoever writes the status of approvals makes them up; the webhook and level 3 refuse agents",
			Do:     "grant no writes of actionapprovals/status",
			Probes: []Probe{{Group: v1alpha1.GroupName, Resource: "actionapprovals", Subresource: "status", Verb: "update", Namespaced: true}},
		},
		{
			What: "change policies", Closed: Webhooks,
			Why:    "policies say what agents may do; the webhook and level 3 refuse agents",
			Do:     "grant agents only reads of agentactionpolicies",
			Probes: []Probe{{Group: v1alpha1.GroupName, Resource: "agentactionpolicies", Verb: "update"}},
		},
	})
}

// admissionRoute leaves Countersign unasked.
func admissionRoute() Route {
	return Route{
		What: "change admission webhooks and policies", Closed: Sealed,
		Why: "no webhook is asked about admission configuration, and without it nothing is asked; " +
			"level 3 stops a part of it, level 4 all, for whom its files name",
		Do: "grant no writes of admissionregistration.k8s.io",
		Probes: []Probe{
			{Group: admissionGroup, Resource: "validatingwebhookconfigurations", Verb: "delete", Closed: Policy},
			{Group: admissionGroup, Resource: "mutatingwebhookconfigurations", Verb: "create", Closed: Policy},
			{Group: admissionGroup, Resource: "validatingadmissionpolicybindings", Verb: "delete"},
			{Group: admissionGroup, Resource: "mutatingadmissionpolicies", Verb: "create"},
		},
	}
}

// identityRoutes are those by which somebody becomes somebody else.
func identityRoutes() []Route {
	return []Route{
		{
			What: "act as somebody else", Closed: Sealed,
			Why: "the API server asks about whoever is impersonated, so no policy is asked about the agent; " +
				"only level 4 stops it, for whom its files name",
			Do: "grant no impersonate; of the roles of Kubernetes admin and edit have it, so bind a role that names what the agent needs",
			Probes: []Probe{
				{Resource: "users", Verb: "impersonate"},
				{Resource: "groups", Verb: "impersonate"},
				{Resource: "serviceaccounts", Verb: "impersonate", Namespaced: true},
				{Group: "authentication.k8s.io", Resource: "users", Verb: "impersonate:user-info"},
			},
		},
		{
			// A kubelet authorizes exec by the verb of the HTTP method: a session over WebSockets, which begins with a GET,
			// takes no more than get (k8s.io/kubernetes/pkg/kubelet/server/auth.go). KEP-2862 gave the reads that monitoring
			// needs resources of their own, and left nodes/proxy as it was.
			What: "talk to kubelets", Closed: NoLevel,
			Why: "kubelets run commands in every pod of their node, also for who may only get nodes/proxy, and ask no admission; " +
				"the webhook and level 3 refuse it at the API server, but no level stops it at a kubelet that is asked directly",
			Do: "grant nodes/metrics, nodes/stats, nodes/pods, nodes/configz or nodes/healthz for what it needs of nodes, and no wildcard " +
				"that includes nodes/proxy",
			Probes: []Probe{
				{Resource: "nodes", Subresource: "proxy", Verb: "get"},
				{Resource: "nodes", Subresource: "proxy", Verb: "create"},
			},
		},
		{
			What: "create tokens for accounts", Closed: Webhooks,
			Why:    "with the token of another account it is not governed any more; the webhook and level 3 refuse those of others",
			Do:     "grant create on serviceaccounts/token for its own account by resourceNames, or not at all; admin and edit have it for all",
			Probes: []Probe{{Resource: "serviceaccounts", Subresource: "token", Verb: "create", Namespaced: true}},
		},
		{
			What: "approve or issue certificates", Closed: Webhooks,
			Why:    "a certificate makes anybody of its holder; the webhook and level 3 refuse it",
			Do:     "grant neither the subresources of certificate requests nor approve, sign and attest on signers",
			Probes: []Probe{{Group: certificatesGroup, Resource: "certificatesigningrequests", Subresource: "approval", Verb: "update"}},
		},
		{
			What: "ask for certificates of pods", Closed: Webhooks,
			Why:    "only kubelets know which pod asks; the webhook and level 3 refuse it",
			Do:     "grant no create on podcertificaterequests",
			Probes: []Probe{{Group: certificatesGroup, Resource: "podcertificaterequests", Verb: "create", Namespaced: true}},
		},
	}
}

// What the further routes are. They are no reserved rights: whether one is a route depends on the namespace, or on whether a
// task covers it.
const (
	ReadSecrets         = "read Secrets"
	ChangeOwnNamespace  = "change Countersign's own namespace"
	ChangeDefinitions   = "change resource definitions and served APIs"
	WriteRBAC           = "write roles and bindings"
	RestoreBudgets      = "give itself its budgets back"
	EnterPods           = "enter pods of other accounts"
	RequestCertificates = "request certificates"
	ChangeTrust         = "change whom the cluster trusts"
)

func furtherRoutes() []Route {
	return []Route{
		{
			What: ReadSecrets, Closed: NoLevel,
			Why: "admission is not asked about reads: tokens and keys of others are in Secrets; only level 4 with --deny-secrets stops it",
			Do:  "grant get on the Secrets that it needs by resourceNames, and no list",
		},
		{
			What: ChangeOwnNamespace, Closed: Webhooks,
			Why: "whoever changes it can stop the operator or act as it; the webhook refuses it",
			Do:  "bind roles in the namespaces of the agent's work, not by a ClusterRoleBinding",
		},
		{
			What: ChangeDefinitions, Closed: Webhooks,
			Why: "with Countersign's definitions or APIService go its policies; the webhook and level 3 refuse changes of these alone",
			Do:  "grant no writes of customresourcedefinitions and apiservices",
		},
		{
			What: WriteRBAC, Closed: Webhooks,
			Why: "it can give what it has to accounts that nobody governs, and these are not asked about; the webhook holds it to its policies",
			Do:  "let people write RBAC, or let a task name the roles to be bound",
		},
		{
			What: RestoreBudgets, Closed: Webhooks,
			Why: "budgets count what is recorded in agentactivities; the webhook and level 3 refuse agents",
			Do:  "grant agents only reads of agentactivities",
		},
		{
			What: EnterPods, Closed: Webhooks,
			Why: "in a session it acts with the token of the pod, and nobody sees what it does there; the webhook holds it to its policies",
			Do:  "let a task cover the sessions it needs, with its serviceAccounts",
		},
		{
			What: RequestCertificates, Closed: Webhooks, NeedsConsent: true,
			Why: "a certificate for a name that nobody governs only needs somebody's consent; the webhook refuses other names than its own",
			Do:  "grant no create on certificatesigningrequests",
		},
		{
			What: ChangeTrust, Closed: Webhooks,
			Why: "ConfigMaps of kube-system say whom aggregated APIs trust and, at some providers, who is who (aws-auth); " +
				"the webhook holds it to its policies",
			Do: "grant no writes in kube-system",
		},
	}
}

package policy

import (
	"slices"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/action"
	"github.com/countersign-dev/countersign/internal/legible"
)

// Groups of the API that reserved actions are about.
const (
	rbacGroup           = "rbac.authorization.k8s.io"
	certificatesGroup   = "certificates.k8s.io"
	authenticationGroup = "authentication.k8s.io"
)

// reservedClass is one class of actions that no agent may ever do.
type reservedClass struct {
	// group and resource are those of the actions; "*" stands for any. All subresources are meant.
	group, resource string
	// why says what is reserved about such an action and for which reason, in one line; it is empty where nothing is.
	why func(*Set, *Input) string
}

// reservedClasses are all of them. What they do not name is for policies to decide.
var reservedClasses = []reservedClass{
	{"*", "*", everythingOfCanary},
	{v1alpha1.GroupName, "*", ownObjects},
	{"*", "*", ownNamespace},
	{rbacGroup, "*", ownRights},
	{"apiextensions.k8s.io", "*", ownDefinitions},
	{"apiregistration.k8s.io", "*", servedAPIs},
	{"admissionregistration.k8s.io", "*", admissionConfiguration},
	{"flowcontrol.apiserver.k8s.io", "*", ownFlow},

	{"", "serviceaccounts", otherTokens},
	{"", "secrets", tokenSecrets},
	{"", "nodes", nodeProxies},
	{certificatesGroup, "certificatesigningrequests", certificateRequests},
	{certificatesGroup, "podcertificaterequests", podCertificates},

	{rbacGroup, "roles", grantedRights},
	{rbacGroup, "clusterroles", grantedRights},
	{rbacGroup, "rolebindings", boundRights},
	{rbacGroup, "clusterrolebindings", boundRights},
}

// reserved says why no agent may ever do an action, or is empty. No task covers and no approval waives it.
func (s *Set) reserved(in *Input) string {
	a := in.Action
	for i := range reservedClasses {
		c := &reservedClasses[i]
		if c.group != "*" && c.group != a.Group || c.resource != "*" && c.resource != a.Resource {
			continue
		}
		if why := c.why(s, in); why != "" {
			return legible.Line(why, maxDetail)
		}
	}
	return ""
}

// justifies says whether an action changes nothing but the words with which a requester justifies a request. The
// webhook of approvals sees to it that these are the requester's own.
func justifies(a *action.Action) bool {
	return a.Group == v1alpha1.GroupName && a.Resource == "actionapprovals" && a.Subresource == "" &&
		a.Operation == v1alpha1.OperationUpdate && !slices.ContainsFunc(a.Changes, func(c action.Change) bool {
		return c.Path.String() != "spec.justification"
	})
}

// requests says whether an action asks people for a run of a task, and says nothing in their place. The webhook of
// approvals sees to it that the rest is the requester's own request, and as Countersign writes it.
func requests(a *action.Action) bool {
	if a.Group != v1alpha1.GroupName || a.Resource != "actionapprovals" || a.Subresource != "" || a.Operation != v1alpha1.OperationCreate {
		return false
	}
	spec, _ := a.New["spec"].(map[string]any)
	return spec["task"] != nil && spec["action"] == nil && spec["decision"] == nil && spec["decisions"] == nil
}

// neverGoverned says that an action is part of how every client works: recording events, asking for one's own
// rights, and leader election in one's own namespace.
func neverGoverned(a *action.Action) bool {
	switch {
	case justifies(a), requests(a):
		return true
	case a.Resource == "events" && (a.Group == "" || a.Group == "events.k8s.io"):
		return a.Operation == v1alpha1.OperationCreate || a.Operation == v1alpha1.OperationUpdate
	case a.Group == "authorization.k8s.io" || a.Group == authenticationGroup:
		return a.Operation == v1alpha1.OperationCreate
	case a.Group == "coordination.k8s.io" && a.Resource == "leases":
		namespace, _, ok := splitServiceAccount(a.Actor.Username)
		return ok && namespace == a.Namespace
	}
	return false
}

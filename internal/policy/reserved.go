package policy

import (
	"slices"
	"strings"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/action"
)

// reserved says why no agent may ever do an action, or is empty. No task covers and no approval waives it.
func (s *Set) reserved(a *action.Action) string {
	switch {
	case a.Group == v1alpha1.GroupName && !justifies(a) && !requests(a):
		return "no agent may change Countersign's own objects"
	case s.inOwnNamespace(a) && !justifies(a):
		return "no agent may change Countersign's own namespace"
	case a.Group == "rbac.authorization.k8s.io" && s.ownRights(a):
		return "no agent may change the rights of Countersign itself"
	case a.Group == "apiextensions.k8s.io" && strings.HasSuffix(a.Name, "."+v1alpha1.GroupName):
		return "no agent may change Countersign's own resource definitions"
	case a.Group == "apiregistration.k8s.io" && strings.HasSuffix(a.Name, "."+v1alpha1.GroupName):
		return "no agent may change who serves Countersign's API"
	case a.Group == "" && a.Resource == "secrets" && writes(a) && a.New["type"] == tokenSecret:
		return "no agent may have a lasting token of a service account made"
	}
	return ""
}

// tokenSecret is the type of Secrets into which the controller manager writes a token of the account that they name.
const tokenSecret = "kubernetes.io/service-account-token"

// inOwnNamespace says whether an action is in the operator's namespace, or on it.
func (s *Set) inOwnNamespace(a *action.Action) bool {
	own := s.operator.Namespace
	return own != "" && (a.Namespace == own || isNamespace(a) && a.Name == own)
}

// ownRights says whether a cluster-scoped RBAC object is the owner of the webhook configurations, or belongs to the
// release by the labels that it has so far.
func (s *Set) ownRights(a *action.Action) bool {
	labels, _ := a.OldLabels()
	return s.operator.OwnerClusterRole != "" && a.Name == s.operator.OwnerClusterRole ||
		labels["app.kubernetes.io/name"] == "countersign"
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
	case a.Group == "authorization.k8s.io" || a.Group == "authentication.k8s.io":
		return a.Operation == v1alpha1.OperationCreate
	case a.Group == "coordination.k8s.io" && a.Resource == "leases":
		namespace, _, ok := splitServiceAccount(a.Actor.Username)
		return ok && namespace == a.Namespace
	}
	return false
}

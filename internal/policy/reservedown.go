package policy

import (
	"slices"
	"strings"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/action"
)

// everythingOfCanary is all that the canary does: it exists to be refused.
func everythingOfCanary(s *Set, in *Input) string {
	if !s.operator.isCanary(in.Action.Actor) {
		return ""
	}
	return "this account is Countersign's canary: that it is refused everything shows that agents are"
}

// ownObjects are policies and approvals, but for what a requester says for itself.
func ownObjects(_ *Set, in *Input) string {
	if justifies(in.Action) || requests(in.Action) {
		return ""
	}
	return "no agent may change Countersign's own objects: they say what agents may do"
}

// ownNamespace is all that is in the operator's namespace, sessions with its pods and services included, and the
// namespace itself.
func ownNamespace(s *Set, in *Input) string {
	a, own := in.Action, s.operator.Namespace
	within := own != "" && (a.Namespace == own || isNamespace(a) && a.Name == own)
	if !within || justifies(a) {
		return ""
	}
	return "no agent may change Countersign's own namespace: whoever does can stop it or act as it"
}

// ownRights are the cluster-scoped rights of the release, the owner of the webhook configurations among them, and
// those in other namespaces that belong to it by their labels.
func ownRights(s *Set, in *Input) string {
	if !s.ofRelease(in.Action) {
		return ""
	}
	return "no agent may change the rights of Countersign itself: it depends on them, and so does who may approve"
}

// ofRelease says whether an object outside of the operator's namespace belongs to the release: by the labels that it
// has so far, or if it is cluster-scoped by a name that begins with that of the release.
func (s *Set) ofRelease(a *action.Action) bool {
	if labels, _ := a.OldLabels(); labels["app.kubernetes.io/name"] == "countersign" {
		return true
	}
	anchor := s.operator.OwnerClusterRole
	if anchor == "" || a.Namespaced {
		return false
	}
	release, named := strings.CutSuffix(anchor, "-anchor")
	return a.Name == anchor || named && (a.Name == release || strings.HasPrefix(a.Name, release+"-"))
}

// ownDefinitions are those of the kinds of Countersign, whatever changes in them: without the status subresource, for
// example, whoever may write an approval could also write that it was approved.
func ownDefinitions(_ *Set, in *Input) string {
	if !strings.HasSuffix(in.Action.Name, "."+v1alpha1.GroupName) {
		return ""
	}
	return "no agent may change Countersign's own resource definitions: they keep approvals from being forged"
}

// automanagedLabel is on every APIService that the API server made for what it serves itself.
const automanagedLabel = "kube-aggregator.kubernetes.io/automanaged"

// servedAPIs are who serves Countersign's API and those that the API server serves itself. Who serves
// SubjectAccessReviews says who may approve.
func servedAPIs(_ *Set, in *Input) string {
	if strings.HasSuffix(in.Action.Name, "."+v1alpha1.GroupName) {
		return "no agent may change who serves Countersign's API: another server could make up policies and approvals"
	}
	if labels, _ := in.Action.OldLabels(); labels[automanagedLabel] != "" {
		return "no agent may change who serves the APIs of the API server itself: another server could make up who may do what"
	}
	return ""
}

// admissionConfiguration is never seen by webhooks. It is here so that the rule does not depend on that.
func admissionConfiguration(*Set, *Input) string {
	return "no agent may change admission webhooks and policies: they are what asks Countersign"
}

// autoupdateAnnotation is on the flow schemas and priority levels that the API server keeps itself.
const autoupdateAnnotation = "apf.kubernetes.io/autoupdate-spec"

// ownFlow is what can starve the operator's own requests: flow schemas that cover them, and the priority levels of the
// release and of the API server.
func ownFlow(s *Set, in *Input) string {
	a := in.Action
	kept := textOf(a.Old, "metadata", "annotations", autoupdateAnnotation) != ""
	if !s.ofRelease(a) && !kept && !s.schedulesOperator(a.Old) && !s.schedulesOperator(a.New) {
		return ""
	}
	return "no agent may change how the API server treats Countersign's requests: it can be starved"
}

// schedulesOperator says whether a flow schema covers requests of the operator.
func (s *Set) schedulesOperator(schema map[string]any) bool {
	for _, rule := range objectsOf(schema, "spec", "rules") {
		if slices.ContainsFunc(objectsOf(rule, "subjects"), s.meansOperator) {
			return true
		}
	}
	return false
}

func (s *Set) meansOperator(subject map[string]any) bool {
	own := s.operator.Namespace
	switch textOf(subject, "kind") {
	case "User":
		name := textOf(subject, "user", "name")
		namespace, _, _ := splitServiceAccount(name)
		return name == "*" || own != "" && namespace == own
	case "Group":
		switch textOf(subject, "group", "name") {
		case "*", "system:authenticated", "system:serviceaccounts", serviceAccountsGroupPrefix + own:
			return true
		}
		return false
	case "ServiceAccount":
		return own != "" && textOf(subject, "serviceAccount", "namespace") == own
	default: // no such subject exists
		return true
	}
}

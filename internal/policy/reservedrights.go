package policy

import (
	"reflect"
	"slices"
	"strings"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/action"
)

// grantedRights are roles that grant what reaches around Countersign, and did not so far. To take rights away is no
// reserved action.
func grantedRights(_ *Set, in *Input) string {
	a := in.Action
	if a.Operation == v1alpha1.OperationDelete {
		return ""
	}
	if aggregates(a) {
		return "no agent may have a role filled with the rules of others: which rights that gives is not in the request"
	}
	former := rulesOf(a.Old)
	if !a.Namespaced && gainsLabels(a) {
		former = nil // with other labels the rules of a ClusterRole can become part of others
	}
	if what := grantedAnew(rulesOf(a.New), former, a.Namespaced); what != "" {
		return "no agent may grant the right to " + what + ": it reaches around Countersign"
	}
	return ""
}

// aggregates says whether a role gets a selector of other roles that it did not have.
func aggregates(a *action.Action) bool {
	former := objectsOf(a.Old, "aggregationRule", "clusterRoleSelectors")
	return slices.ContainsFunc(objectsOf(a.New, "aggregationRule", "clusterRoleSelectors"), func(selector map[string]any) bool {
		return !slices.ContainsFunc(former, func(was map[string]any) bool { return reflect.DeepEqual(selector, was) })
	})
}

// gainsLabels says whether an object gets a label, or another value for one.
func gainsLabels(a *action.Action) bool {
	before, _ := a.OldLabels()
	after, _ := a.NewLabels()
	for key, value := range after {
		if was, had := before[key]; !had || was != value {
			return true
		}
	}
	return false
}

// RoleRef names a role. A ClusterRole has no namespace.
type RoleRef struct{ Resource, Namespace, Name string }

// RoleOf names the role that an action gives somebody new, and says whether it does so. Input.Role is that role.
func RoleOf(a *action.Action) (RoleRef, bool) {
	if a.Group != rbacGroup || a.Resource != "rolebindings" && a.Resource != "clusterrolebindings" || len(addedSubjects(a)) == 0 {
		return RoleRef{}, false
	}
	ref := RoleRef{Resource: "clusterroles", Name: textOf(a.New, "roleRef", "name")}
	if textOf(a.New, "roleRef", "kind") == "Role" {
		ref.Resource, ref.Namespace = "roles", a.Namespace
	}
	return ref, true
}

// boundRights are bindings that give somebody new a role with rights that reach around Countersign, and those by which
// an agent gives rights to itself. The role is as it stands now; what is added to it later is an action of its own.
func boundRights(_ *Set, in *Input) string {
	added := addedSubjects(in.Action)
	if len(added) == 0 {
		return ""
	}
	if slices.ContainsFunc(added, func(s boundSubject) bool { return s.means(&in.Action.Actor) }) {
		return "no agent may grant rights to itself or to a group that it is in: what it may do is for people to say"
	}
	if in.Role == nil {
		return "no agent may bind anybody to a role that is not known: it can come to grant anything"
	}
	if what := grantedAnew(rulesOf(in.Role), nil, in.Action.Namespaced); what != "" {
		return "no agent may bind anybody to " + strings.ToLower(textOf(in.Action.New, "roleRef", "kind")) + " " +
			textOf(in.Action.New, "roleRef", "name") + ", which grants the right to " + what + ": it reaches around Countersign"
	}
	return ""
}

// boundSubject is a subject of a binding.
type boundSubject struct{ kind, namespace, name string }

// addedSubjects are those that a binding names and did not so far, or not for this role.
func addedSubjects(a *action.Action) []boundSubject {
	if a.Operation == v1alpha1.OperationDelete {
		return nil
	}
	var former []boundSubject
	if reflect.DeepEqual(fieldOf(a.Old, "roleRef"), fieldOf(a.New, "roleRef")) {
		former = boundSubjects(a, a.Old)
	}
	return slices.DeleteFunc(boundSubjects(a, a.New), func(s boundSubject) bool { return slices.Contains(former, s) })
}

func boundSubjects(a *action.Action, binding map[string]any) []boundSubject {
	var subjects []boundSubject
	for _, s := range objectsOf(binding, "subjects") {
		subject := boundSubject{textOf(s, "kind"), textOf(s, "namespace"), textOf(s, "name")}
		if subject.kind == "ServiceAccount" && subject.namespace == "" {
			subject.namespace = a.Namespace
		}
		subjects = append(subjects, subject)
	}
	return subjects
}

// means says whether the actor is the subject, or in the group that it is.
func (s boundSubject) means(actor *action.Actor) bool {
	namespace, _, isAccount := splitServiceAccount(actor.Username)
	switch s.kind {
	case "User":
		return s.name == actor.Username
	case "ServiceAccount":
		return ServiceAccountUsername(s.namespace, s.name) == actor.Username
	case "Group":
		// The groups of a forged or impersonated account may be missing: they follow from the name.
		return slices.Contains(actor.Groups, s.name) || s.name == "system:authenticated" ||
			isAccount && (s.name == "system:serviceaccounts" || s.name == serviceAccountsGroupPrefix+namespace)
	default: // no such subject exists
		return true
	}
}

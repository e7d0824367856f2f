package policy

import (
	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/action"
)

// otherTokens are tokens with which an agent would be somebody else: those of other accounts, and those of its own that
// say that it runs in another pod than it does. A dry run makes no difference: the API server issues the token.
func otherTokens(_ *Set, in *Input) string {
	a := in.Action
	if a.Operation != v1alpha1.OperationCreate || a.Subresource != "token" {
		return ""
	}
	if !isOwnAccount(a) {
		return "no agent may create tokens for another account than its own: it would act as that account, " +
			"and a dry run issues the token too"
	}
	return boundElsewhere(a)
}

// isOwnAccount says whether a token is for the very account that asks. An actor without a UID only claims to be it, by
// impersonation or a certificate, and would get a token that proves it.
func isOwnAccount(a *action.Action) bool {
	return a.Actor.Username == ServiceAccountUsername(a.Namespace, a.Name) && a.Actor.UID != "" && a.Actor.UID == a.UID
}

// boundElsewhere says why a token of one's own account may not be bound to what it asks for. Bound to nothing, or to
// a Secret, it says of its holder nothing but the account.
func boundElsewhere(a *action.Action) string {
	to, bound := fieldOf(a.New, "spec", "boundObjectRef").(map[string]any)
	if !bound {
		return ""
	}
	switch textOf(to, "kind") {
	case "Secret":
		return ""
	case "Pod":
		// By its name alone it could be another pod, which has taken the name since.
		if uid := textOf(to, "uid"); uid != "" && uid == a.Actor.PodUID {
			return ""
		}
		return "no agent may have a token bound to another pod than the one its own credential belongs to, named by its UID: " +
			"approvals can be for one pod alone"
	default:
		return "no agent may have a token bound to anything but its own pod or a Secret: it would say of the agent what is not so"
	}
}

// tokenTypes are the types of Secrets that are or become a token, and whose it is.
var tokenTypes = map[string]string{
	"kubernetes.io/service-account-token": "they are filled with a token of any account that they name",
	"bootstrap.kubernetes.io/token":       "whoever knows one is taken for a node that joins",
}

// tokenSecrets are Secrets that let whoever made them be somebody else.
func tokenSecrets(_ *Set, in *Input) string {
	if in.Action.Operation == v1alpha1.OperationDelete {
		return ""
	}
	for _, content := range []map[string]any{in.Action.New, in.Action.Old} {
		kind := textOf(content, "type")
		if why, reserved := tokenTypes[kind]; reserved {
			return "no agent may create or change Secrets of type " + kind + ": " + why
		}
	}
	return ""
}

// nodeProxies are sessions with kubelets, which let their caller into every pod of the node. Neither the method nor
// the body of what goes through is shown.
func nodeProxies(_ *Set, in *Input) string {
	if in.Action.Operation != v1alpha1.OperationConnect {
		return ""
	}
	return "no agent may talk to kubelets: they run commands in every pod of their node, and admission does not see which"
}

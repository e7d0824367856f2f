package controllers

import (
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

// definitionAnnotation is the UID of the definition of the policies of which a webhook configuration was made. When the
// definition is deleted, so are all policies, and nobody is asked: that is no reason to let their subjects go.
const definitionAnnotation = v1alpha1.GroupName + "/policies-definition"

const (
	enforceEntry = "enforce." + v1alpha1.GroupName
	lostEntry    = "lost." + v1alpha1.GroupName
)

// lost says whether a stored configuration names subjects of policies that have vanished with an earlier definition.
func lost(stored client.Object, definition string) bool {
	made := stored.GetAnnotations()[definitionAnnotation]
	return made != "" && definition != "" && made != definition
}

// keepLost adds to the entries of the policies at hand one for the subjects of those that were lost. It returns them as
// they are where the policies are back: where they name the same subjects again.
func keepLost(
	stored *admissionregistrationv1.ValidatingWebhookConfiguration, hooks []admissionregistrationv1.ValidatingWebhook,
) ([]admissionregistrationv1.ValidatingWebhook, bool) {
	before, found := find(stored.Webhooks, lostEntry)
	if !found {
		before, found = find(stored.Webhooks, enforceEntry)
	}
	now, some := find(hooks, enforceEntry)
	if !found || !some || len(before.MatchConditions) == 0 || before.MatchConditions[0].Expression == now.MatchConditions[0].Expression {
		return hooks, false
	}
	kept := now
	kept.Name = lostEntry
	kept.MatchConditions = []admissionregistrationv1.MatchCondition{
		condition("lost-subjects", before.MatchConditions[0].Expression),
		condition("not-governed", "!("+now.MatchConditions[0].Expression+")"),
	}
	return append(hooks, kept), true
}

func find(hooks []admissionregistrationv1.ValidatingWebhook, name string) (admissionregistrationv1.ValidatingWebhook, bool) {
	for i := range hooks {
		if hooks[i].Name == name {
			return hooks[i], true
		}
	}
	return admissionregistrationv1.ValidatingWebhook{}, false
}

// withoutLost are the entries of the policies at hand.
func withoutLost(hooks []admissionregistrationv1.ValidatingWebhook) []admissionregistrationv1.ValidatingWebhook {
	var rest []admissionregistrationv1.ValidatingWebhook
	for i := range hooks {
		if hooks[i].Name != lostEntry {
			rest = append(rest, hooks[i])
		}
	}
	return rest
}

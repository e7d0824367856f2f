package controllers

import (
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/canary"
	"github.com/countersign-dev/countersign/internal/heartbeat"
)

// hindrance is why a policy is not known to be in force. The zero value is none.
type hindrance struct {
	reason, message string
	// passing says that it comes with every change of any policy and goes by itself. It does not count against a
	// policy that was in force, or each change would be written into the status of all policies, twice.
	passing bool
}

var (
	tooLarge = hindrance{
		reason: v1alpha1.ReasonConfigurationTooLarge,
		message: "the subjects of all policies no longer fit into the webhook configuration; " +
			"name groups or whole namespaces instead of single accounts",
	}
	notStored = hindrance{
		reason:  v1alpha1.ReasonConfigurationPending,
		message: "the stored webhook configuration does not send the subjects' actions to the operator yet",
	}
	notProven = hindrance{
		reason:  v1alpha1.ReasonCanaryPending,
		message: "the canary has not been refused yet since the webhook configuration was stored",
		passing: true,
	}
)

// untrusted says what to do about definitions that have changed.
func untrusted(err error) hindrance {
	return hindrance{
		reason:  v1alpha1.ReasonDefinitionsChanged,
		message: "agents are refused: " + err.Error() + "; install the definitions again, by helm upgrade or from config/crd",
	}
}

// notRefused says what to do about a canary that is not refused, by what happens to it instead.
func notRefused(r canary.Result) hindrance {
	h := hindrance{reason: v1alpha1.ReasonCanaryNotRefused}
	switch r.Outcome {
	case canary.Passed:
		h.message = "agents are not refused: what Countersign must refuse to its canary passes; " +
			"see kubectl get validatingwebhookconfiguration " + ActionsConfiguration + " and the log of the operator"
	case canary.Unanswered:
		h.message = "agents are refused everything: the API server gets no answer from Countersign; " +
			"see whether it reaches the operator's Service"
	case canary.Forbidden:
		h.message = "nobody knows whether agents are refused: the canary is stopped before Countersign is asked; " +
			"see its Role in the operator's namespace, and the log of the operator"
	case canary.Unreachable, canary.Refused:
		h.message = "nobody knows whether agents are refused: the canary gets no answer; see the log of the operator"
	default:
		h.message = "nobody knows whether agents are refused; see the log of the operator"
	}
	return h
}

// maxNamed bounds how many replicas a message names.
const maxNamed = 5

// behind says what other replicas have in the way.
func behind(s heartbeat.Standing) hindrance {
	switch {
	case len(s.Blind) > 0:
		return hindrance{
			reason: v1alpha1.ReasonCanaryNotRefused,
			message: "agents may not be refused at every API server: the canary is not refused from " + some(s.Blind) +
				"; see the log there",
		}
	case len(s.Lagging) > 0:
		return hindrance{
			reason:  v1alpha1.ReasonReplicasPending,
			message: "still decided with other policies by " + some(s.Lagging) + "; if that lasts, see the log there",
			passing: s.Patient,
		}
	}
	return hindrance{}
}

// some names the first of a list.
func some(names []string) string {
	if len(names) > maxNamed {
		return strings.Join(names[:maxNamed], ", ") + " and others"
	}
	return strings.Join(names, ", ")
}

// wasEnforced says whether this generation was in force when the status was last written.
func wasEnforced(p *v1alpha1.AgentActionPolicy) bool {
	c := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.PolicyEnforced)
	return c != nil && c.Status == metav1.ConditionTrue && c.ObservedGeneration == p.Generation
}

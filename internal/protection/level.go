package protection

import (
	"errors"
	"fmt"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Level says how far agents are kept from what Countersign depends on. Each includes those below it.
type Level int

const (
	// Unknown is a cluster that has not given an answer that tells.
	Unknown Level = 0
	// Rights is level 1: nothing but RBAC keeps agents from it, as far as their rights go.
	Rights Level = 1
	// Webhooks is level 2: reserved actions are refused, of all that webhooks are asked about.
	Webhooks Level = 2
	// Policy is level 3: an admission policy in the API refuses changes of the webhook configurations.
	Policy Level = 3
	// Sealed is level 4: files of the API server refuse changes of all admission configuration, and impersonation.
	Sealed Level = 4
)

// Answers are what the API server says when the canary, which is governed as agents are, tries what must be refused. All
// are dry runs, or questions.
type Answers struct {
	// Enforced says that the canary's ordinary write was refused by Countersign; Undecided that nobody knows yet.
	Enforced, Undecided bool
	// Configuration is the answer to the deletion of the webhook configuration that sends agents' actions to the operator.
	Configuration error
	// Policy is the answer to the deletion of the binding of the admission policy. PolicyAsked is false without one.
	Policy      error
	PolicyAsked bool
	// Impersonation is the answer to whether the canary may act as somebody else.
	Impersonation authorizationv1.SubjectAccessReviewStatus
}

// Finding is a level, and why it is no higher, in words.
type Finding struct {
	Level  Level
	Reason string
}

// Judge says which level answers show. What cannot be told from them is not claimed.
func Judge(a *Answers) Finding {
	by, err := refusedBy(a.Configuration)
	switch {
	case err != nil:
		return Finding{Unknown, fmt.Sprintf("deleting the webhook configuration as the canary is answered by: %v", err)}
	case a.Undecided:
		return Finding{Unknown, "the canary has not been refused yet"}
	case !a.Enforced:
		return Finding{Rights, "the canary's write was not refused by the webhook"}
	case len(by) == 0:
		return Finding{Webhooks, "no admission policy keeps agents from the webhook configurations"}
	case !anyStatic(by):
		return Finding{Policy, "no file of the API server keeps agents from admission policies"}
	}
	if a.PolicyAsked {
		by, err := refusedBy(a.Policy)
		if err != nil {
			return Finding{Policy, fmt.Sprintf("deleting the binding of the admission policy as the canary is answered by: %v", err)}
		}
		if !anyStatic(by) {
			return Finding{Policy, "the files of the API server do not keep agents from admission policies"}
		}
	}
	if !a.Impersonation.Denied {
		return Finding{Policy, "no authorizer denies agents impersonation"}
	}
	return Finding{Sealed, "files of the API server refuse admission configuration and impersonation to those whom they name"}
}

func anyStatic(policies []string) bool {
	for _, p := range policies {
		if strings.HasSuffix(p, StaticSuffix) {
			return true
		}
	}
	return false
}

const refusalPrefix = "ValidatingAdmissionPolicy '"

// refusedBy names the admission policies that refused a request: none where it passed. Any other answer is an error: that
// of RBAC, for example, says nothing about admission. The API server reads the policies of files first, and lists all.
func refusedBy(answer error) ([]string, error) {
	if answer == nil {
		return nil, nil
	}
	var status apierrors.APIStatus
	if !errors.As(answer, &status) || status.Status().Reason != metav1.StatusReasonForbidden || status.Status().Details == nil {
		return nil, answer
	}
	var names []string
	for _, c := range status.Status().Details.Causes {
		rest, ok := strings.CutPrefix(c.Message, refusalPrefix)
		name, _, closed := strings.Cut(rest, "'")
		if ok && closed {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil, answer
	}
	return names, nil
}

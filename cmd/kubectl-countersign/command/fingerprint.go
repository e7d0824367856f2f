package command

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/approval"
)

// fingerprint identifies what a person is asked to consent to: the object, and all of its spec but what people decided.
// Verdicts of others, and what became of them, may come meanwhile; anything else that differs must be shown again.
func fingerprint(a *v1alpha1.ActionApproval) (string, error) {
	spec := *a.Spec.DeepCopy()
	spec.Decision, spec.Decisions = nil, nil
	content, err := json.Marshal(struct {
		Namespace, Name, UID string
		Spec                 v1alpha1.ActionApprovalSpec
	}{a.Namespace, a.Name, string(a.UID), spec})
	if err != nil {
		return "", fmt.Errorf("reading approval %s: %w", keyOf(a), err)
	}
	return fmt.Sprintf("%x", sha256.Sum256(content)), nil
}

// stateAfter is the state that recorded verdicts amount to, before the operator has written it: by the time of the last
// one, which is the server's.
func (e *Environment) stateAfter(a *v1alpha1.ActionApproval) approval.State {
	if n := len(a.Spec.Decisions); n > 0 {
		return approval.Evaluate(a, a.Spec.Decisions[n-1].Time.Time)
	}
	return e.stateOf(a)
}

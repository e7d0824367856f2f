package command

import (
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/cmd/kubectl-countersign/terminal"
	"github.com/countersign-dev/countersign/internal/approval"
	"github.com/countersign-dev/countersign/internal/naming"
)

// stateOf is the state that the operator has written, and before it has, what the engine says.
func (e *Environment) stateOf(a *v1alpha1.ActionApproval) approval.State {
	if c := meta.FindStatusCondition(a.Status.Conditions, v1alpha1.ApprovalApproved); c != nil && c.Reason != "" {
		return approval.State(c.Reason)
	}
	return approval.Evaluate(a, e.Now())
}

// styleOf is the colour of a state.
func styleOf(s approval.State) terminal.Style {
	switch s {
	case approval.Pending:
		return terminal.Yellow
	case approval.Approved:
		return terminal.Green
	case approval.Denied, approval.Revoked, approval.Void:
		return terminal.Red
	case approval.Expired, approval.Spent, approval.NoLongerNeeded:
		return terminal.Faint
	default:
		return terminal.Plain
	}
}

// expiryOf is until when an approval can be decided or used; zero where it has ended.
func (e *Environment) expiryOf(a *v1alpha1.ActionApproval) time.Time {
	switch {
	case e.stateOf(a).Terminal():
		return time.Time{}
	case a.Status.ExpiresAt != nil:
		return a.Status.ExpiresAt.Time
	case a.Spec.RequestExpiresAt != nil:
		return a.Spec.RequestExpiresAt.Time
	default:
		return time.Time{}
	}
}

// expiryCell says how long is left.
func (e *Environment) expiryCell(a *v1alpha1.ActionApproval) string {
	switch t := e.expiryOf(a); {
	case t.IsZero():
		return "-"
	case !t.After(e.Now()):
		return "over"
	default:
		return e.distance(t)
	}
}

// deedOf says in short what is done to what.
func deedOf(spec *v1alpha1.ActionApprovalSpec) string {
	switch {
	case spec.Action != nil:
		asked := spec.Action
		deed, target := naming.Deed(string(asked.Operation), asked.Resource, asked.Subresource, asked.Name)
		return deed + " " + target
	case spec.Task != nil:
		return "run task/" + spec.Task.Name
	default:
		return "-"
	}
}

// reasonsOf lists the kinds of reasons, each once.
func reasonsOf(spec *v1alpha1.ActionApprovalSpec) string {
	var kinds []string
	seen := map[string]bool{}
	for _, r := range spec.Reasons {
		if !seen[r.Type] {
			seen[r.Type] = true
			kinds = append(kinds, r.Type)
		}
	}
	if len(kinds) == 0 {
		return "-"
	}
	return strings.Join(kinds, ",")
}

// consentsOf says how many of the people who are needed have consented.
func consentsOf(spec *v1alpha1.ActionApprovalSpec) string {
	var all []string
	for _, p := range approval.ProgressOf(spec) {
		all = append(all, fmt.Sprintf("%s %d/%d", p.Requirement.Name, len(p.Consents), p.Needed()))
	}
	if len(all) == 0 {
		return "-"
	}
	return strings.Join(all, ",")
}

// usesOf says how many of the uses are made.
func usesOf(a *v1alpha1.ActionApproval) string {
	used := 0
	for i := range a.Status.Uses {
		if a.Status.Uses[i].Outcome != v1alpha1.UseReturned {
			used++
		}
	}
	if a.Status.Remaining == nil {
		return fmt.Sprint(used)
	}
	return fmt.Sprintf("%d/%d", used, used+int(*a.Status.Remaining))
}

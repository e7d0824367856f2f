package approval

import (
	"slices"
	"strings"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/action"
)

// Disturbs says whether an action of a governed subject, as it is admitted, takes away what an approval was given for:
// it is another action on the same object. That ends the approval as Void. The hashes are those by which the action is known.
func Disturbs(a *v1alpha1.ActionApproval, act *action.Action, hashes ...string) bool {
	asked := a.Spec.Action
	return asked != nil && asked.UID != "" && asked.UID == act.UID && !slices.Contains(hashes, asked.Hash) &&
		asked.Group == act.Group && asked.Resource == act.Resource &&
		asked.Operation != v1alpha1.OperationConnect && act.Operation == v1alpha1.OperationUpdate && !act.Empty()
}

// Superseded says why a request shows that what an approval was given for cannot happen any more: it is for the same
// change, but the object does not start where it did. An approval for another change says nothing.
func Superseded(a *v1alpha1.ActionApproval, r *Request, base Base) (reason string, gone bool) {
	if a.Spec.Action == nil || r.Action == nil || a.Spec.Action.Hash == r.Hash || !Covers(a, r) {
		return "", false
	}
	asked := a.Spec.Action
	if asked.UID != r.Action.UID {
		return "object was deleted and created again since approval", true
	}
	if r.Action.Operation == v1alpha1.OperationDelete && base.Since(baseOf(a)) > DriftNone {
		return changedSince, true
	}
	var moved []string
	for i, now := range changes(r.Action) {
		before := asked.Changes[i]
		if before.To != now.To {
			return "", false
		}
		if before.From != now.From {
			moved = append(moved, now.Path)
		}
	}
	if len(moved) == 0 {
		return "", false
	}
	return changedSince + ": " + listed(moved), true
}

const changedSince = "object changed since approval"

// maxListed bounds how many things a reason lists.
const maxListed = 5

func listed(all []string) string {
	if len(all) > maxListed {
		all = append(slices.Clone(all[:maxListed]), "...")
	}
	return strings.Join(all, ", ")
}

package approval

import (
	"slices"
	"time"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/action"
)

// CoolsUntil says until when a denial keeps the same from being asked for again: as long as the request would have
// waited for people. An approver lifts it with a Revoke, and a person by deleting the approval.
func CoolsUntil(a *v1alpha1.ActionApproval, now time.Time) (until time.Time, cooling bool) {
	t := read(&a.Spec)
	if t.deniedAt.IsZero() || !t.liftedAt.IsZero() || a.Spec.RequestExpiresAt == nil {
		return time.Time{}, false
	}
	until = a.Spec.RequestExpiresAt.Time
	if created := a.CreationTimestamp.Time; !created.IsZero() {
		until = t.deniedAt.Add(until.Sub(created))
	}
	return until, now.Before(until)
}

// Covers says whether an approval is about what a request asks for, leaving aside the values: the same requester by
// name, operation, target and changed paths; or the same task. A denial keeps all that denied.
func Covers(a *v1alpha1.ActionApproval, r *Request) bool {
	if a.Spec.Requester.Username != r.Requester.Username || a.Namespace != r.Namespace() {
		return false
	}
	if r.Task != nil {
		return a.Spec.Task != nil && a.Spec.Task.Policy == r.Task.Policy && a.Spec.Task.Name == r.Task.Name
	}
	return a.Spec.Action != nil && r.Action != nil && sameTarget(a.Spec.Action, r.Action) && samePaths(a.Spec.Action, r.Action)
}

// Cooling is the denial that keeps a request from being opened, the one that does so longest; nil where none does.
func Cooling(all []*v1alpha1.ActionApproval, r *Request, now time.Time) (denied *v1alpha1.ActionApproval, until time.Time) {
	for _, a := range all {
		if end, cooling := CoolsUntil(a, now); cooling && end.After(until) && Covers(a, r) {
			denied, until = a, end
		}
	}
	return denied, until
}

func sameTarget(asked *v1alpha1.RequestedAction, a *action.Action) bool {
	return asked.Operation == a.Operation && asked.Group == a.Group && asked.Resource == a.Resource &&
		asked.Subresource == a.Subresource && asked.Namespace == a.Namespace && asked.Name == targetName(a)
}

func samePaths(asked *v1alpha1.RequestedAction, a *action.Action) bool {
	return slices.EqualFunc(asked.Changes, a.Changes[:min(len(a.Changes), maxChanges)],
		func(c v1alpha1.FieldChange, d action.Change) bool { return c.Path == shown(d.Path) })
}

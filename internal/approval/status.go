package approval

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

// StatusOf is the status that an approval has at an instant. It keeps the uses and, where a condition does not
// change, its time.
func StatusOf(a *v1alpha1.ActionApproval, now time.Time) v1alpha1.ActionApprovalStatus {
	return status(a, now, evaluate(a, now), "")
}

// End is the status of an approval that has ended for a reason that only its surroundings show: Void or
// NoLongerNeeded. What has ended already stays as it is, and a request that was granted cannot be unneeded.
func End(a *v1alpha1.ActionApproval, state State, message string, now time.Time) v1alpha1.ActionApprovalStatus {
	s := evaluate(a, now)
	if s.state == Pending && state == NoLongerNeeded || !s.state.Terminal() && state == Void {
		s.state, s.since = state, now
		return status(a, now, s, message)
	}
	return status(a, now, s, "")
}

func status(a *v1alpha1.ActionApproval, now time.Time, s standing, message string) v1alpha1.ActionApprovalStatus {
	next := *a.Status.DeepCopy()
	if s.since.IsZero() || s.since.After(now) {
		s.since = now
	}
	conditions(&next, a, s, message)
	next.ApprovedAt, next.ExpiresAt = nil, nil
	if !s.approvedAt.IsZero() {
		approved, expires := stamp(s.approvedAt), stamp(s.expiresAt)
		next.ApprovedAt, next.ExpiresAt = &approved, &expires
	} else if a.Spec.RequestExpiresAt != nil {
		next.ExpiresAt = a.Spec.RequestExpiresAt.DeepCopy()
	}
	next.Remaining = new(remaining(&next, read(&a.Spec).limits.uses))
	var expires time.Time
	if next.ExpiresAt != nil {
		expires = next.ExpiresAt.Time
	}
	next.Summary = summarise(&a.Spec, s.state, expires)
	return next
}

// conditions sets both conditions. Both are present from the beginning; an end that is recorded stays, whatever changes
// of the spec it has seen: kubectl wait trusts only conditions of the generation at hand.
func conditions(next *v1alpha1.ActionApprovalStatus, a *v1alpha1.ActionApproval, s standing, message string) {
	if recorded(next) != "" && meta.FindStatusCondition(next.Conditions, v1alpha1.ApprovalDecided) != nil {
		for i := range next.Conditions {
			next.Conditions[i].ObservedGeneration = a.Generation
		}
		return
	}
	if message == "" {
		message = explain(s)
	}
	approved := metav1.ConditionFalse
	switch s.state {
	case Pending:
		approved = metav1.ConditionUnknown
	case Approved:
		approved = metav1.ConditionTrue
	default:
	}
	set(next, a, s.since, v1alpha1.ApprovalApproved, approved, string(s.state), message)

	decided, reason := metav1.ConditionFalse, string(s.state)
	switch {
	case !s.approvedAt.IsZero():
		decided, reason, s.since = metav1.ConditionTrue, v1alpha1.ReasonApproved, s.approvedAt
	case s.state == Denied:
		decided = metav1.ConditionTrue
	}
	set(next, a, s.since, v1alpha1.ApprovalDecided, decided, reason, message)
}

func set(
	next *v1alpha1.ActionApprovalStatus, a *v1alpha1.ActionApproval, since time.Time,
	kind string, status metav1.ConditionStatus, reason, message string,
) {
	meta.SetStatusCondition(&next.Conditions, metav1.Condition{
		Type: kind, Status: status, Reason: reason, Message: message,
		ObservedGeneration: a.Generation, LastTransitionTime: stamp(since),
	})
}

// explain says in a sentence what a state means.
func explain(s standing) string {
	switch s.state {
	case Pending:
		return "waiting for people to decide"
	case Approved:
		return "can be used until " + s.expiresAt.UTC().Format(time.RFC3339)
	case Denied:
		return "a person refused"
	case Expired:
		if s.approvedAt.IsZero() {
			return "nobody decided in time"
		}
		return "the time for using it is over"
	case Revoked:
		return "a person took consent back"
	case Spent:
		return "every use was made"
	case Void:
		return "what was approved is no longer what would happen"
	case NoLongerNeeded:
		return "the action may be done without consent by now"
	default:
		return fmt.Sprintf("unknown state %q", string(s.state))
	}
}

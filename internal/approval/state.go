package approval

import (
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

// State is the state of an approval in one word, the reason of its condition Approved. The zero value is none of
// them: whoever reads it must refuse.
type State string

const (
	// Pending waits for people.
	Pending State = v1alpha1.ReasonPending
	// Approved can be used.
	Approved State = v1alpha1.ReasonApproved
	// Denied was refused by a person.
	Denied State = v1alpha1.ReasonDenied
	// Expired was not answered in time, or the time for using it is over.
	Expired State = v1alpha1.ReasonExpired
	// Revoked was taken back by a person.
	Revoked State = v1alpha1.ReasonRevoked
	// Void is consent to something that would not happen any more.
	Void State = v1alpha1.ReasonVoid
	// Spent has no use left, and none that could come back.
	Spent State = v1alpha1.ReasonSpent
	// NoLongerNeeded was asked for what may be done without consent by now.
	NoLongerNeeded State = v1alpha1.ReasonNoLongerNeeded
)

// AllStates are all the states that there are, in the order of a life.
func AllStates() []State {
	return []State{Pending, Approved, Denied, Expired, Revoked, Void, Spent, NoLongerNeeded}
}

// Terminal says that the state never changes again.
func (s State) Terminal() bool {
	return s != Pending && s != Approved
}

// Evaluate says in which state an approval is. An end that its status records stays, whatever the rest says.
func Evaluate(a *v1alpha1.ActionApproval, now time.Time) State {
	return evaluate(a, now).state
}

// standing is what an approval amounts to at one instant.
type standing struct {
	state State
	// since is when the state began, where that is known.
	since time.Time
	// approvedAt and expiresAt are zero before consent was given.
	approvedAt, expiresAt time.Time
}

func evaluate(a *v1alpha1.ActionApproval, now time.Time) standing {
	t := read(&a.Spec)
	s := standing{state: Pending, approvedAt: t.approvedAt}
	if t.approved() {
		s.state, s.since = Approved, t.approvedAt
		s.expiresAt = t.approvedAt.Add(t.limits.validFor)
	}
	ended := recorded(&a.Status)
	switch {
	case ended != "":
		s.state = ended
	case !t.deniedAt.IsZero():
		s.state, s.since = Denied, t.deniedAt
	case !t.revokedAt.IsZero():
		s.state, s.since = Revoked, t.revokedAt
	case t.approved() && spent(a, t.limits.uses, now):
		s.state, s.since = Spent, now
	case t.approved() && !now.Before(s.expiresAt):
		s.state, s.since = Expired, s.expiresAt
	case !t.approved() && !before(now, a.Spec.RequestExpiresAt):
		s.state, s.since = Expired, now
		if a.Spec.RequestExpiresAt != nil {
			s.since = a.Spec.RequestExpiresAt.Time
		}
	}
	return s
}

// recorded is the end that a status records, "" where it records none.
func recorded(status *v1alpha1.ActionApprovalStatus) State {
	c := meta.FindStatusCondition(status.Conditions, v1alpha1.ApprovalApproved)
	if c == nil || c.Status != metav1.ConditionFalse || c.Reason == "" {
		return ""
	}
	return State(c.Reason)
}

package approval

import (
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

// Ended says since when an approval has ended, as its status records it; false while it records no end.
func Ended(a *v1alpha1.ActionApproval) (since time.Time, ended bool) {
	if recorded(&a.Status) == "" {
		return time.Time{}, false
	}
	return meta.FindStatusCondition(a.Status.Conditions, v1alpha1.ApprovalApproved).LastTransitionTime.Time, true
}

// KeptUntil says until when an approval that has ended is kept: for the retention after its end, and for as long as it
// still means something. A denial keeps the same from being asked for again, and the reviews of an admitted deletion may
// still come.
func KeptUntil(a *v1alpha1.ActionApproval, since time.Time, retention time.Duration) time.Time {
	until := since.Add(retention)
	if cools, cooling := CoolsUntil(a, since); cooling && cools.After(until) {
		until = cools
	}
	for i := range a.Status.Uses {
		if end := a.Status.Uses[i].Time.Add(continuationSpan); end.After(until) {
			until = end
		}
	}
	return until
}

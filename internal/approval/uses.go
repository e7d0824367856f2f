package approval

import (
	"errors"
	"slices"
	"time"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

// maxUses is how many uses a status holds.
const maxUses = 1000

// UseClosed means that an attempt is given up: no review of it is admitted any more, so that it can be proven that it
// was not stored. Until then it counts.
const UseClosed = v1alpha1.UseClosed

var (
	// ErrNotApproved means that the approval cannot be used now.
	ErrNotApproved = errors.New("spending a use: the approval cannot be used")
	// ErrNothingLeft means that every use is made, though one may yet come back.
	ErrNothingLeft = errors.New("spending a use: none is left")
	// ErrClosed means that the attempt was given up, because it can never be stored.
	ErrClosed = errors.New("spending a use: the attempt was closed")
	// ErrUnknownUse means that there is no use of that key.
	ErrUnknownUse = errors.New("settling a use: there is none of that key")
	// ErrSettled means that a use has another outcome already, or one that never changes.
	ErrSettled = errors.New("settling a use: its outcome stands")
)

// Spend records a use for an attempt. A key that is recorded already costs nothing, and the status is unchanged. The
// result is to be written with the resourceVersion from which a was read; on conflict a is read, checked and spent
// again. So uses never exceed what was granted, whatever the number of writers.
//
// Since is a resourceVersion that the storage had before: what becomes of the attempt is read from what comes after it.
func Spend(
	a *v1alpha1.ActionApproval, key string, now time.Time, object v1alpha1.UsedObject, since string,
) (next v1alpha1.ActionApprovalStatus, already bool, err error) {
	use, as := find(a.Status.Uses, key, now)
	switch {
	case Evaluate(a, now) != Approved:
		return a.Status, false, ErrNotApproved
	case isClosed(use):
		return a.Status, false, ErrClosed
	case isKnown(use):
		return a.Status, true, nil
	case remaining(&a.Status, read(&a.Spec).limits.uses) < 1:
		return a.Status, false, ErrNothingLeft
	}
	spent := *a.DeepCopy()
	spent.Status.Uses = append(makeRoom(spent.Status.Uses, as), v1alpha1.ApprovalUse{
		Key: as, Time: stamp(now), Since: since, Object: used(object), Outcome: v1alpha1.UseAdmitted,
	})
	return StatusOf(&spent, now), false, nil
}

// isKnown says whether a use covers the attempt that it records.
func isKnown(use *v1alpha1.ApprovalUse) bool {
	return use != nil && use.Outcome != v1alpha1.UseReturned && use.Outcome != UseClosed
}

// isClosed says whether an attempt was given up for good. An update whose use was returned can be tried again, for a
// new use: the same write, from another revision of the object.
func isClosed(use *v1alpha1.ApprovalUse) bool {
	return use != nil && !isKnown(use) && !isKind(use.Key, kindUpdate)
}

func used(object v1alpha1.UsedObject) *v1alpha1.UsedObject {
	if object == (v1alpha1.UsedObject{}) {
		return nil
	}
	return &object
}

// makeRoom drops the returned use of the same key and, where the list is full, the oldest one that was returned: by
// then no review of that attempt can be under way.
func makeRoom(uses []v1alpha1.ApprovalUse, key string) []v1alpha1.ApprovalUse {
	uses = slices.DeleteFunc(uses, func(u v1alpha1.ApprovalUse) bool { return u.Key == key })
	for len(uses) >= maxUses {
		i := slices.IndexFunc(uses, func(u v1alpha1.ApprovalUse) bool { return u.Outcome == v1alpha1.UseReturned })
		if i < 0 {
			break
		}
		uses = slices.Delete(uses, i, i+1)
	}
	return uses
}

// Settle records what became of a use: Stored, or Returned where it is proven that it was not stored and cannot be. A
// create is closed before it is returned. Deletes, sessions and requests for tokens are never returned.
func Settle(a *v1alpha1.ActionApproval, key string, outcome v1alpha1.UseOutcome, now time.Time) (v1alpha1.ActionApprovalStatus, error) {
	use := lookUp(a.Status.Uses, key)
	switch {
	case use == nil:
		return a.Status, ErrUnknownUse
	case use.Outcome == outcome:
		return a.Status, nil
	case !maySettle(use, outcome):
		return a.Status, ErrSettled
	}
	settled, at := *a.DeepCopy(), stamp(now)
	use = lookUp(settled.Status.Uses, key)
	use.Outcome, use.SettledAt = outcome, &at
	return StatusOf(&settled, now), nil
}

func maySettle(use *v1alpha1.ApprovalUse, outcome v1alpha1.UseOutcome) bool {
	admitted := use.Outcome == v1alpha1.UseAdmitted || use.Outcome == ""
	closed := use.Outcome == UseClosed
	switch outcome {
	case v1alpha1.UseStored:
		return admitted || closed
	case UseClosed:
		return admitted && isKind(use.Key, kindCreate)
	case v1alpha1.UseReturned:
		return admitted && isKind(use.Key, kindUpdate) || closed
	case v1alpha1.UseAdmitted:
		return false
	default:
		return false
	}
}

// remaining is how many uses are left. A returned one does not count.
func remaining(status *v1alpha1.ActionApprovalStatus, granted int32) int32 {
	for i := range status.Uses {
		if status.Uses[i].Outcome != v1alpha1.UseReturned {
			granted--
		}
	}
	return max(granted, 0)
}

// spent says whether every use is made and none can come back.
func spent(a *v1alpha1.ActionApproval, granted int32, now time.Time) bool {
	if remaining(&a.Status, granted) > 0 {
		return false
	}
	return !slices.ContainsFunc(a.Status.Uses, func(u v1alpha1.ApprovalUse) bool { return !isSettled(&u, now) })
}

// settlingSpan is how long after a use it is worth waiting to hear what became of it.
const settlingSpan = 10 * time.Second

// Settling says whether it may turn out in a moment that a use was not made: it is too early to ask people again.
func Settling(a *v1alpha1.ActionApproval, now time.Time) bool {
	return slices.ContainsFunc(a.Status.Uses, func(u v1alpha1.ApprovalUse) bool {
		return EvidenceOf(&u) == ByVersions && now.Before(u.Time.Add(settlingSpan))
	})
}

// isSettled says whether a use has an outcome that stands. A session has one when it can no longer connect again, a
// token at once.
func isSettled(u *v1alpha1.ApprovalUse, now time.Time) bool {
	switch {
	case u.Outcome == v1alpha1.UseStored || u.Outcome == v1alpha1.UseReturned:
		return true
	case isKind(u.Key, kindSession):
		return !now.Before(u.Time.Add(sessionSpan))
	default:
		return isKind(u.Key, kindRequest)
	}
}

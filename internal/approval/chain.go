package approval

import (
	"time"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

// Locate finds the approval that is there for a request, following the chain of those that have ended from the one that
// Follows names, and sets Follows. Nil means that none is there: the request is to be opened, under r.Name().
//
// A denied approval is returned while it cools; one that has ended otherwise is followed. get looks up by name in the
// namespace of the request.
func (r *Request) Locate(get func(name string) *v1alpha1.ActionApproval, now time.Time) *v1alpha1.ActionApproval {
	for {
		name := r.Name()
		found := get(name)
		if found == nil || !Evaluate(found, now).Terminal() {
			return found
		}
		if _, cooling := CoolsUntil(found, now); cooling {
			return found
		}
		r.Follows = name
	}
}

// Begin sets Follows where the chain of a request for a run begins behind one that its requester has named, the latest of
// those that have ended: no name leads to it.
func (r *Request) Begin(known []*v1alpha1.ActionApproval, now time.Time) {
	if r.Task == nil {
		return
	}
	var latest *v1alpha1.ActionApproval
	for _, k := range known {
		if IsReserved(k.Name) || !Covers(k, r) || !Evaluate(k, now).Terminal() {
			continue
		}
		if latest == nil || latest.CreationTimestamp.Before(&k.CreationTimestamp) {
			latest = k
		}
	}
	if latest != nil {
		r.Follows = latest.Name
	}
}

// Package settlement finds out what became of the actions that were admitted under approvals, and so which uses come
// back. Admitted is not stored: what comes after admission can still refuse, and a write can land minutes later. It
// reads what was stored since, and gives nothing back where that does not prove it.
package settlement

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/action"
	"github.com/countersign-dev/countersign/internal/approval"
	"github.com/countersign-dev/countersign/internal/catalogue"
	"github.com/countersign-dev/countersign/internal/history"
)

// Settler settles the uses of approvals. It remembers up to where it has read, and is safe for concurrent use.
type Settler struct {
	History   *history.Reader
	Catalogue *catalogue.Catalogue
	// Hasher gives the key under which actions are hashed.
	Hasher func() (action.Hasher, error)
	Clock  clock.PassiveClock
	// Client writes, and Live reads, what agents did: what comes back counts against no budget.
	Client client.Client
	Live   client.Reader
	// GiveBackAfter is how long a creation that did not appear is waited for, after its attempt was closed.
	GiveBackAfter time.Duration

	// mu guards marks.
	mu    sync.Mutex
	marks map[types.NamespacedName]map[string]history.Snapshot
}

// Settle changes the status of an approval by what is found out about its uses; it is for the caller to store it. It
// says whether it did, and when to look again; zero for never. It is to be asked soon after a use and then less and
// less often, as it says, so that the API server still holds what happened in between.
//
// Only uses of the kinds of evidence that are named are looked at; none means all. For updates the API server answers at
// once, for the others it may take seconds.
func (s *Settler) Settle(
	ctx context.Context, a *v1alpha1.ActionApproval, only ...approval.Evidence,
) (settled bool, again time.Duration, err error) {
	for _, use := range a.Status.Uses { // a copy: settling replaces the list
		evidence := approval.EvidenceOf(&use)
		if evidence == approval.NoEvidence || len(only) > 0 && !slices.Contains(only, evidence) {
			continue
		}
		found, err := s.investigate(ctx, a, &use)
		if err != nil {
			return settled, 0, fmt.Errorf("finding out what became of a use of %s/%s: %w", a.Namespace, a.Name, err)
		}
		again = sooner(again, found.again)
		if found.outcome == "" {
			continue
		}
		if found.outcome == v1alpha1.UseReturned {
			// First, so that none is forgotten: whoever comes later finds the use as it was, and does so again.
			if err := s.withdraw(ctx, a.Spec.Requester.Username, use.Key); err != nil {
				return settled, 0, err
			}
		}
		if a.Status, err = approval.Settle(a, use.Key, found.outcome, s.Clock.Now()); err != nil {
			return settled, 0, fmt.Errorf("settling a use of %s/%s: %w", a.Namespace, a.Name, err)
		}
		settled = true
	}
	return settled, again, nil
}

// sooner is the shorter of two times, of which zero means never.
func sooner(a, b time.Duration) time.Duration {
	if a == 0 || b == 0 {
		return max(a, b)
	}
	return min(a, b)
}

// Forget drops what is remembered of an approval.
func (s *Settler) Forget(name types.NamespacedName) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.marks, name)
}

// mark is the latest state up to which the history of a use is known; ok is false where none was read yet.
func (s *Settler) mark(a *v1alpha1.ActionApproval, key string) (known history.Snapshot, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	known, ok = s.marks[client.ObjectKeyFromObject(a)][key]
	return known, ok
}

func (s *Settler) remember(a *v1alpha1.ActionApproval, key string, known history.Snapshot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := client.ObjectKeyFromObject(a)
	if s.marks == nil {
		s.marks = map[types.NamespacedName]map[string]history.Snapshot{}
	}
	if s.marks[name] == nil {
		s.marks[name] = map[string]history.Snapshot{}
	}
	s.marks[name][key] = known
}

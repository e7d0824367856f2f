package webhooks

import (
	"context"
	"sync"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/approval"
)

// sharedReads reads approvals live for many reviews at once: an agent that repeats what it was refused, from many clients, costs
// the API server one read after the other, however fast it is. Who asks is given what was read after that: a read that is under
// way is not for those who come later. The zero value is ready to use.
type sharedReads struct {
	mu             sync.Mutex
	underWay, next map[client.ObjectKey]*sharedRead
}

// sharedRead is one read. What it has found must only be read.
type sharedRead struct {
	done    chan struct{}
	live    *v1alpha1.ActionApproval
	unknown []string
	err     error
}

// readApproval reads an approval live, and names its fields that are not known.
type readApproval func(context.Context, client.ObjectKey) (*v1alpha1.ActionApproval, []string, error)

// get reads an approval, or waits for somebody else who does. The error is that of reading, or of the context.
func (s *sharedReads) get(ctx context.Context, key client.ObjectKey, read readApproval) (*v1alpha1.ActionApproval, []string, error) {
	r := s.join(ctx, key, read)
	select {
	case <-r.done:
		return r.live, r.unknown, r.err
	case <-ctx.Done():
		return nil, nil, context.Cause(ctx)
	}
}

func (s *sharedReads) join(ctx context.Context, key client.ObjectKey, read readApproval) *sharedRead {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.underWay == nil {
		s.underWay, s.next = map[client.ObjectKey]*sharedRead{}, map[client.ObjectKey]*sharedRead{}
	}
	if r := s.next[key]; r != nil {
		return r
	}
	r := &sharedRead{done: make(chan struct{})}
	if s.underWay[key] != nil {
		s.next[key] = r
		return r
	}
	s.underWay[key] = r
	// It is for others as well, so it does not end with the review that was first.
	go s.run(context.WithoutCancel(ctx), key, r, read)
	return r
}

// run reads, and goes on for as long as somebody waits for another read.
func (s *sharedReads) run(ctx context.Context, key client.ObjectKey, first *sharedRead, read readApproval) {
	for r := first; r != nil; r = s.advance(key) {
		once, cancel := context.WithTimeout(ctx, decisionDeadline)
		r.live, r.unknown, r.err = read(once, key)
		cancel()
		close(r.done)
	}
}

// advance ends the read that is under way, and begins the next one where somebody waits for it.
func (s *sharedReads) advance(key client.ObjectKey) *sharedRead {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.next[key]
	delete(s.next, key)
	if r == nil {
		delete(s.underWay, key)
		return nil
	}
	s.underWay[key] = r
	return r
}

// awaits says whether an approval that waits for people, as the cache shows it, still does. Then nothing is to be written, and
// those who ask need not do so one after the other. What cannot be read is not waited for: who reads it next says why.
func (a *Approvals) awaits(ctx context.Context, p *plea, candidate *v1alpha1.ActionApproval) bool {
	now := a.Clock.Now()
	if approval.Evaluate(candidate, now) != approval.Pending {
		return false
	}
	live, unknown, err := a.reads.get(ctx, client.ObjectKeyFromObject(candidate), a.read)
	if err != nil || len(unknown) > 0 {
		return false
	}
	verdict := approval.Check(live, p.attempt, now)
	if verdict.State != approval.Pending {
		return false
	}
	if verdict.Outcome != approval.Foreign {
		p.unusable(live, verdict, now)
	}
	return true
}

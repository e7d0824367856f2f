package webhooks

import (
	"context"
	"sync"
	"time"
)

// patience is a context that ends at a deadline, as one by context.WithDeadline does. But it takes a timer only once somebody
// asks when it ends: most decisions wait for nothing.
type patience struct {
	review   context.Context //nolint:containedctx // it is one itself
	deadline time.Time
	mu       sync.Mutex
	// timed is the context with the timer, nil while there is none.
	timed context.Context //nolint:containedctx // of which it is the end
	end   context.CancelFunc
}

// patient returns a context that ends at the latest after so long. Stop it when nobody needs it any more.
func patient(ctx context.Context, limit time.Duration) *patience {
	return &patience{review: ctx, deadline: time.Now().Add(limit)}
}

// stop ends the context.
func (p *patience) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.timed != nil {
		p.end()
	}
}

func (p *patience) withTimer() context.Context {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.timed == nil {
		p.timed, p.end = context.WithDeadline(p.review, p.deadline)
	}
	return p.timed
}

// Deadline implements context.Context.
func (p *patience) Deadline() (time.Time, bool) { return p.withTimer().Deadline() }

// Done implements context.Context.
func (p *patience) Done() <-chan struct{} { return p.withTimer().Done() }

// Err implements context.Context.
func (p *patience) Err() error { return p.withTimer().Err() }

// Value implements context.Context. By a value, contexts that are made of this one find out how they end when it does.
func (p *patience) Value(key any) any { return p.withTimer().Value(key) }

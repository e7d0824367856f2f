// Package canary finds out whether agents are refused, by being one: it asks the API server for something that Countersign
// refuses to the canary, an identity of its own, and nothing but Countersign's refusal counts as one.
package canary

import (
	"context"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

const (
	// Interval is how often the canary asks while it is refused.
	Interval = time.Minute
	// timeout bounds one attempt. The API server waits for less before it says that the operator did not answer.
	timeout = 10 * time.Second
	// tolerance is for how long the canary may fail before that counts: an API server takes up a changed webhook
	// configuration within that time, and one lost connection is no outage.
	tolerance = 2 * time.Second
	// minPause and maxPause are between attempts while they fail. The pause doubles.
	minPause, maxPause = 50 * time.Millisecond, 5 * time.Second
	// memory is how long a refusal proves anything, should attempts hang.
	memory = 2 * Interval
)

// Canary asks at its start, when it is woken, and every Interval; while it is not refused, more often. It implements
// manager.Runnable and runs on every replica: each has its own way to the API servers. Use New.
type Canary struct {
	write func(context.Context) error
	clock clock.WithTicker
	woken chan struct{}

	// mu guards what follows.
	mu        sync.Mutex
	last      Result
	refusedAt time.Time // when the last attempt that was refused began; zero: none was
	failing   time.Time // when the first of the attempts began that failed since; zero: none did
	now       string    // what Wake was last told
	proven    string    // what it had been told when the last attempt that was refused began
	attempts  map[Outcome]int
	published Status // when listeners were called last
	listeners []func()
}

// New returns a canary that uses write, whose error is the answer of the API server.
func New(write func(context.Context) error, clk clock.WithTicker) *Canary {
	return &Canary{write: write, clock: clk, woken: make(chan struct{}, 1), attempts: map[Outcome]int{}}
}

// NeedLeaderElection says that every replica looks for itself.
func (c *Canary) NeedLeaderElection() bool { return false }

// Wake has the canary ask at once: what agents depend on has another version now. It does not block.
func (c *Canary) Wake(version string) {
	c.mu.Lock()
	c.now = version
	c.mu.Unlock()
	select {
	case c.woken <- struct{}{}:
	default: // it is about to ask
	}
}

// OnChange calls f after an attempt by which the Status has changed, other than in its time. It must not block.
func (c *Canary) OnChange(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.listeners = append(c.listeners, f)
}

// Start asks until the context ends.
func (c *Canary) Start(ctx context.Context) error {
	logger := log.FromContext(ctx).WithName("canary")
	pause, told := minPause, unknown
	for {
		refused := c.attempt(ctx)
		select {
		case <-ctx.Done():
			return nil
		default:
		}
		told = c.tell(logger, told)
		wait := Interval
		if !refused {
			wait = pause
			pause = min(2*pause, maxPause)
		} else {
			pause = minPause
		}
		timer := c.clock.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C():
		case <-c.woken:
			timer.Stop()
			pause = minPause
		}
	}
}

// attempt asks once, and says whether that was refused.
func (c *Canary) attempt(ctx context.Context) bool {
	began := c.clock.Now()
	c.mu.Lock()
	version := c.now
	c.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	result := Classify(c.write(ctx))
	refused := result.Outcome == Refused
	c.mu.Lock()
	c.last = result
	c.attempts[result.Outcome]++
	switch {
	case refused:
		c.refusedAt, c.failing, c.proven = began, time.Time{}, version
	case c.failing.IsZero():
		c.failing = began
	}
	c.mu.Unlock()
	c.publish()
	return refused
}

// publish calls listeners where they would learn something.
func (c *Canary) publish() {
	s := c.Status()
	s.RefusedAt, s.Detail = time.Time{}, ""
	c.mu.Lock()
	changed, listeners := s != c.published, c.listeners
	c.published = s
	c.mu.Unlock()
	if changed {
		for _, f := range listeners {
			f()
		}
	}
}

// tell logs when it turns out that agents are refused, or are not, and returns what is known to be told.
func (c *Canary) tell(logger logr.Logger, told verdict) verdict {
	s := c.Status()
	switch {
	case s.Up && told != up:
		logger.Info("The canary is refused: policies are enforced")
		return up
	case s.Down && told != down:
		logger.Error(nil, "The canary is not refused: nobody knows whether policies are enforced", "outcome", s.Outcome, "answer", s.Detail)
		return down
	}
	logger.V(1).Info("The canary has asked", "outcome", s.Outcome, "answer", s.Detail)
	return told
}

// verdict is what was told last.
type verdict int

const (
	unknown verdict = iota
	up
	down
)

// Status is what the canary knows at an instant.
type Status struct {
	Result
	// Up says that agents are refused: the last attempt was, or one short before.
	Up bool
	// Down says that attempts have not been refused for longer than is tolerated. Neither is said at the start.
	Down bool
	// Proven is what Wake had been told last when the last attempt began that was refused.
	Proven string
	// RefusedAt is when the last attempt that was refused began; zero: none was.
	RefusedAt time.Time
}

// Status is what the canary knows now.
func (c *Canary) Status() Status {
	now := c.clock.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	failed := !c.failing.IsZero() && now.Sub(c.failing) > tolerance || !c.refusedAt.IsZero() && now.Sub(c.refusedAt) > memory
	refused := !c.refusedAt.IsZero() && !failed
	return Status{Result: c.last, Up: refused, Down: failed, RefusedAt: c.refusedAt, Proven: c.proven}
}

package webhooks_test

import (
	"context"
	"testing"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/operatortest"
)

// route is one way of doing something.
type route func(context.Context, *story) error

// shape is an action that is asked for in one way, approved, and done in the same or another one.
type shape struct {
	policy string // empty: consentToAll
	// prepare makes what the action is about.
	prepare func(*testing.T, *story)
	ask     route
	redeem  route // nil: as it was asked for
	// landed is nil when the live object shows the result; nothing must show it before.
	landed route
	// after looks at the approval that was used.
	after func(*testing.T, *story, *v1alpha1.ActionApproval)
	// revert is a person who takes the result back, so that repeating the action would do something.
	revert func(*testing.T, *story)
}

// run goes the whole way: refused, asked, approved, done once, and not once more.
func (c shape) run(t *testing.T, e *environment) {
	if c.policy == "" {
		c.policy = consentToAll
	}
	if c.redeem == nil {
		c.redeem = c.ask
	}
	s := newStory(t, e, c.policy)
	if c.prepare != nil {
		c.prepare(t, s)
	}
	used := s.grant(t, func() error { return c.ask(t.Context(), s) })
	c.wantLanded(t, s, false)
	redeem(t, func() error { return c.redeem(t.Context(), s) })
	c.wantLanded(t, s, true)
	s.wantUses(t, used, 1)
	if c.after != nil {
		c.after(t, s, used)
	}
	if c.revert != nil {
		c.revert(t, s)
	}
	next := s.asked(t, func() error { return c.redeem(t.Context(), s) })
	if next.Name == used.Name {
		t.Errorf("approval %s is asked for again after its use", used.Name)
	}
	c.wantLanded(t, s, c.revert == nil)
	s.wantUses(t, used, 1)
	s.wantUses(t, next, 0)
}

func (c shape) wantLanded(t *testing.T, s *story, want bool) {
	t.Helper()
	if c.landed == nil {
		return
	}
	if !want {
		if c.landed(t.Context(), s) == nil {
			t.Error("the result shows without consent")
		}
		return
	}
	operatortest.Eventually(t, "the result shows", func(ctx context.Context) error { return c.landed(ctx, s) })
}

// kubectl is the route of an agent who uses kubectl.
func kubectl(args ...string) route {
	return func(ctx context.Context, s *story) error { return s.kubectl(ctx, s.agent, args...) }
}

package controllers_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/countersign-dev/countersign/controllers"
	"github.com/countersign-dev/countersign/hack/controlplane"
	"github.com/countersign-dev/countersign/internal/operatortest"
	"github.com/countersign-dev/countersign/internal/protection"
)

// oracle answers what the test sets, and counts.
type oracle struct {
	mu     sync.Mutex
	answer protection.Answers
	asked  int
}

func (o *oracle) ask(context.Context) protection.Answers {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.asked++
	return o.answer
}

func (o *oracle) set(a protection.Answers) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.answer = a
	return o.asked
}

// TestLevelWatch steps a clock: a higher level is told at once, a lower one when it has lasted.
func TestLevelWatch(t *testing.T) {
	objects, err := cache.New(controlplane.Shared(t).AdminConfig(), cache.Options{Scheme: adminClient(t).Scheme()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 2)
	go func() { ended <- objects.Start(ctx) }()
	clk := clocktesting.NewFakeClock(berlin(t, "2026-11-25T12:00:00+01:00"))
	o := &oracle{answer: protection.Answers{Undecided: true}}
	w := &controllers.LevelWatch{Ask: o.ask, Cache: objects, Clock: clk, Changed: make(chan event.GenericEvent, 1)}
	go func() { ended <- w.Start(ctx) }()

	// look sets an answer, lets time pass, and waits until it was asked for.
	look := func(a protection.Answers, after time.Duration) {
		t.Helper()
		before := o.set(a)
		operatortest.Eventually(t, "it looks", func(context.Context) error {
			if clk.HasWaiters() && o.set(a) == before {
				clk.Step(after)
			}
			if o.set(a) == before {
				return fmt.Errorf("it has looked %d times", before)
			}
			return nil
		})
	}
	want := func(what, level string) {
		t.Helper()
		operatortest.Eventually(t, what, func(context.Context) error {
			if got := w.Text(); got != level {
				return fmt.Errorf("the level is %q, want %q", got, level)
			}
			return nil
		})
	}
	webhooks, nothing := protection.Answers{Enforced: true}, protection.Answers{}
	look(protection.Answers{Undecided: true}, 0)
	want("nobody knows", "")
	look(webhooks, time.Minute)
	want("the webhook refuses", "2")
	<-w.Changed

	look(nothing, time.Minute)
	look(webhooks, 2*time.Second) // looks again before it says so
	look(webhooks, time.Minute)
	want("nothing refused for a moment", "2")
	if len(w.Changed) > 0 {
		t.Error("what nothing refused for a moment was told")
	}

	look(nothing, time.Minute)
	look(nothing, 2*time.Second)
	want("nothing refuses", "1")
	<-w.Changed
	cancel()
	for range 2 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

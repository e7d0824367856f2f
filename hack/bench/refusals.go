package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	eventsv1 "k8s.io/api/events/v1"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/hack/measure"
)

const (
	// repeats is how often an agent repeats what is refused.
	repeats = 10_000
	// loopClients is how many clients it does so with.
	loopClients = 32
	// mostEvents is how many events that is to leave, at most.
	mostEvents = 5
)

// measureRefusals has an agent repeat one command that needs consent, as an agent does that does not take no for an answer.
func measureRefusals(ctx context.Context, b *measure.Run) error {
	n := b.Largest(repeats)
	b.Report.Settingf("one replica, reached directly; %s refusals, by %s at once", thousands(n), plural(loopClients, "client"))
	t, err := newTroopers(ctx, b)
	if err != nil {
		return err
	}
	defer t.bed.Close()
	refused := t.slow(0)
	if err := refused(ctx, 0); !isAsked(err) {
		return notAsked(err)
	}
	before, err := t.bed.APIServerMetrics(ctx)
	if err != nil {
		return err
	}
	got := repeated(n, func() error { return refused(ctx, 0) })
	after, err := t.bed.APIServerMetrics(ctx)
	if err != nil {
		return err
	}
	got.reads = int(after.Since(before).Sum("apiserver_request_total", redeeming["reads of approvals"]...))
	return t.reportRefusals(ctx, b.Report, got)
}

// repeated calls a function so often, by many clients at once.
func repeated(n int, call func() error) refusals {
	got := refusals{n: n}
	var next atomic.Int64
	var mu sync.Mutex
	var group sync.WaitGroup
	for range loopClients {
		group.Go(func() {
			for next.Add(1) <= int64(n) {
				took, err := timed(call)
				mu.Lock()
				if got.took = append(got.took, took); !isAsked(err) {
					got.other++
				}
				mu.Unlock()
			}
		})
	}
	group.Wait()
	return got
}

// refusals are what an agent got.
type refusals struct {
	// n is how many, other how many that were no refusals which ask for approval, and reads how often the approval was read.
	n, other, reads int
	took            []time.Duration
}

func (t *troopers) reportRefusals(ctx context.Context, r *measure.Report, got refusals) error {
	var approvals v1alpha1.ActionApprovalList
	var events eventsv1.EventList
	if err := errors.Join(t.bed.Admin.List(ctx, &approvals), t.bed.Admin.List(ctx, &events)); err != nil {
		return err
	}
	about := 0
	for i := range events.Items {
		if events.Items[i].Regarding.Kind == "ActionApproval" {
			about++
		}
	}
	r.Claim(got.other == 0 && len(got.took) == got.n, "repetitions that are refused and ask for approval", "%s of %s",
		thousands(len(got.took)-got.other), thousands(got.n))
	r.Claim(len(approvals.Items) == 1, "approvals after that", "%d", len(approvals.Items))
	r.Target(about <= mostEvents, fmt.Sprintf("events after that, at most %d", mostEvents), "%d", about)
	r.Figure("reads of the approval meanwhile", "%s", thousands(got.reads))
	r.Figure("the agent waits for a refusal, with so many clients", "%s", measure.Times(got.took))
	return nil
}

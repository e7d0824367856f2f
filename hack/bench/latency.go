package main

import (
	"context"
	"fmt"
	"time"

	"github.com/countersign-dev/countersign/hack/measure"
	"github.com/countersign-dev/countersign/hack/testbed"
)

// Variants of the measurement.
const (
	nobody      = "nobody is asked"
	doesNothing = "a webhook that does nothing"
	countersign = "Countersign"
)

// crowd is how many clients there are where there are many.
const crowd = 8

// measureLatency compares updates that nobody is asked about, those that a webhook which does nothing is asked about, and
// those that Countersign decides.
func measureLatency(ctx context.Context, b *measure.Run) error {
	workloads := []workload{{smallDeployment, 1}, {smallDeployment, crowd}}
	t, err := latencyWith(ctx, b, 1, 1, workloads)
	if err != nil {
		return err
	}
	b.Report.Settingf("one replica, reached directly; %s of %s of each variant under each workload, in turns",
		plural(b.Rounds(rounds), "lap"), measure.Duration(b.Phase(turnTime)))
	t.claimCalls(b.Report)
	t.report(b.Report, "1 policy", workloads...)
	return nil
}

// How long a lap takes, and how many there are of each variant.
const (
	turnTime = 1200 * time.Millisecond
	rounds   = 5
)

// latencyWith measures with so many policies of which some match.
func latencyWith(ctx context.Context, b *measure.Run, policies, match int, workloads []workload) (*turns, error) {
	s, err := testbed.New(ctx, b, testbed.Options{Direct: true, Namespaces: []string{shop}})
	if err != nil {
		return nil, err
	}
	defer s.Close()
	if err := s.Install(ctx, "replicas=1"); err != nil {
		return nil, err
	}
	if err := createPolicies(ctx, s, policies, match); err != nil {
		return nil, err
	}
	if err := s.Serve(ctx, 1); err != nil {
		return nil, err
	}
	if err := waitEnforced(ctx, s); err != nil {
		return nil, err
	}
	floor, err := startNoop(ctx, s, "floor")
	if err != nil {
		return nil, err
	}
	defer floor.close()
	t := &turns{bed: s, variants: []variant{
		{name: nobody}, {name: doesNothing, webhook: noopName}, {name: countersign, webhook: "enforce.countersign.dev"},
	}}
	for i, account := range []string{"free", "floor", governed} {
		if t.variants[i].client, err = s.Agent(ctx, account); err != nil {
			return nil, err
		}
	}
	for _, w := range workloads {
		if _, err := w.kind.furnish(ctx, s, w.clients); err != nil {
			return nil, err
		}
	}
	err = t.run(ctx, workloads, b.Rounds(rounds), b.Phase(turnTime))
	return t, err
}

// claimCalls claims that the variants are what they are said to be: each update of one is a call of its webhook, and of no
// other. The API server asks again where it finds that what it changed was not current.
func (t *turns) claimCalls(r *measure.Report) {
	strangers := 0
	for _, v := range t.variants {
		updates, calls := 0, 0
		for _, laps := range t.laps {
			for _, l := range laps[v.name] {
				updates, calls, strangers = updates+l.took.N(), calls+l.calls, strangers+l.strangers
			}
		}
		asked := calls == 0
		if v.webhook != "" {
			asked = calls >= updates
		}
		r.Claim(asked && updates > 0, "calls: "+v.name, "%d by %d updates", calls, updates)
	}
	r.Claim(strangers == 0, "calls of any other webhook meanwhile", "%d", strangers)
}

// mostFloor is how many times as long as for a webhook that does nothing the API server is to wait for Countersign, at most.
const mostFloor = 1.15

// report says what each variant took, and how Countersign compares with a webhook that does nothing.
func (t *turns) report(r *measure.Report, policies string, workloads ...workload) {
	var ratios [][]string
	for _, w := range workloads {
		var rows [][]string
		for _, v := range t.variants {
			waits := "none"
			if v.webhook != "" {
				waits = measure.Duration(measure.Median(t.of(w, v.name, asked)))
			}
			rows = append(rows, []string{v.name, waits, measure.Duration(measure.Median(t.of(w, v.name, p50))),
				measure.Duration(measure.Median(t.of(w, v.name, p99)))})
		}
		r.Table(fmt.Sprintf("%s; %s: medians of the laps", policies, w), []string{"", "API server waits", "client p50", "client p99"}, rows)
		waits := t.ratios(w, countersign, doesNothing, asked)
		r.Target(waits.Median() <= mostFloor, fmt.Sprintf("%s; %s: the API server waits %.2f times as long as for a webhook that "+
			"does nothing, at most", policies, w, mostFloor), "%s", waits)
		ratios = append(ratios, []string{w.String(), waits.String(), t.ratios(w, countersign, doesNothing, p50).String()})
	}
	r.Table(policies+": Countersign to a webhook that does nothing", []string{"", "API server waits", "client p50"}, ratios)
}

package main

import (
	"context"
	"fmt"

	"github.com/countersign-dev/countersign/hack/measure"
	"github.com/countersign-dev/countersign/hack/testbed"
)

// Variants of the measurement.
const (
	without = "without Countersign"
	beside  = "with Countersign"
)

const (
	// manyAccounts is how many accounts are governed, a policy for each: the API server compares whoever writes with all.
	manyAccounts = 1000
	// mostPerson is what a person's updates may take in relation to those where Countersign is not installed: what is more
	// than that would be a cost, and less cannot be told from noise.
	mostPerson = 1.05
	// personLaps is how many laps there are of each: one differs from the next by many times what is claimed.
	personLaps = 40
)

// measurePeople compares what a person's updates take on two control planes, one of which has Countersign.
func measurePeople(ctx context.Context, b *measure.Run) error {
	b.Report.Settingf("1,000 policies, each of which governs another account; %s of %s on each of two control planes under each "+
		"load, in turns", plural(b.Rounds(personLaps), "lap"), measure.Duration(b.Phase(turnTime)))
	bare, err := testbed.New(ctx, b, testbed.Options{Direct: true, Namespaces: []string{shop}})
	if err != nil {
		return err
	}
	defer bare.Close()
	installed, err := startWith(ctx, b, manyAccounts, accountPolicyOf)
	if err != nil {
		return err
	}
	defer installed.Close()
	workloads := []workload{{smallDeployment, 1}, {smallDeployment, crowd}}
	t := &turns{variants: []variant{{name: without, bed: bare}, {name: beside, bed: installed}}}
	for i := range t.variants {
		v := &t.variants[i]
		if v.client, err = v.bed.Person(); err != nil {
			return err
		}
		for _, w := range workloads {
			if _, err := w.kind.furnish(ctx, v.bed, w.clients); err != nil {
				return err
			}
		}
	}
	if err := t.run(ctx, workloads, b.Rounds(personLaps), b.Phase(turnTime)); err != nil {
		return err
	}
	reportPeople(b.Report, t, workloads)
	return nil
}

func reportPeople(r *measure.Report, t *turns, workloads []workload) {
	_, calls := t.calls(beside)
	updates := t.updates(beside)
	r.Claim(calls == 0 && updates > 0, "calls of any webhook by a person's updates", "%d by %s", calls, plural(updates, "update"))
	var rows [][]string
	for _, w := range workloads {
		ratios := t.ratios(w, beside, without, p50)
		r.Target(ratios.Median() <= mostPerson, fmt.Sprintf("%s: a person's updates take at most %.2f times as long as without "+
			"Countersign", w, mostPerson), "p50: %s", ratios)
		rows = append(rows, []string{
			w.String(), t.median(w, without, p50), t.median(w, beside, p50), t.median(w, without, p99), t.median(w, beside, p99),
			t.median(w, beside, webhooks),
		})
	}
	r.Table("a person waits; the API server finds out that it has nobody to ask",
		[]string{"", "p50 without", "with", "p99 without", "with", "finding out"}, rows)
}

package main

import (
	"fmt"
	"time"

	"github.com/countersign-dev/countersign/hack/measure"
)

// Targets: how many times as long as for a webhook that does nothing the API server is to wait for Countersign, at most,
// with 1,000 policies of which ten match, and where all of them match.
const mostFloor, mostFloorAll = 1.15, 2

func (l *latency) report(r *measure.Report) {
	l.claimCalls(r)
	for i, s := range l.settings {
		if s.policies == 1000 {
			l.target(r, s, l.turns[i])
		}
	}
	for _, k := range []kind{smallDeployment, largeDeployment, secret} {
		if size, measured := l.sizes[k.name]; measured {
			r.Figure(fmt.Sprintf("size of the %s as stored", k.name), "%.1f KB", float64(size)/1000)
		}
	}
	const rows = "policies (matching), object × clients"
	waits := []string{rows, "no-op", "with a library", "Countersign", "to no-op", "to that with a library"}
	l.table(r, "API server waits for an answer", waits, func(t *turns, w workload) []string {
		return []string{
			t.median(w, doesNothing, asked), t.median(w, usual, asked), t.median(w, countersign, asked),
			t.ratios(w, countersign, doesNothing, asked).String(), t.ratios(w, countersign, usual, asked).String(),
		}
	})
	head := []string{rows, "nobody", "no-op", "Countersign"}
	for i, pick := range []func(*lap) time.Duration{p50, p99} {
		l.table(r, "client waits for an update, "+[]string{"p50", "p99"}[i], head, func(t *turns, w workload) []string {
			return []string{t.median(w, nobody, pick), t.median(w, doesNothing, pick), t.median(w, countersign, pick)}
		})
	}
	l.table(r, "ratios of the client's p50", []string{rows, "to no-op", "to nobody"}, func(t *turns, w workload) []string {
		return []string{t.ratios(w, countersign, doesNothing, p50).String(), t.ratios(w, countersign, nobody, p50).String()}
	})
}

// table has a row for each setting and load.
func (l *latency) table(r *measure.Report, title string, head []string, row func(*turns, workload) []string) {
	var rows [][]string
	for i, s := range l.settings {
		for _, w := range s.workloads {
			label := fmt.Sprintf("%s (%s), %s × %d", thousands(s.policies), thousands(s.match), w.kind.name, w.clients)
			rows = append(rows, append([]string{label}, row(l.turns[i], w)...))
		}
	}
	r.Table(title, head, rows)
}

func (l *latency) target(r *measure.Report, s setting, t *turns) {
	most := mostFloor
	if s.match == s.policies {
		most = mostFloorAll
	}
	for _, w := range s.workloads {
		waits := t.ratios(w, countersign, doesNothing, asked)
		r.Target(waits.Median() <= most, fmt.Sprintf("%s, %s match; %s: the API server waits at most %.2f times as long "+
			"as for a webhook that does nothing", thousands(s.policies)+" policies", thousands(s.match), w, most), "%s", waits)
	}
}

// claimCalls claims that the variants are what they are said to be: each update of one is a call of its webhook, and of no
// other. The API server asks again where it finds that what it changed was not current.
func (l *latency) claimCalls(r *measure.Report) {
	strangers := 0
	for _, v := range l.turns[0].variants {
		updates, calls := 0, 0
		for _, t := range l.turns {
			own, others := t.calls(v.name)
			updates, calls, strangers = updates+t.updates(v.name), calls+own, strangers+others
		}
		asked := calls == 0
		if v.webhook != "" {
			asked = calls >= updates
		}
		r.Claim(asked && updates > 0, "calls: "+v.name, "%s by %s", thousands(calls), plural(updates, "update"))
	}
	r.Claim(strangers == 0, "calls of any other webhook meanwhile", "%d", strangers)
}

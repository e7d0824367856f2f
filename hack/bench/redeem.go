package main

import (
	"context"
	"fmt"
	"time"

	"github.com/countersign-dev/countersign/hack/measure"
	"github.com/countersign-dev/countersign/hack/testbed"
)

// Ways in which Deployments are changed, each by all at once.
const (
	aPerson     = "a person"
	byTask      = "an agent, by its task"
	underOwn    = "an agent, under an approval of its own"
	underOneRun = "an agent, under one run for all of them"
)

const (
	// asks is how often each agent asks: as often as it may in a row. What nobody is asked about is done freely, so often in a round.
	asks, freely = 4, 4
	// mostRedeem is what changing one of so many under an approval is to take, at the 99th percentile.
	mostRedeem = 100 * time.Millisecond
)

// redemption is what was measured of approvals being redeemed.
type redemption struct {
	*troopers
	// atOnce are the series of each way, one of each round, alone those of one after the other.
	atOnce, alone map[string][]measure.Series
	// requests are how many the API server answered while approvals of their own were redeemed, by what they are.
	requests map[string]float64
	redeemed int
}

// measureRedeem has fifty Deployments be changed at once, by a person, by agents whose tasks cover that, and under approvals.
func measureRedeem(ctx context.Context, b *measure.Run) error {
	rounds := min(asks-1, b.Rounds(asks-1))
	t, err := newTroopers(ctx, b)
	if err != nil {
		return err
	}
	defer t.bed.Close()
	b.Report.Settingf("one replica, reached directly; %s Deployments of %.1f KB, changed at once and one after the other, %s in each way",
		thousands(troop), float64(t.size)/1000, plural(rounds, "round"))
	m := &redemption{troopers: t, atOnce: map[string][]measure.Series{}, alone: map[string][]measure.Series{}, requests: map[string]float64{}}
	for round := range rounds {
		if err := m.round(ctx, round); err != nil {
			return err
		}
	}
	if err := m.oneByOne(ctx, rounds); err != nil {
		return err
	}
	m.report(b.Report)
	return nil
}

// round changes all Deployments at once in each way.
func (m *redemption) round(ctx context.Context, round int) error {
	for again := range freely {
		m.atOnce[aPerson] = append(m.atOnce[aPerson], m.all(ctx, func(ctx context.Context, i int) error {
			return change(ctx, m.person, i, fmt.Sprintf(`{"spec":{"revisionHistoryLimit":%d}}`, freely*round+again+1))
		}))
		m.atOnce[byTask] = append(m.atOnce[byTask], m.all(ctx, m.covered))
	}
	if err := m.approved(ctx, troop, m.slow(round)); err != nil {
		return err
	}
	before, err := m.bed.APIServerMetrics(ctx)
	if err != nil {
		return err
	}
	redeemed := m.all(ctx, m.slow(round))
	after, err := m.bed.APIServerMetrics(ctx)
	if err != nil {
		return err
	}
	m.atOnce[underOwn], m.redeemed = append(m.atOnce[underOwn], redeemed), m.redeemed+len(redeemed.Took)
	m.count(after.Since(before))
	return m.run(ctx, round)
}

// run changes all Deployments at once under one run of a task.
func (m *redemption) run(ctx context.Context, round int) error {
	write := func(ctx context.Context, i int) error {
		return change(ctx, m.fleet, i, fmt.Sprintf(`{"spec":{"minReadySeconds":%d}}`, 100+round))
	}
	if err := m.approved(ctx, 1, write); err != nil {
		return err
	}
	m.atOnce[underOneRun] = append(m.atOnce[underOneRun], m.all(ctx, write))
	return nil
}

// oneByOne changes the Deployments one after the other.
func (m *redemption) oneByOne(ctx context.Context, round int) error {
	m.alone[byTask] = []measure.Series{m.inTurn(ctx, m.covered)}
	if err := m.approved(ctx, troop, m.slow(round)); err != nil {
		return err
	}
	m.alone[underOwn] = []measure.Series{m.inTurn(ctx, m.slow(round))}
	return nil
}

// redeeming are the requests that redeeming makes, by the labels of the API server's metric.
var redeeming = map[string][]string{
	"reads of approvals": {`resource="actionapprovals"`, `verb="GET"`},
	"reads of policies":  {`resource="agentactionpolicies"`, `verb="GET"`},
	"access reviews":     {`resource="subjectaccessreviews"`, `verb="POST"`},
	"writes of a status": {`resource="actionapprovals"`, `verb="PUT"`, `subresource="status"`},
}

func (m *redemption) count(grown testbed.Metrics) {
	for name, labels := range redeeming {
		m.requests[name] += grown.Sum("apiserver_request_total", labels...)
	}
}

func (m *redemption) report(r *measure.Report) {
	var failures []string
	for _, of := range []map[string][]measure.Series{m.atOnce, m.alone} {
		for _, s := range of {
			failures = append(failures, measure.Join(s).Failures...)
		}
	}
	r.Claim(len(failures) == 0 && m.redeemed > 0, "changes that are refused, of those that are covered or approved",
		"%d%s", len(failures), firstOf(failures))
	for _, name := range []string{"reads of approvals", "reads of policies", "access reviews"} {
		each := m.requests[name] / float64(max(1, m.redeemed))
		r.Target(each <= 1.05, "redeeming an approval of one approver by one policy: "+name, "%.2f for each", each)
	}
	// What settles uses writes several of them at once.
	writes := m.requests["writes of a status"] / float64(max(1, m.redeemed))
	r.Target(writes <= 2, "the same: writes of a status, with that which notes what became of it", "%.2f for each", writes)
	own := measure.Join(m.atOnce[underOwn])
	r.Target(own.P99() <= mostRedeem, fmt.Sprintf("%d approvals redeemed at once: p99 within %s", troop, measure.Duration(mostRedeem)),
		"%s; a person's plain changes: %s", measure.Duration(own.P99()), measure.Duration(measure.Join(m.atOnce[aPerson]).P99()))
	var rows [][]string
	for _, way := range []string{aPerson, byTask, underOwn, underOneRun} {
		rows = append(rows, []string{
			way, times(m.alone[way]), times(m.atOnce[way]), toPerson(m.atOnce[way], m.atOnce[aPerson]),
		})
	}
	r.Table("the client waits, p50 / p99", []string{"who changes", "one after the other", "fifty at once", "p50 at once, to a person's"}, rows)
}

// toPerson compares the median of all series together.
func toPerson(way, persons []measure.Series) string {
	joined, to := measure.Join(way), measure.Join(persons)
	return measure.CompareTimes([]time.Duration{joined.P50()}, []time.Duration{to.P50()}).String()
}

// times are the median and the 99th percentile of all series together, nothing of none.
func times(all []measure.Series) string {
	if len(all) == 0 {
		return ""
	}
	s := measure.Join(all)
	return measure.Duration(s.P50()) + " / " + measure.Duration(s.P99())
}

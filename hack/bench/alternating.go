package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/countersign-dev/countersign/hack/testbed"
)

// alternating has one client of each variant update an object, update by update in turns, for a span each.
func alternating(ctx context.Context, order []variant, w workload, span time.Duration) ([]lap, error) {
	before, err := countedBy(ctx, order)
	if err != nil {
		return nil, err
	}
	laps := make([]lap, len(order))
	turn := make([]int, len(order))
	for i := range turn {
		turn[i] = i
	}
	for end := time.Now().Add(span * time.Duration(len(order))); time.Now().Before(end) && ctx.Err() == nil; slices.Reverse(turn) {
		for _, i := range turn {
			laps[i].update(ctx, &order[i], w)
		}
	}
	after, err := countedBy(ctx, order)
	if err != nil {
		return nil, err
	}
	for i := range laps {
		l, v := &laps[i], &order[i]
		slices.Sort(l.took.Took)
		if err := l.failure(); err != nil {
			return nil, fmt.Errorf("%s: %w", v.name, err)
		}
		l.read(after[v.bed].Since(before[v.bed]), v)
	}
	subtractOthers(laps, order)
	return laps, nil
}

// update makes one update of a lap.
func (l *lap) update(ctx context.Context, v *variant, w workload) {
	began := time.Now()
	if err := w.kind.update(ctx, v.client, 0); err != nil {
		l.took.Failures = append(l.took.Failures, err.Error())
		return
	}
	l.took.Took = append(l.took.Took, time.Since(began))
}

// subtractOthers takes the calls of the other variants out of those of strangers: they were made meanwhile.
func subtractOthers(laps []lap, order []variant) {
	for i := range laps {
		for j := range laps {
			if i != j && order[i].bed == order[j].bed {
				laps[i].strangers -= laps[j].calls
			}
		}
	}
}

// countedBy is what the API server of each control plane counts.
func countedBy(ctx context.Context, variants []variant) (map[*testbed.Testbed]testbed.Metrics, error) {
	counted := map[*testbed.Testbed]testbed.Metrics{}
	for _, v := range variants {
		if counted[v.bed] != nil {
			continue
		}
		m, err := v.bed.APIServerMetrics(ctx)
		if err != nil {
			return nil, err
		}
		counted[v.bed] = m
	}
	return counted, nil
}

package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/countersign-dev/countersign/hack/testbed"
)

// alternating has each client update objects of all variants, update by update in turns, for a span each.
func alternating(ctx context.Context, order []variant, w workload, span time.Duration) ([]lap, error) {
	before, err := countedBy(ctx, order)
	if err != nil {
		return nil, err
	}
	laps, end := make([]lap, len(order)), time.Now().Add(span*time.Duration(len(order)))
	var group sync.WaitGroup
	var mu sync.Mutex
	for client := range w.clients {
		group.Go(func() {
			for n := 0; n%len(order) > 0 || time.Now().Before(end) && ctx.Err() == nil; n++ {
				i := (turnOf(n, len(order)) + client) % len(order)
				took, err := timed(func() error { return w.kind.update(ctx, order[i].client, client) })
				mu.Lock()
				laps[i].add(took, err)
				mu.Unlock()
			}
		})
	}
	group.Wait()
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

// turnOf is whose turn is the n-th, of so many: through all of them and back again, so that nobody always follows the same one.
func turnOf(n, of int) int {
	if n/of%2 == 1 {
		return of - 1 - n%of
	}
	return n % of
}

func (l *lap) add(took time.Duration, err error) {
	if err != nil {
		l.took.Failures = append(l.took.Failures, err.Error())
		return
	}
	l.took.Took = append(l.took.Took, took)
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

package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"sync/atomic"
	"time"
)

// While reviews come, so much is allocated at least before garbage is collected, in bytes. A collection looks through all that
// is held, which takes as long as a hundred reviews, of which each takes some 50 KB: collecting as often as an idle process
// does would have them take twice as long.
const reviewHeadroom = 48 << 20

// reviewPace is how many reviews there must be between two looks for that, and lookEvery the time between them: ten a second.
const (
	lookEvery  = 5 * time.Second
	reviewPace = 50
)

// headroom bounds garbage by how many reviews come: an idle process holds little more than it needs, a busy one does not
// spend its time on looking for what it does not. It implements manager.Runnable.
type headroom struct {
	reviews atomic.Int64
}

// addHeadroom has the headroom follow the reviews, unless somebody has set $GOGC.
func (op *operator) addHeadroom() error {
	if os.Getenv("GOGC") != "" {
		return nil
	}
	if err := op.mgr.Add(&op.headroom); err != nil {
		return fmt.Errorf("adding the headroom: %w", err)
	}
	return nil
}

// handler counts the reviews on the way to another handler.
func (h *headroom) handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.reviews.Add(1)
		next.ServeHTTP(w, r)
	})
}

// NeedLeaderElection says that every replica has reviews.
func (h *headroom) NeedLeaderElection() bool { return false }

// Start looks again and again until the context ends.
func (h *headroom) Start(ctx context.Context) error {
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	now := collectAt
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-look.C:
		}
		if next := collectionPercent(h.reviews.Swap(0), held()); next != now {
			now = next
			debug.SetGCPercent(now)
		}
	}
}

// collectionPercent is how much the heap may grow before garbage is collected, in percent of what is held, after so many
// reviews since the last look. Where it is not known what is held, that is 0.
func collectionPercent(reviews int64, held uint64) int {
	if reviews < reviewPace || held == 0 || held > reviewHeadroom {
		return collectAt
	}
	return max(collectAt, 100*reviewHeadroom/int(held))
}

// held is what the last collection found to be in use, in bytes.
func held() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	if sample[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return sample[0].Value.Uint64()
}

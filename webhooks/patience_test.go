package webhooks

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestPatienceEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := patient(t.Context(), time.Second)
		defer p.stop()
		child, cancel := context.WithCancel(p)
		defer cancel()
		began := time.Now()
		<-child.Done()
		if took := time.Since(began); took != time.Second || !errors.Is(child.Err(), context.DeadlineExceeded) || !errors.Is(p.Err(), child.Err()) {
			t.Errorf("it ended after %s with %v, and what is made of it with %v", took, p.Err(), child.Err())
		}
	})
}

// TestPatienceCounts has somebody ask late: the time has passed nevertheless.
func TestPatienceCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := patient(t.Context(), time.Second)
		defer p.stop()
		<-time.After(2 * time.Second)
		if p.timed != nil {
			t.Error("there is a timer before anybody asks")
		}
		if err := p.Err(); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("it says %v after its end", err)
		}
	})
}

func TestPatienceStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, end := range []func(*patience, context.CancelFunc){
			func(p *patience, _ context.CancelFunc) { p.stop() },
			func(_ *patience, cancel context.CancelFunc) { cancel() },
		} {
			review, cancel := context.WithCancel(t.Context())
			defer cancel()
			p := patient(review, time.Second)
			if deadline, bounded := p.Deadline(); !bounded || time.Until(deadline) != time.Second {
				t.Errorf("the deadline is in %s", time.Until(deadline))
			}
			end(p, cancel)
			if !errors.Is(p.Err(), context.Canceled) {
				t.Errorf("it says %v, and must have ended", p.Err())
			}
		}
	})
}

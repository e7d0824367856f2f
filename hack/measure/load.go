package measure

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Load is writes that go on until it is stopped.
type Load struct {
	// Workers write at once, each of them at most once in Every.
	Workers int
	Every   time.Duration
	// Write makes the n-th write of a worker, both from 0 on.
	Write func(ctx context.Context, worker, n int) error

	mu      sync.Mutex
	samples []sample
	stop    context.CancelFunc
	ended   sync.WaitGroup
}

// sample is one write, from the moment that it begins.
type sample struct {
	began time.Time
	took  time.Duration
	err   error
}

// writeTimeout is longer than any answer of an API server takes that is not stuck.
const writeTimeout = 30 * time.Second

// Begin starts the writes. A worker that is late does not catch up.
func (l *Load) Begin(ctx context.Context) *Load {
	ctx, l.stop = context.WithCancel(ctx)
	for worker := range l.Workers {
		l.ended.Go(func() { l.work(ctx, worker) })
	}
	return l
}

func (l *Load) work(ctx context.Context, worker int) {
	// Workers begin one after the other, so that their writes are spread.
	pause := time.NewTimer(l.Every * time.Duration(worker) / time.Duration(l.Workers))
	defer pause.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-pause.C:
		}
		began := time.Now()
		pause.Reset(l.Every)
		// What is under way when the load ends is finished, so that no answer is lost.
		call, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
		err := l.Write(call, worker, n)
		cancel()
		l.mu.Lock()
		l.samples = append(l.samples, sample{began, time.Since(began), err})
		l.mu.Unlock()
	}
}

// End stops the writes and waits for those under way.
func (l *Load) End() {
	l.stop()
	l.ended.Wait()
}

// Between are the writes that began within a span and have been answered.
func (l *Load) Between(from, to time.Time) Series {
	l.mu.Lock()
	defer l.mu.Unlock()
	return collect(l.samples, func(each sample) bool { return !each.began.Before(from) && each.began.Before(to) })
}

func collect(samples []sample, belongs func(sample) bool) Series {
	var s Series
	for _, each := range samples {
		switch {
		case !belongs(each):
		case each.err != nil:
			s.Failures = append(s.Failures, each.err.Error())
		default:
			s.Took = append(s.Took, each.took)
		}
	}
	slices.Sort(s.Took)
	return s
}

// Within are the writes that began and were answered within a span: what ends it does not touch them.
func (l *Load) Within(from, to time.Time) Series {
	l.mu.Lock()
	defer l.mu.Unlock()
	return collect(l.samples, func(each sample) bool {
		return !each.began.Before(from) && each.began.Add(each.took).Before(to)
	})
}

// Answered are the times of all writes within a span, those that were refused too.
func (l *Load) Answered(from, to time.Time) Series {
	l.mu.Lock()
	defer l.mu.Unlock()
	var s Series
	for _, each := range l.samples {
		if !each.began.Before(from) && each.began.Before(to) {
			s.Took = append(s.Took, each.took)
		}
	}
	slices.Sort(s.Took)
	return s
}

// FirstAdmitted is when the first write that began after an instant was answered without an error; zero: none yet.
func (l *Load) FirstAdmitted(after time.Time) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	var first time.Time
	for _, each := range l.samples {
		if each.err == nil && !each.began.Before(after) {
			if end := each.began.Add(each.took); first.IsZero() || end.Before(first) {
				first = end
			}
		}
	}
	return first
}

// Refusals are how long those took to be answered that began within a span and failed.
func (l *Load) Refusals(from, to time.Time) []time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	var took []time.Duration
	for _, each := range l.samples {
		if each.err != nil && !each.began.Before(from) && each.began.Before(to) {
			took = append(took, each.took)
		}
	}
	return took
}

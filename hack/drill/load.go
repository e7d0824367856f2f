package main

import (
	"context"
	"slices"
	"sync"
	"time"
)

// load is writes that go on until it is stopped.
type load struct {
	// workers write at once, each of them at most once in a while.
	workers int
	every   time.Duration
	write   func(ctx context.Context, worker, n int) error

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

// begin starts the writes. A worker that is late does not catch up.
func (l *load) begin(ctx context.Context) *load {
	ctx, l.stop = context.WithCancel(ctx)
	for worker := range l.workers {
		l.ended.Go(func() { l.work(ctx, worker) })
	}
	return l
}

func (l *load) work(ctx context.Context, worker int) {
	// Workers begin one after the other, so that their writes are spread.
	pause := time.NewTimer(l.every * time.Duration(worker) / time.Duration(l.workers))
	defer pause.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-pause.C:
		}
		began := time.Now()
		pause.Reset(l.every)
		// What is under way when the load ends is finished, so that no answer is lost.
		call, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
		err := l.write(call, worker, n)
		cancel()
		l.mu.Lock()
		l.samples = append(l.samples, sample{began, time.Since(began), err})
		l.mu.Unlock()
	}
}

// end stops the writes and waits for those under way.
func (l *load) end() {
	l.stop()
	l.ended.Wait()
}

// between are the writes that began within a span and have been answered.
func (l *load) between(from, to time.Time) series {
	l.mu.Lock()
	defer l.mu.Unlock()
	return collect(l.samples, func(each sample) bool { return !each.began.Before(from) && each.began.Before(to) })
}

func collect(samples []sample, belongs func(sample) bool) series {
	var s series
	for _, each := range samples {
		switch {
		case !belongs(each):
		case each.err != nil:
			s.failures = append(s.failures, each.err.Error())
		default:
			s.took = append(s.took, each.took)
		}
	}
	slices.Sort(s.took)
	return s
}

// within are the writes that began and were answered within a span: what ends it does not touch them.
func (l *load) within(from, to time.Time) series {
	l.mu.Lock()
	defer l.mu.Unlock()
	return collect(l.samples, func(each sample) bool {
		return !each.began.Before(from) && each.began.Add(each.took).Before(to)
	})
}

// answered are the times of all writes within a span, those that were refused too.
func (l *load) answered(from, to time.Time) series {
	l.mu.Lock()
	defer l.mu.Unlock()
	var s series
	for _, each := range l.samples {
		if !each.began.Before(from) && each.began.Before(to) {
			s.took = append(s.took, each.took)
		}
	}
	slices.Sort(s.took)
	return s
}

// firstAdmitted is when the first write that began after an instant was answered without an error; zero: none yet.
func (l *load) firstAdmitted(after time.Time) time.Time {
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

// refusals are how long those took to be answered that began within a span and failed.
func (l *load) refusals(from, to time.Time) []time.Duration {
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

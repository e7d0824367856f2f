package main

import (
	"context"
	"time"
)

// lingering returns a context that ends so much later than another one, and calls a function when the other one ends.
// The function it returns ends it at once.
func lingering(ctx context.Context, delay time.Duration, ending func()) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		ending()
		timer := time.NewTimer(delay)
		defer timer.Stop()
		select {
		case <-timer.C:
			cancel()
		case <-longer.Done():
		}
	})
	return longer, func() {
		stop()
		cancel()
	}
}

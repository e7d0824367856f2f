package measure

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Wait waits for a condition, up to a bound that only a defect reaches.
func Wait(ctx context.Context, what string, bound time.Duration, condition func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	last := errors.New("not asked yet")
	for {
		err := condition(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting until %s: %w: %w", what, ctx.Err(), last)
		case <-ticker.C:
		}
	}
}

// Pause lets a phase pass.
func Pause(ctx context.Context, span time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(span):
		return nil
	}
}

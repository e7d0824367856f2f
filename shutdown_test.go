package main

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestLingering(t *testing.T) {
	tests := map[string]struct {
		end  func(asked, now context.CancelFunc)
		want time.Duration
		told bool
	}{
		"asked to end": {end: func(asked, _ context.CancelFunc) { asked() }, want: 5 * time.Second, told: true},
		"ended":        {end: func(_, now context.CancelFunc) { now() }},
		"asked, then ended": {end: func(asked, now context.CancelFunc) {
			asked()
			<-time.After(time.Second)
			now()
		}, want: time.Second, told: true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, asked := context.WithCancel(t.Context())
				defer asked()
				told := false
				longer, now := lingering(ctx, 5*time.Second, func() { told = true })
				defer now()
				<-time.After(time.Hour)
				if longer.Err() != nil {
					t.Fatal("it ends by itself")
				}
				began := time.Now()
				tc.end(asked, now)
				<-longer.Done()
				synctest.Wait()
				if took := time.Since(began); took != tc.want || told != tc.told {
					t.Errorf("it ended after %s, and told of it: %v; want %s, %v", took, told, tc.want, tc.told)
				}
			})
		})
	}
}

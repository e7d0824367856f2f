//go:build clockoffset

package main

import (
	"os"
	"strings"
	"time"

	"k8s.io/utils/clock"
)

// newClock is a clock that is wrong, for the drill about such clocks: by the duration, such as 2h or -45s, that stands in
// the file that $COUNTERSIGN_CLOCK_OFFSET_FILE names, at each moment. Nothing that is released is built with the tag.
func newClock() clock.WithTicker { return offsetClock{} }

type offsetClock struct{ clock.RealClock }

func (c offsetClock) Now() time.Time {
	text, err := os.ReadFile(os.Getenv("COUNTERSIGN_CLOCK_OFFSET_FILE"))
	if err != nil {
		return c.RealClock.Now()
	}
	offset, err := time.ParseDuration(strings.TrimSpace(string(text)))
	if err != nil {
		return c.RealClock.Now()
	}
	return c.RealClock.Now().Add(offset)
}

func (c offsetClock) Since(t time.Time) time.Duration { return c.Now().Sub(t) }

//go:build !clockoffset

package main

import "k8s.io/utils/clock"

// newClock is the clock of the machine.
func newClock() clock.WithTicker { return clock.RealClock{} }

package policy

import (
	"encoding/json"
	"runtime"
	"sync"
	"weak"

	"github.com/countersign-dev/countersign/internal/window"
)

// shared has policies that say the same share the compiled form of it, as long as one of them is in use. Policies are often
// made from one pattern, with the same windows and scopes in each: what is in memory once stays in the processor's caches
// when many of them are asked about one action.
type shared[T any] struct{ parts sync.Map } // of key to weak.Pointer[T]

var (
	sharedSchedules shared[window.Schedule]
	sharedGoverns   shared[governs]
	sharedTimings   shared[timing]
	sharedTasks     shared[task]
)

// one returns the part that was compiled from the same key before, or else the given one.
func (s *shared[T]) one(key string, part *T) *T {
	for key != "" {
		made := weak.Make(part)
		known, found := s.parts.LoadOrStore(key, made)
		if !found {
			runtime.AddCleanup(part, func(key string) { s.parts.CompareAndDelete(key, made) }, key)
			return part
		}
		if held, ok := known.(weak.Pointer[T]); ok {
			if p := held.Value(); p != nil {
				return p
			}
		}
		s.parts.CompareAndDelete(key, known) // it is no longer in use
	}
	return part
}

// share replaces what was compiled of a valid policy by the same of others. All that a part depends on is in its key.
func (c *compiler) share() {
	if len(c.policy.Errors) > 0 {
		return // what an invalid policy would say is never asked
	}
	c.policy.governs = sharedGoverns.one(keyOf(c.spec.Governs), c.policy.governs)
	windows := keyOf(c.spec.TimeZone, c.spec.Windows)
	c.policy.timing = sharedTimings.one(keyOf(windows, c.spec.ChangeWindows, c.spec.Freezes), c.policy.timing)
	for i, t := range c.policy.tasks {
		c.policy.tasks[i] = sharedTasks.one(keyOf(windows, c.spec.Tasks[i]), t)
	}
}

// keyOf identifies parts of a spec. It is empty where that cannot be done, for which one shares nothing.
func keyOf(parts ...any) string {
	text, err := json.Marshal(parts)
	if err != nil {
		return "" // a spec that came from the API server always marshals
	}
	return string(text)
}

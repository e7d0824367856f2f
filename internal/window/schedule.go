package window

import "time"

// Schedule is a compiled window: it knows when it is open. It does not change and may be used by several
// goroutines. A nil Schedule, or one that Compile did not make, is never open.
type Schedule struct {
	name        string
	description string
	zone        *time.Location
	wall        form  // nil for a window between two instants
	once        *span // nil for a window on the wall clock
}

// form is one way to say when a window is open, on the wall clock alone. Both methods read the same tables.
type form interface {
	// open reports whether the window is open in minute m of day d.
	open(d day, m int) bool
	// addTo adds the minutes of day d in which the window is open.
	addTo(s *minutes, d day)
}

// Open reports whether the window is open at t. It is the one predicate: everything else in this package
// that speaks of opening and closing agrees with it.
func (s *Schedule) Open(t time.Time) bool {
	switch {
	case s == nil:
		return false
	case s.once != nil:
		return s.once.contains(t)
	case s.wall != nil:
		return s.wall.open(civilAt(t, s.zone))
	default:
		return false
	}
}

// Past reports whether the window is over for good: that it is open neither at t nor at any time after it.
// Only a window between two instants ever is.
func (s *Schedule) Past(t time.Time) bool {
	if !s.compiled() {
		return true
	}
	return s.once != nil && !t.Before(s.once.to)
}

// Name is the name of the window.
func (s *Schedule) Name() string {
	if s == nil {
		return ""
	}
	return s.name
}

// String describes the window in plain words, as Describe does, with instants in the window's own zone.
func (s *Schedule) String() string {
	if s == nil {
		return ""
	}
	return s.description
}

// compiled reports whether the schedule was made by Compile.
func (s *Schedule) compiled() bool {
	return s != nil && (s.wall != nil || s.once != nil)
}

// Once is the only span of a window between two instants; it is false for one on the wall clock.
func (s *Schedule) Once() (from, to time.Time, once bool) {
	if s == nil || s.once == nil {
		return time.Time{}, time.Time{}, false
	}
	return s.once.from, s.once.to, true
}

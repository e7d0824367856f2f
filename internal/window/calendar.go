package window

import (
	"slices"
	"time"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

// Calendar is a set of windows with one answer: it is open where one of the allowed windows is open, or none
// is listed, and none of the frozen ones. The zero Calendar is always open.
//
// What Compile did not make keeps it closed: a nil Schedule is never open among the allowed windows and always
// open among the frozen ones, and a nil Calendar is never open.
type Calendar struct {
	Allowed []*Schedule
	Frozen  []*Schedule
}

// Open reports whether the calendar is open at t.
func (c *Calendar) Open(t time.Time) bool {
	return c != nil && c.allowed(t) && !c.frozen(t)
}

func (c *Calendar) allowed(t time.Time) bool {
	for _, s := range c.Allowed {
		if s.Open(t) {
			return true
		}
	}
	return len(c.Allowed) == 0
}

func (c *Calendar) frozen(t time.Time) bool {
	for _, s := range c.Frozen {
		if s.freezes(t) {
			return true
		}
	}
	return false
}

// freezes is Open for a frozen window: what was not compiled freezes.
func (s *Schedule) freezes(t time.Time) bool {
	return !s.compiled() || s.Open(t)
}

// State says whether the calendar is open, closed or frozen at t, and names the windows that are open then:
// the allowed ones in their order, then the frozen ones, each name once. Frozen takes precedence over Closed.
func (c *Calendar) State(t time.Time) (v1alpha1.WindowState, []string) {
	if c == nil {
		return v1alpha1.WindowClosed, nil
	}
	var active []string
	for _, s := range slices.Concat(c.Allowed, c.Frozen) {
		if s.Open(t) && !slices.Contains(active, s.name) {
			active = append(active, s.name)
		}
	}
	switch {
	case c.frozen(t):
		return v1alpha1.WindowFrozen, active
	case c.allowed(t):
		return v1alpha1.WindowOpen, active
	default:
		return v1alpha1.WindowClosed, active
	}
}

// NextOpen is the first instant after t at which the calendar is open, in the zone of its windows. It is false
// where the calendar is open at t already, and where it does not open within the Horizon.
func (c *Calendar) NextOpen(t time.Time) (time.Time, bool) {
	if c.Open(t) {
		return time.Time{}, false
	}
	return find(t, t.Add(Horizon), true, []*Calendar{c})
}

// NextClose is the first instant after t at which the calendar closes: at which it is not open, having been open
// just before. Where it is closed at t, that is the end of its next opening. It is false where the calendar
// does not close within the Horizon.
func (c *Calendar) NextClose(t time.Time) (time.Time, bool) {
	limit, opened := t.Add(Horizon), t
	if !c.Open(t) {
		var ok bool
		if opened, ok = find(t, limit, true, []*Calendar{c}); !ok {
			return time.Time{}, false
		}
	}
	return find(opened, limit, false, []*Calendar{c})
}

// OpenThrough says whether the calendar is open at one instant and at every later one up to another, which is part of it.
// Where the other is earlier, only the first counts. So windows that overlap or adjoin are one opening.
func (c *Calendar) OpenThrough(from, to time.Time) bool {
	if !c.Open(from) {
		return false
	}
	_, closes := find(from, to.Add(1), false, []*Calendar{c})
	return !closes
}

// OpenDuring says whether the calendar is open at some instant from one on and before another.
func (c *Calendar) OpenDuring(from, to time.Time) bool {
	if !from.Before(to) {
		return false
	}
	if c.Open(from) {
		return true
	}
	_, opens := find(from, to, true, []*Calendar{c})
	return opens
}

// NextAllOpen is the earliest instant from t on at which all the calendars are open, in the zone of the first
// one's windows. It is t itself where they are open already, and false where there is none within the Horizon.
func NextAllOpen(t time.Time, calendars ...*Calendar) (time.Time, bool) {
	if allOpen(t, calendars) {
		return t.Round(0).In(zoneOf(t, calendars)), true
	}
	return find(t, t.Add(Horizon), true, calendars)
}

func allOpen(t time.Time, calendars []*Calendar) bool {
	for _, c := range calendars {
		if !c.Open(t) {
			return false
		}
	}
	return true
}

package window

import (
	"iter"
	"time"
)

// Horizon is how far ahead an opening or a closing is looked for. Nine years hold every 29 February from the
// one before it on, also where a century has none: 2096 to 2104.
const Horizon = 9 * 366 * 24 * time.Hour

// find is the first instant after t and before limit at which all the calendars are open, or at which not all
// of them are where want is false. At t it must be the other way round.
//
// The minutes of whole days select the instants to look at; the verdict on each is Open's.
func find(t, limit time.Time, want bool, calendars []*Calendar) (time.Time, bool) {
	s := &stretch{from: t.Round(0), calendars: calendars, zone: zoneOf(t, calendars)}
	for s.from.Before(limit) {
		s.to = limit
		s.shorten()
		s.offset = offsetAt(s.from, s.zone)
		if u, ok := s.first(want); ok {
			return u.In(s.zone), true
		}
		s.from = s.to
	}
	return time.Time{}, false
}

// zoneOf is the zone of the calendars' first window, and that of t where they have none.
func zoneOf(t time.Time, calendars []*Calendar) *time.Location {
	for s := range schedules(calendars) {
		if s.compiled() {
			return s.zone
		}
	}
	return t.Location()
}

// schedules are all windows of the calendars.
func schedules(calendars []*Calendar) iter.Seq[*Schedule] {
	return func(yield func(*Schedule) bool) {
		for _, c := range calendars {
			if c == nil {
				continue
			}
			for _, s := range c.Allowed {
				if !yield(s) {
					return
				}
			}
			for _, s := range c.Frozen {
				if !yield(s) {
					return
				}
			}
		}
	}
}

package window

import "time"

// stretch is a part of the timeline in which no zone changes its offset and no window between two instants
// opens or closes. In it, every window is open in whole minutes of the wall clock, or throughout, or never.
type stretch struct {
	from, to  time.Time // to is not part of it
	calendars []*Calendar
	zone      *time.Location
	offset    int64 // of the zone, in seconds

	open, part, scratch minutes // here only so that a search allocates them once
}

// shorten ends the stretch at the first change of an offset or of a window between two instants.
func (s *stretch) shorten() {
	var last *time.Location
	for w := range schedules(s.calendars) {
		end := time.Time{}
		switch {
		case !w.compiled():
		case w.once != nil:
			end = w.once.steadyUntil(s.from)
		case w.zone != last: // mostly all windows are in one zone
			end, last = steadyUntil(s.from, w.zone), w.zone
		}
		if end.After(s.from) && end.Before(s.to) {
			s.to = end
		}
	}
}

// first is the first instant of the stretch at which all the calendars are open, or not where want is false.
func (s *stretch) first(want bool) (time.Time, bool) {
	d, m := civilOf(s.from.Unix() + s.offset)
	for instantOf(d, 0, s.offset).Before(s.to) {
		s.look(d)
		for m = s.open.next(m, want); m < minutesPerDay; m = s.open.next(m+1, want) {
			u := instantOf(d, m, s.offset)
			if u.Before(s.from) {
				u = s.from // in the middle of the minute
			}
			if u.Before(s.to) && allOpen(u, s.calendars) == want {
				return u, true
			}
		}
		d, m = d+1, 0
	}
	return time.Time{}, false
}

// look finds the minutes of day d, on the wall clock of the stretch's zone, at which all the calendars are open.
func (s *stretch) look(d day) {
	s.open.fill()
	for _, c := range s.calendars {
		if s.open.empty() {
			return
		}
		s.narrow(c, d)
	}
}

// narrow keeps the minutes at which a calendar is open.
func (s *stretch) narrow(c *Calendar, d day) {
	if c == nil {
		s.open = minutes{}
		return
	}
	if len(c.Allowed) > 0 {
		s.part = minutes{}
		for _, w := range c.Allowed {
			s.addOpen(w, d)
		}
		s.open.intersect(&s.part)
	}
	if s.open.empty() {
		return
	}
	s.part = minutes{}
	for _, w := range c.Frozen {
		if !w.compiled() {
			s.part.fill()
		}
		s.addOpen(w, d)
	}
	s.open.subtract(&s.part)
}

// addOpen adds the minutes at which a window is open to the part. The window's own wall clock may show another
// time than that of the stretch's zone, so that its minutes come from two of its days.
func (s *stretch) addOpen(w *Schedule, d day) {
	switch {
	case !w.compiled():
	case w.once != nil:
		if w.once.contains(s.from) {
			s.part.fill()
		}
	case w.zone == s.zone:
		w.wall.addTo(&s.part, d)
	default:
		first, ahead := civilOf(int64(d)*secondsPerDay + offsetAt(s.from, w.zone) - s.offset)
		for k := range day(2) {
			s.scratch = minutes{}
			w.wall.addTo(&s.scratch, first+k)
			s.part.unionShifted(&s.scratch, int(k)*minutesPerDay-ahead)
		}
	}
}

package window

// recurring is a window that starts at the same minutes of certain days and always lasts the same.
type recurring struct {
	on dayRule
	// open on the k-th day after one on which it starts are the minutes of spill[k], k from 0 to at most 7.
	spill []minutes
}

// dayRule says on which days a window starts.
type dayRule interface {
	has(d day) bool
}

// newRecurring makes a window that starts at each of the given minutes and lasts so many minutes, up to 10080.
func newRecurring(on dayRule, starts *minutes, lasting int) *recurring {
	r := &recurring{on: on}
	end := 0 // every minute before it that is open is in the tables
	for m := starts.next(0, true); m < minutesPerDay; m = starts.next(m+1, true) {
		for i := max(m, end); i < m+lasting; i++ {
			r.add(i)
		}
		end = m + lasting
	}
	return r
}

// add adds a minute counted from the start of the day on which the window starts.
func (r *recurring) add(m int) {
	for len(r.spill) <= m/minutesPerDay {
		r.spill = append(r.spill, minutes{})
	}
	r.spill[m/minutesPerDay].add(m % minutesPerDay)
}

func (r *recurring) open(d day, m int) bool {
	for k := range r.spill {
		if r.spill[k].has(m) && r.on.has(d-day(k)) {
			return true
		}
	}
	return false
}

func (r *recurring) addTo(s *minutes, d day) {
	for k := range r.spill {
		if r.on.has(d - day(k)) {
			s.union(&r.spill[k])
		}
	}
}

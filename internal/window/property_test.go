package window

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

// rounds is how often a property is tried on random windows.
func rounds(few, many int) int {
	if thorough() {
		return many
	}
	return few
}

// change is an instant from which on a calendar is open, or not.
type change struct {
	at   time.Time
	open bool
}

// scan asks the oracle for every minute, and for the instants at which windows begin or end within one, and
// compares each answer with the predicate's. It returns the changes, the state at from being the first.
func (p *plan) scan(t *testing.T, from, to time.Time) []change {
	t.Helper()
	var changes []change
	state := !p.open(from)
	look := func(u time.Time) {
		open := p.open(u)
		if got := p.calendar.Open(u); got != open {
			t.Fatalf("%s: open at %v: %v, want %v", p, u, got, open)
		}
		if open != state {
			changes, state = append(changes, change{u, open}), open
		}
	}
	edges := p.edges()
	for u := from; u.Before(to); u = u.Add(time.Minute) {
		for len(edges) > 0 && edges[0].Before(u) {
			if !edges[0].Before(from) {
				look(edges[0])
			}
			edges = edges[1:]
		}
		look(u)
	}
	return changes
}

// edges are the instants within minutes at which the plan can change, in order.
func (p *plan) edges() []time.Time {
	var edges []time.Time
	for _, w := range slices.Concat(p.allowed, p.frozen) {
		if w.Once != nil {
			edges = append(edges, w.Once.From.Time, w.Once.To.Time)
		}
	}
	slices.SortFunc(edges, time.Time.Compare)
	return edges
}

func (p *plan) String() string {
	var b strings.Builder
	b.WriteString(p.zone)
	for _, w := range p.allowed {
		b.WriteString("; " + Describe(w))
	}
	for _, w := range p.frozen {
		b.WriteString("; not " + Describe(w))
	}
	return b.String()
}

// nextAfter is what the changes say of the first time after t that the calendar becomes open or closed.
func nextAfter(changes []change, t time.Time, open bool) (time.Time, bool) {
	for _, c := range changes[1:] {
		if c.open == open && c.at.After(t) {
			return c.at, true
		}
	}
	return time.Time{}, false
}

// checkNextAt compares NextOpen and NextClose with the scanned changes. Beyond the end of the scan nothing is known.
func (p *plan) checkNextAt(t *testing.T, changes []change, u, end time.Time) {
	t.Helper()
	wantOpen, found := nextAfter(changes, u, true)
	gotOpen, ok := p.calendar.NextOpen(u)
	switch {
	case p.calendar.Open(u):
		if ok {
			t.Fatalf("%s: NextOpen(%v) = %v while open", p, u, gotOpen)
		}
	case found && (!ok || !gotOpen.Equal(wantOpen)), !found && ok && gotOpen.Before(end):
		t.Fatalf("%s: NextOpen(%v) = %v, %v, want %v, %v", p, u, gotOpen, ok, wantOpen, found)
	}
	wantClose, found := nextAfter(changes, u, false)
	gotClose, ok := p.calendar.NextClose(u)
	if found && (!ok || !gotClose.Equal(wantClose)) || !found && ok && gotClose.Before(end) {
		t.Fatalf("%s: NextClose(%v) = %v, %v, want %v, %v", p, u, gotClose, ok, wantClose, found)
	}
	for _, got := range []time.Time{gotOpen, gotClose} {
		if !got.IsZero() && got.Location().String() != p.zone {
			t.Fatalf("%s: %v is not in the calendar's zone", p, got)
		}
	}
}

// TestNextAgreesWithScan: the predicate agrees with the oracle in every minute of years, and what NextOpen and
// NextClose find is what a scan by minute finds.
func TestNextAgreesWithScan(t *testing.T) {
	r := newRand(t)
	for range rounds(8, 300) {
		from := randomInstant(r, instant("2024-01-01T00:00:00Z"), instant("2034-01-01T00:00:00Z")).Truncate(time.Minute)
		to := from.AddDate(2, 1, 0)
		zone := pick(r, zonesOfInterest...)
		p := newPlan(t, zone, randomWindows(r, from, to, 0, 3), randomWindows(r, from, to, 0, 2), from, to)
		changes := p.scan(t, from, to)
		for range 100 {
			p.checkNextAt(t, changes, randomInstant(r, from, to), to)
		}
		for range min(len(changes), 50) {
			c := pick(r, changes...)
			for offset := range time.Duration(3) {
				if u := c.at.Add(offset - 1); !u.Before(from) {
					p.checkNextAt(t, changes, u, to)
				}
			}
		}
	}
}

// TestNextAgreesAroundZoneChanges looks closely at the days on which clocks change.
func TestNextAgreesAroundZoneChanges(t *testing.T) {
	r := newRand(t)
	days := map[string][]string{
		"America/New_York":    {"2026-03-08T07:00:00Z", "2026-11-01T06:00:00Z"},
		"Europe/Berlin":       {"2026-03-29T01:00:00Z", "2026-10-25T01:00:00Z", "2090-03-26T01:00:00Z"},
		"Asia/Beirut":         {"2026-03-28T22:00:00Z", "2026-10-24T21:00:00Z"},
		"Australia/Lord_Howe": {"2026-10-03T15:30:00Z", "2026-04-04T15:00:00Z"},
		"Pacific/Apia":        {"2011-12-30T10:00:00Z"},
		"America/Santiago":    {"2026-09-06T04:00:00Z", "2026-04-05T03:00:00Z"},
		"Pacific/Chatham":     {"2028-12-31T00:00:00Z"}, // the day that a leap year's rule leaves out
	}
	for zone, instants := range days {
		for range rounds(15, 500) {
			at := instant(pick(r, instants...))
			from, to := at.AddDate(0, 0, -3), at.AddDate(0, 0, 3)
			p := newPlan(t, zone, randomWindows(r, from, to, 0, 2), randomWindows(r, from, to, 0, 1), from, to)
			changes := p.scan(t, from, to)
			for range 50 {
				p.checkNextAt(t, changes, randomInstant(r, from, to), to)
			}
		}
	}
}

// checkSpan compares OpenThrough and OpenDuring with the scanned changes.
func (p *plan) checkSpan(t *testing.T, changes []change, u, v time.Time) {
	t.Helper()
	closes, found := nextAfter(changes, u, false)
	if want := p.open(u) && (!found || closes.After(v)); p.calendar.OpenThrough(u, v) != want {
		t.Fatalf("%s: open from %v through %v: %t, want %t", p, u, v, !want, want)
	}
	opens, found := nextAfter(changes, u, true)
	if want := u.Before(v) && (p.open(u) || found && opens.Before(v)); p.calendar.OpenDuring(u, v) != want {
		t.Fatalf("%s: open from %v until %v: %t, want %t", p, u, v, !want, want)
	}
}

// TestSpansAgreeWithScan looks at spans that begin and end at random, and around what changes.
func TestSpansAgreeWithScan(t *testing.T) {
	r := newRand(t)
	for range rounds(40, 2000) {
		from := pick(r, instant("2026-03-26T00:00:00Z"), instant("2026-10-22T00:00:00Z"), instant("2026-06-01T00:00:00Z"))
		to := from.AddDate(0, 0, 7)
		p := newPlan(t, pick(r, zonesOfInterest...), randomWindows(r, from, to, 0, 3), randomWindows(r, from, to, 0, 1), from, to)
		changes := p.scan(t, from, to)
		near := func() time.Time { // an end of an opening, or anything
			if c := pick(r, changes...); r.IntN(2) == 0 && c.at.After(from) {
				return c.at.Add(time.Duration(r.IntN(3) - 1))
			}
			return randomInstant(r, from, to)
		}
		for range 100 {
			p.checkSpan(t, changes, near(), near())
		}
	}
}

// TestNextAllOpenAgreesWithScan compares with the first minute, or edge, at which all are open.
func TestNextAllOpenAgreesWithScan(t *testing.T) {
	r := newRand(t)
	for range rounds(60, 3000) {
		from := randomInstant(r, instant("2024-01-01T00:00:00Z"), instant("2034-01-01T00:00:00Z")).Truncate(time.Minute)
		to := from.AddDate(0, 3, 0)
		var plans []*plan
		var calendars []*Calendar
		for range 1 + r.IntN(3) {
			p := newPlan(t, pick(r, zonesOfInterest...), mostlyOpen(r, from, to), randomWindows(r, from, to, 0, 1), from, to)
			plans, calendars = append(plans, p), append(calendars, p.calendar)
		}
		start := randomInstant(r, from, to)
		want, found := firstAllOpen(plans, start, to)
		got, ok := NextAllOpen(start, calendars...)
		if found && (!ok || !got.Equal(want)) || !found && ok && got.Before(to) {
			t.Fatalf("%v: NextAllOpen(%v) = %v, %v, want %v, %v", plans, start, got, ok, want, found)
		}
		if ok && got.Location().String() != zoneOf(start, calendars).String() {
			t.Fatalf("%v: %v is not in the first calendar's zone", plans, got)
		}
	}
}

// mostlyOpen is one or two windows, so that several calendars are open together now and then.
func mostlyOpen(r *rand.Rand, from, to time.Time) []v1alpha1.Window {
	return randomWindows(r, from, to, 1, 2)
}

func firstAllOpen(plans []*plan, start, to time.Time) (time.Time, bool) {
	instants := []time.Time{start}
	for u := start.Truncate(time.Minute).Add(time.Minute); u.Before(to); u = u.Add(time.Minute) {
		instants = append(instants, u)
	}
	for _, p := range plans {
		for _, u := range p.edges() {
			if u.After(start) && u.Before(to) {
				instants = append(instants, u)
			}
		}
	}
	slices.SortFunc(instants, time.Time.Compare)
	for _, u := range instants {
		if !slices.ContainsFunc(plans, func(p *plan) bool { return !p.open(u) }) {
			return u, true
		}
	}
	return time.Time{}, false
}

// TestNeverOpensIsTrue: a cron schedule is refused as one that never opens exactly if the library, which looks
// five years ahead, finds no start of it in two leap years' time.
func TestNeverOpensIsTrue(t *testing.T) {
	r := newRand(t)
	for range rounds(2000, 100000) {
		schedule := randomSchedule(r)
		_, errs := Compile(crontab(schedule, "1m"), time.UTC, at)
		parsed, err := cron.ParseStandard(schedule)
		if err != nil {
			t.Fatal(err)
		}
		if opens := !parsed.Next(now).IsZero(); opens != (len(errs) == 0) {
			t.Errorf("%s: %v, want opens %v", schedule, errs, opens)
		}
	}
}

package window

import (
	"os"
	"testing"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

// thorough reports whether the properties are tried for minutes: WINDOW_THOROUGH=1 go test ./internal/window.
func thorough() bool { return os.Getenv("WINDOW_THOROUGH") != "" }

// oracle is a second reading of a window, made differently: every span is generated from its start and painted
// minute by minute on one long strip of civil time, for which UTC stands in.
type oracle struct {
	zone    *time.Location
	base    time.Time // the civil time of painted[0]
	painted []bool
	once    *v1alpha1.OnceWindow
}

func newOracle(w v1alpha1.Window, zone *time.Location, from, to time.Time) *oracle {
	base := from.UTC().Truncate(24*time.Hour).AddDate(0, 0, -12)
	o := &oracle{zone: zone, base: base, once: w.Once}
	o.painted = make([]bool, int(to.Sub(base)/time.Minute)+3*24*60)
	last := base.Add(time.Duration(len(o.painted)) * time.Minute)
	switch {
	case w.Weekly != nil:
		for d := base; d.Before(last); d = d.AddDate(0, 0, 1) {
			for _, day := range w.Weekly.Days {
				if d.Format("Mon") == string(day) {
					o.paintWeekly(w.Weekly, d)
				}
			}
		}
	case w.Monthly != nil:
		for m := time.Date(base.Year(), base.Month(), 1, 0, 0, 0, 0, time.UTC); m.Before(last); m = m.AddDate(0, 1, 0) {
			o.paintMonthly(w.Monthly, m)
		}
	case w.Cron != nil:
		o.paintCron(w.Cron, last)
	}
	return o
}

// clock is a time of day on a civil day.
func clock(d time.Time, text v1alpha1.TimeOfDay) time.Time {
	t, err := time.Parse("2006-01-02 15:04", d.Format("2006-01-02 ")+string(text))
	if err != nil {
		panic(err)
	}
	return t
}

func (o *oracle) paintWeekly(w *v1alpha1.WeeklyWindow, d time.Time) {
	start, end := clock(d, w.Start), clock(d, w.End)
	for !end.After(start) || w.EndDay != "" && end.Format("Mon") != string(w.EndDay) {
		end = end.AddDate(0, 0, 1)
	}
	o.paint(start, end)
}

func (o *oracle) paintMonthly(w *v1alpha1.MonthlyWindow, month time.Time) {
	var days []time.Time
	for d := month; d.Month() == month.Month(); d = d.AddDate(0, 0, 1) {
		if d.Format("Mon") == string(w.Day) {
			days = append(days, d)
		}
	}
	d := map[v1alpha1.WeekOfMonth]time.Time{
		"First": days[0], "Second": days[1], "Third": days[2], "Fourth": days[3], "Last": days[len(days)-1],
	}[w.Week]
	start, end := clock(d, w.Start), clock(d, w.End)
	if !end.After(start) {
		end = end.AddDate(0, 0, 1)
	}
	o.paint(start, end)
}

// paintCron uses the library's own reckoning, which is right in UTC.
func (o *oracle) paintCron(w *v1alpha1.CronWindow, last time.Time) {
	schedule, err := cron.ParseStandard(w.Schedule)
	if err != nil {
		panic(err)
	}
	duration, err := time.ParseDuration(string(w.Duration))
	if err != nil {
		panic(err)
	}
	done := o.base // a span that begins within the one before it need not paint the same minutes again
	for s := schedule.Next(o.base.Add(-1)); !s.IsZero() && s.Before(last); s = schedule.Next(s) {
		if s.After(done) {
			done = s
		}
		o.paint(done, s.Add(duration))
		done = s.Add(duration)
	}
}

func (o *oracle) paint(start, end time.Time) {
	for i := int(start.Sub(o.base) / time.Minute); i < int(end.Sub(o.base)/time.Minute); i++ {
		if 0 <= i && i < len(o.painted) {
			o.painted[i] = true
		}
	}
}

func (o *oracle) open(t time.Time) bool {
	if o.once != nil {
		return t.Compare(o.once.From.Time) >= 0 && t.Compare(o.once.To.Time) < 0
	}
	wall := t.In(o.zone)
	civil := time.Date(wall.Year(), wall.Month(), wall.Day(), wall.Hour(), wall.Minute(), 0, 0, time.UTC)
	return o.painted[int(civil.Sub(o.base)/time.Minute)]
}

// plan is a calendar as it is written, and as both readings have it.
type plan struct {
	zone              string
	allowed, frozen   []v1alpha1.Window
	calendar          *Calendar
	oAllowed, oFrozen []*oracle
}

func newPlan(tb testing.TB, zone string, allowed, frozen []v1alpha1.Window, from, to time.Time) *plan {
	tb.Helper()
	p := &plan{zone: zone, allowed: allowed, frozen: frozen}
	p.calendar = allow(tb, zone, allowed...).but(tb, zone, frozen...)
	for _, w := range allowed {
		p.oAllowed = append(p.oAllowed, newOracle(w, zoneNamed(tb, zone), from, to))
	}
	for _, w := range frozen {
		p.oFrozen = append(p.oFrozen, newOracle(w, zoneNamed(tb, zone), from, to))
	}
	return p
}

func (p *plan) open(t time.Time) bool {
	open := len(p.oAllowed) == 0
	for _, o := range p.oAllowed {
		open = open || o.open(t)
	}
	for _, o := range p.oFrozen {
		open = open && !o.open(t)
	}
	return open
}

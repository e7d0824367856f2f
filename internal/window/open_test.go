package window

import (
	"testing"
	"time"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

func TestOpen(t *testing.T) {
	tests := map[string]struct {
		window v1alpha1.Window
		zone   string
		open   []string
		closed []string
	}{
		"a night belongs to the day on which it starts": {
			window: weekly(on("Fri"), "22:00", "06:00"), zone: "Europe/Berlin",
			open:   []string{"2026-11-20T22:00:00+01:00", "2026-11-21T01:00:00+01:00", "2026-11-21T05:59:59+01:00"},
			closed: []string{"2026-11-20T05:00:00+01:00", "2026-11-21T06:00:00+01:00", "2026-11-21T22:00:00+01:00"},
		},
		"a night over the week's end": {
			window: weekly(on("Sat"), "22:00", "06:00"), zone: "Europe/Berlin",
			open:   []string{"2026-11-22T05:59:00+01:00"},
			closed: []string{"2026-11-23T05:59:00+01:00", "2026-11-22T22:00:00+01:00"},
		},
		"equal start and end last a day": {
			window: weekly(on("Mon"), "08:00", "08:00"), zone: "Europe/Berlin",
			open:   []string{"2026-11-23T08:00:00+01:00", "2026-11-24T07:59:59+01:00"},
			closed: []string{"2026-11-23T07:59:59+01:00", "2026-11-24T08:00:00+01:00"},
		},
		"a weekend": {
			window: weeklyUntil(on("Fri"), "22:00", "Mon", "06:00"), zone: "Europe/Berlin",
			open:   []string{"2026-11-20T22:00:00+01:00", "2026-11-21T12:00:00+01:00", "2026-11-22T23:00:00+01:00", "2026-11-23T05:59:59+01:00"},
			closed: []string{"2026-11-20T21:59:59+01:00", "2026-11-23T06:00:00+01:00", "2026-11-25T12:00:00+01:00"},
		},
		"an end day that is the start day, later": {
			window: weeklyUntil(on("Mon"), "09:00", "Mon", "17:00"), zone: "Europe/Berlin",
			open:   []string{"2026-11-23T09:00:00+01:00", "2026-11-23T16:59:59+01:00"},
			closed: []string{"2026-11-23T17:00:00+01:00", "2026-11-24T12:00:00+01:00"},
		},
		"an end day that is the start day, earlier, is a week later": {
			window: weeklyUntil(on("Mon"), "17:00", "Mon", "09:00"), zone: "Europe/Berlin",
			open:   []string{"2026-11-23T17:00:00+01:00", "2026-11-26T12:00:00+01:00", "2026-11-30T08:59:59+01:00"},
			closed: []string{"2026-11-23T09:00:00+01:00", "2026-11-23T16:59:59+01:00", "2026-11-30T09:00:00+01:00"},
		},
		"an end day that is the start day, at the same time, never closes": {
			window: weeklyUntil(on("Mon"), "09:00", "Mon", "09:00"), zone: "Europe/Berlin",
			open: []string{"2026-11-23T09:00:00+01:00", "2026-11-23T08:59:59+01:00", "2026-11-26T12:00:00+01:00"},
		},
		"several start days with one end day": {
			window: weeklyUntil(on("Thu", "Sat"), "22:00", "Sun", "06:00"), zone: "Europe/Berlin",
			open:   []string{"2026-11-19T22:00:00+01:00", "2026-11-20T12:00:00+01:00", "2026-11-22T05:59:59+01:00"},
			closed: []string{"2026-11-22T06:00:00+01:00", "2026-11-22T22:00:00+01:00"},
		},
		"the second Tuesday": {
			window: monthly("Second", "Tue", "20:00", "23:00"), zone: "Europe/Berlin",
			open:   []string{"2026-11-10T20:00:00+01:00", "2026-12-08T22:59:59+01:00", "2026-09-08T20:00:00+02:00"},
			closed: []string{"2026-11-03T20:30:00+01:00", "2026-11-17T20:30:00+01:00", "2026-11-10T23:00:00+01:00"},
		},
		"a first day that is the first of the month": {
			window: monthly("First", "Sun", "00:00", "12:00"), zone: "Europe/Berlin",
			open:   []string{"2026-11-01T00:00:00+01:00"},
			closed: []string{"2026-11-08T00:00:00+01:00", "2026-10-31T23:59:59+01:00"},
		},
		"the last day where there are four and five": {
			window: monthly("Last", "Fri", "10:00", "11:00"), zone: "Europe/Berlin",
			open:   []string{"2026-11-27T10:30:00+01:00", "2026-10-30T10:30:00+01:00", "2026-02-27T10:30:00+01:00"},
			closed: []string{"2026-11-20T10:30:00+01:00", "2026-10-23T10:30:00+02:00"},
		},
		"the fourth day of five is not the last": {
			window: monthly("Fourth", "Fri", "10:00", "11:00"), zone: "Europe/Berlin",
			open:   []string{"2026-11-27T10:30:00+01:00", "2026-10-23T10:30:00+02:00"},
			closed: []string{"2026-10-30T10:30:00+01:00"},
		},
		"a last night over the end of the month": {
			window: monthly("Last", "Sat", "22:00", "06:00"), zone: "Europe/Berlin",
			open:   []string{"2026-10-31T22:00:00+01:00", "2026-11-01T05:59:59+01:00"},
			closed: []string{"2026-11-01T06:00:00+01:00", "2026-10-31T05:00:00+01:00"},
		},
		"a last night over the end of the year": {
			window: monthly("Last", "Thu", "22:00", "06:00"), zone: "Europe/Berlin",
			open:   []string{"2026-12-31T23:59:59+01:00", "2027-01-01T00:00:00+01:00", "2027-01-01T05:59:59+01:00"},
			closed: []string{"2027-01-01T06:00:00+01:00"},
		},
		"the last day of a leap February": {
			window: monthly("Last", "Tue", "10:00", "11:00"), zone: "Europe/Berlin",
			open:   []string{"2028-02-29T10:30:00+01:00"},
			closed: []string{"2028-02-22T10:30:00+01:00"},
		},
		"office hours by cron": {
			window: crontab("0 9 * * 1-5", "8h"), zone: "Europe/Berlin",
			open:   []string{"2026-11-23T09:00:00+01:00", "2026-11-27T16:59:59+01:00"},
			closed: []string{"2026-11-23T08:59:59+01:00", "2026-11-23T17:00:00+01:00", "2026-11-22T12:00:00+01:00"},
		},
		"cron names of days and months": {
			window: crontab("30 6 * JAN,jul Mon-WED", "30m"), zone: "UTC",
			open:   []string{"2026-01-05T06:30:00Z", "2026-07-08T06:59:59Z"},
			closed: []string{"2026-02-02T06:30:00Z", "2026-07-09T06:30:00Z"},
		},
		"cron with both days restricted takes either": {
			window: crontab("0 0 1-7 * 1", "1h"), zone: "UTC",
			open:   []string{"2026-11-03T00:30:00Z", "2026-11-23T00:30:00Z"},
			closed: []string{"2026-11-10T00:30:00Z"},
		},
		"cron with both days restricted and one of them stepped over all takes either": {
			window: crontab("0 0 */2 * 1", "1h"), zone: "UTC",
			open:   []string{"2026-11-03T00:30:00Z", "2026-11-16T00:30:00Z"},
			closed: []string{"2026-11-10T00:30:00Z"},
		},
		"cron with a day of the month that half of the schedule lacks": {
			window: crontab("0 0 31 2 1", "1h"), zone: "UTC",
			open:   []string{"2026-02-02T00:30:00Z"},
			closed: []string{"2026-02-03T00:30:00Z", "2026-03-31T00:30:00Z"},
		},
		"cron for a week": {
			window: crontab("0 12 1 * *", "168h"), zone: "UTC",
			open:   []string{"2026-11-01T12:00:00Z", "2026-11-05T00:00:00Z", "2026-11-08T11:59:59Z"},
			closed: []string{"2026-11-01T11:59:59Z", "2026-11-08T12:00:00Z"},
		},
		"cron over the year's end": {
			window: crontab("0 18 31 12 *", "48h"), zone: "Europe/Berlin",
			open:   []string{"2026-12-31T18:00:00+01:00", "2027-01-02T17:59:59+01:00"},
			closed: []string{"2027-01-02T18:00:00+01:00", "2026-12-30T18:00:00+01:00"},
		},
		"cron starts that overlap": {
			window: crontab("*/10 8 * * *", "15m"), zone: "UTC",
			open:   []string{"2026-11-22T08:00:00Z", "2026-11-22T08:14:00Z", "2026-11-22T08:45:00Z", "2026-11-22T09:04:59Z"},
			closed: []string{"2026-11-22T09:05:00Z", "2026-11-22T07:59:59Z"},
		},
		"cron starts with pauses": {
			window: crontab("*/10 8 * * *", "5m"), zone: "UTC",
			open:   []string{"2026-11-22T08:14:59Z", "2026-11-22T08:50:00Z"},
			closed: []string{"2026-11-22T08:15:00Z", "2026-11-22T08:55:00Z"},
		},
		"cron every minute": {
			window: crontab("* * * * *", "1m"), zone: "UTC",
			open: []string{"2026-11-22T08:15:00Z", "2026-11-22T08:15:59.999999999Z"},
		},
		"leap day": {
			window: crontab("0 0 29 2 *", "24h"), zone: "Europe/Berlin",
			open:   []string{"2028-02-29T12:00:00+01:00", "2096-02-29T12:00:00+01:00", "2104-02-29T12:00:00+01:00"},
			closed: []string{"2027-02-28T12:00:00+01:00", "2027-03-01T12:00:00+01:00", "2100-03-01T12:00:00+01:00"},
		},
		"instants are not read on the wall clock": {
			window: once("2026-12-18T17:00:00+01:00", "2027-01-04T08:00:00+01:00"), zone: "Pacific/Auckland",
			open:   []string{"2026-12-18T16:00:00Z", "2027-01-04T06:59:59.999999999Z"},
			closed: []string{"2026-12-18T15:59:59.999999999Z", "2027-01-04T07:00:00Z"},
		},
		"instants within a second": {
			window: once("2026-12-18T17:00:00.25Z", "2026-12-18T17:00:00.75Z"), zone: "UTC",
			open:   []string{"2026-12-18T17:00:00.25Z", "2026-12-18T17:00:00.749999999Z"},
			closed: []string{"2026-12-18T17:00:00.249999999Z", "2026-12-18T17:00:00.75Z"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			checkOpen(t, compile(t, tc.window, tc.zone), tc.open, tc.closed)
		})
	}
}

func checkOpen(t *testing.T, s *Schedule, open, closed []string) {
	t.Helper()
	for _, text := range open {
		if !s.Open(instant(text)) {
			t.Errorf("%s is closed at %s, want open", s, text)
		}
	}
	for _, text := range closed {
		if s.Open(instant(text)) {
			t.Errorf("%s is open at %s, want closed", s, text)
		}
	}
}

// TestOpenEdges looks a nanosecond to both sides of the edges of every form.
func TestOpenEdges(t *testing.T) {
	tests := map[string]struct {
		window     v1alpha1.Window
		start, end string
	}{
		"weekly":           {weekly(on("Mon"), "09:00", "17:00"), "2026-11-23T09:00:00+01:00", "2026-11-23T17:00:00+01:00"},
		"weekly at night":  {weekly(on("Mon"), "22:00", "06:00"), "2026-11-23T22:00:00+01:00", "2026-11-24T06:00:00+01:00"},
		"weekly, end day":  {weeklyUntil(on("Fri"), "22:00", "Mon", "06:00"), "2026-11-20T22:00:00+01:00", "2026-11-23T06:00:00+01:00"},
		"weekly, midnight": {weekly(on("Mon"), "22:00", "00:00"), "2026-11-23T22:00:00+01:00", "2026-11-24T00:00:00+01:00"},
		"weekly, all day":  {weekly(on("Mon"), "00:00", "00:00"), "2026-11-23T00:00:00+01:00", "2026-11-24T00:00:00+01:00"},
		"weekly, 1 minute": {weekly(on("Mon"), "23:59", "00:00"), "2026-11-23T23:59:00+01:00", "2026-11-24T00:00:00+01:00"},
		"monthly":          {monthly("Last", "Mon", "20:00", "23:00"), "2026-11-30T20:00:00+01:00", "2026-11-30T23:00:00+01:00"},
		"monthly at night": {monthly("Last", "Mon", "20:00", "02:00"), "2026-11-30T20:00:00+01:00", "2026-12-01T02:00:00+01:00"},
		"cron":             {crontab("15 9 23 * *", "90m"), "2026-11-23T09:15:00+01:00", "2026-11-23T10:45:00+01:00"},
		"cron, 1 minute":   {crontab("15 9 23 * *", "60s"), "2026-11-23T09:15:00+01:00", "2026-11-23T09:16:00+01:00"},
		"cron for days":    {crontab("59 23 23 * *", "168h"), "2026-11-23T23:59:00+01:00", "2026-11-30T23:59:00+01:00"},
		"once":             {once("2026-11-23T09:15:30.5+01:00", "2026-11-23T09:15:30.6+01:00"), "2026-11-23T09:15:30.5+01:00", "2026-11-23T09:15:30.6+01:00"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			s := compile(t, tc.window, "Europe/Berlin")
			for offset, want := range map[time.Duration][2]bool{-1: {false, true}, 0: {true, false}, 1: {true, false}} {
				if got := s.Open(instant(tc.start).Add(offset)); got != want[0] {
					t.Errorf("%s: %d ns after its start: open %v, want %v", s, offset, got, want[0])
				}
				if got := s.Open(instant(tc.end).Add(offset)); got != want[1] {
					t.Errorf("%s: %d ns after its end: open %v, want %v", s, offset, got, want[1])
				}
			}
		})
	}
}

func TestPast(t *testing.T) {
	year := once("2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z")
	tests := map[string]struct {
		schedule *Schedule
		at       string
		want     bool
	}{
		"before it":              {compile(t, year, "UTC"), "2025-12-31T23:59:59Z", false},
		"in its last nanosecond": {compile(t, year, "UTC"), "2026-12-31T23:59:59.999999999Z", false},
		"at its end":             {compile(t, year, "UTC"), "2027-01-01T00:00:00Z", true},
		"weekly":                 {compile(t, weekly(on("Mon"), "09:00", "17:00"), "UTC"), "9999-01-01T00:00:00Z", false},
		"nil":                    {nil, "2026-01-01T00:00:00Z", true},
		"not compiled":           {&Schedule{}, "2026-01-01T00:00:00Z", true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := tc.schedule.Past(instant(tc.at)); got != tc.want {
				t.Errorf("past at %s: %v, want %v", tc.at, got, tc.want)
			}
		})
	}
}

func TestScheduleNotCompiled(t *testing.T) {
	for name, s := range map[string]*Schedule{"nil": nil, "zero": {}} {
		t.Run(name, func(t *testing.T) {
			if s.Open(now) || s.Name() != "" || s.String() != "" {
				t.Errorf("open %v, name %q, description %q, want closed and empty", s.Open(now), s.Name(), s.String())
			}
		})
	}
}

func TestOpenThrough(t *testing.T) {
	nights := weekly(on("Mon", "Tue"), "22:00", "06:00")
	for name, tc := range map[string]struct {
		zone     string
		windows  []v1alpha1.Window
		from, to string
		want     bool
	}{
		"within one night":         {"Europe/Berlin", []v1alpha1.Window{nights}, "2026-11-23T22:00:00+01:00", "2026-11-24T05:59:59+01:00", true},
		"up to its end":            {"Europe/Berlin", []v1alpha1.Window{nights}, "2026-11-23T22:00:00+01:00", "2026-11-24T06:00:00+01:00", false},
		"into the next one":        {"Europe/Berlin", []v1alpha1.Window{nights}, "2026-11-23T22:00:00+01:00", "2026-11-24T23:00:00+01:00", false},
		"from before":              {"Europe/Berlin", []v1alpha1.Window{nights}, "2026-11-23T21:59:59+01:00", "2026-11-23T23:00:00+01:00", false},
		"one that is over already": {"Europe/Berlin", []v1alpha1.Window{nights}, "2026-11-23T23:00:00+01:00", "2026-11-23T12:00:00+01:00", true},
		"over two that adjoin": {"Europe/Berlin", []v1alpha1.Window{nights, weekly(on("Tue"), "06:00", "09:00")},
			"2026-11-23T23:00:00+01:00", "2026-11-24T08:59:00+01:00", true},
		"over two that overlap": {"Europe/Berlin", []v1alpha1.Window{nights, weekly(on("Tue"), "05:00", "09:00")},
			"2026-11-23T23:00:00+01:00", "2026-11-24T08:59:00+01:00", true},
		"over the hour that is skipped": {"Europe/Berlin", []v1alpha1.Window{weekly(on("Sun"), "01:00", "04:00")},
			"2027-03-28T01:59:59+01:00", "2027-03-28T03:59:59+02:00", true},
		"over the hour that comes twice": {"Europe/Berlin", []v1alpha1.Window{weekly(on("Sun"), "01:00", "04:00")},
			"2027-10-31T02:30:00+02:00", "2027-10-31T02:30:00+01:00", true},
		"closed by the clock going back": {"Europe/Berlin", []v1alpha1.Window{weekly(on("Sun"), "02:30", "04:00")},
			"2027-10-31T02:30:00+02:00", "2027-10-31T02:30:00+01:00", false},
	} {
		t.Run(name, func(t *testing.T) {
			c := allow(t, tc.zone, tc.windows...)
			if got := c.OpenThrough(instant(tc.from), instant(tc.to)); got != tc.want {
				t.Errorf("%t, want %t", got, tc.want)
			}
		})
	}
	if (*Calendar)(nil).OpenThrough(instant("2026-11-23T22:00:00Z"), instant("2026-11-23T22:00:00Z")) {
		t.Error("no calendar is open")
	}
}

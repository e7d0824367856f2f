package window

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

func TestCalendarState(t *testing.T) {
	const zone = "Europe/Berlin"
	nights := named("nights", weekly(on("Mon", "Tue", "Wed", "Thu"), "22:00", "06:00"))
	weekend := named("weekend", weeklyUntil(on("Fri"), "22:00", "Mon", "06:00"))
	yearEnd := named("year-end", once("2026-12-18T17:00:00+01:00", "2027-01-04T08:00:00+01:00"))
	all := allow(t, zone, nights, weekend, named("also-weekend", weekend)).but(t, zone, yearEnd)
	twice := allow(t, zone, weekend).but(t, zone, weekend)
	tests := map[string]struct {
		calendar   *Calendar
		at         string
		wantState  v1alpha1.WindowState
		wantActive []string
	}{
		"open":                   {all, "2026-11-24T01:00:00+01:00", v1alpha1.WindowOpen, []string{"nights"}},
		"open by two windows":    {all, "2026-11-22T12:00:00+01:00", v1alpha1.WindowOpen, []string{"weekend", "also-weekend"}},
		"closed":                 {all, "2026-11-24T12:00:00+01:00", v1alpha1.WindowClosed, nil},
		"frozen":                 {all, "2026-12-24T12:00:00+01:00", v1alpha1.WindowFrozen, []string{"year-end"}},
		"frozen while open":      {all, "2026-12-20T12:00:00+01:00", v1alpha1.WindowFrozen, []string{"weekend", "also-weekend", "year-end"}},
		"frozen by what allows":  {twice, "2026-11-22T12:00:00+01:00", v1alpha1.WindowFrozen, []string{"weekend"}},
		"no windows":             {&Calendar{}, "2026-11-24T12:00:00+01:00", v1alpha1.WindowOpen, nil},
		"only freezes":           {(&Calendar{}).but(t, zone, yearEnd), "2026-11-24T12:00:00+01:00", v1alpha1.WindowOpen, nil},
		"only freezes, frozen":   {(&Calendar{}).but(t, zone, yearEnd), "2026-12-24T12:00:00+01:00", v1alpha1.WindowFrozen, []string{"year-end"}},
		"nil":                    {nil, "2026-11-24T12:00:00+01:00", v1alpha1.WindowClosed, nil},
		"allowed not compiled":   {&Calendar{Allowed: []*Schedule{nil, {}}}, "2026-11-24T12:00:00+01:00", v1alpha1.WindowClosed, nil},
		"frozen not compiled":    {&Calendar{Frozen: []*Schedule{{}}}, "2026-11-24T12:00:00+01:00", v1alpha1.WindowFrozen, nil},
		"frozen is nil":          {&Calendar{Frozen: []*Schedule{nil}}, "2026-11-24T12:00:00+01:00", v1alpha1.WindowFrozen, nil},
		"frozen is nil, allowed": {&Calendar{Allowed: all.Allowed, Frozen: []*Schedule{nil}}, "2026-11-22T12:00:00+01:00", v1alpha1.WindowFrozen, []string{"weekend", "also-weekend"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			state, active := tc.calendar.State(instant(tc.at))
			if state != tc.wantState {
				t.Errorf("state %s, want %s", state, tc.wantState)
			}
			if diff := cmp.Diff(tc.wantActive, active); diff != "" {
				t.Errorf("active (-want +got):\n%s", diff)
			}
			if got, want := tc.calendar.Open(instant(tc.at)), tc.wantState == v1alpha1.WindowOpen; got != want {
				t.Errorf("open %v, want %v", got, want)
			}
			checkNext(t, orEmpty(tc.calendar), instant(tc.at))
		})
	}
}

func orEmpty(c *Calendar) *Calendar {
	if c == nil {
		return &Calendar{}
	}
	return c
}

func TestNextOpenAndClose(t *testing.T) {
	nights := weekly(on("Mon", "Tue", "Wed", "Thu"), "22:00", "06:00")
	always := crontab("* * * * *", "1m")
	tests := map[string]struct {
		calendar  *Calendar
		at        string
		wantOpen  string // empty: none
		wantClose string
	}{
		"closed": {
			allow(t, "Europe/Berlin", nights), "2026-11-22T12:00:00Z", "2026-11-23T22:00:00+01:00", "2026-11-24T06:00:00+01:00",
		},
		"open": {
			allow(t, "Europe/Berlin", nights), "2026-11-23T23:00:00+01:00", "", "2026-11-24T06:00:00+01:00",
		},
		"one nanosecond before opening": {
			allow(t, "Europe/Berlin", nights), "2026-11-23T21:59:59.999999999+01:00", "2026-11-23T22:00:00+01:00", "2026-11-24T06:00:00+01:00",
		},
		"at the opening": {
			allow(t, "Europe/Berlin", nights), "2026-11-23T22:00:00+01:00", "", "2026-11-24T06:00:00+01:00",
		},
		"at the closing": {
			allow(t, "Europe/Berlin", nights), "2026-11-24T06:00:00+01:00", "2026-11-24T22:00:00+01:00", "2026-11-25T06:00:00+01:00",
		},
		"in the zone of the window, not of the question": {
			allow(t, "America/New_York", nights), "2026-11-22T12:00:00+09:00", "2026-11-23T22:00:00-05:00", "2026-11-24T06:00:00-05:00",
		},
		"spring": {
			allow(t, "Europe/Berlin", weekly(on("Sat"), "22:00", "06:00")), "2026-03-28T12:00:00Z", "2026-03-28T22:00:00+01:00", "2026-03-29T06:00:00+02:00",
		},
		"midnight is skipped": {
			allow(t, "Asia/Beirut", weekly(on("Sun"), "00:00", "06:00")), "2026-03-28T12:00:00Z", "2026-03-29T01:00:00+03:00", "2026-03-29T06:00:00+03:00",
		},
		"wholly in the skipped hour: the next day": {
			allow(t, "America/New_York", weekly(everyDay, "02:10", "02:50")), "2026-03-08T00:00:00-05:00", "2026-03-09T02:10:00-04:00", "2026-03-09T02:50:00-04:00",
		},
		"in the repeated hour, the first time": {
			allow(t, "America/New_York", weekly(everyDay, "01:10", "01:50")), "2026-11-01T01:30:00-04:00", "", "2026-11-01T01:50:00-04:00",
		},
		"in the repeated hour, between": {
			allow(t, "America/New_York", weekly(everyDay, "01:10", "01:50")), "2026-11-01T01:55:00-04:00", "2026-11-01T01:10:00-05:00", "2026-11-01T01:50:00-05:00",
		},
		"the clock goes back out of the window": {
			allow(t, "America/New_York", weekly(everyDay, "00:00", "01:00")), "2026-11-01T00:30:00-04:00", "", "2026-11-01T01:00:00-04:00",
		},
		"the clock goes back into the window": {
			allow(t, "Asia/Beirut", weekly(on("Sat"), "23:30", "00:00")), "2026-10-24T23:45:00+03:00", "", "2026-10-24T23:00:00+02:00",
		},
		"a day is skipped": {
			allow(t, "Pacific/Apia", weekly(on("Fri"), "09:00", "17:00")), "2011-12-29T12:00:00-10:00", "2012-01-06T09:00:00+14:00", "2012-01-06T17:00:00+14:00",
		},
		"windows that touch are one": {
			allow(t, "UTC", weekly(on("Mon"), "09:00", "12:00"), weekly(on("Mon"), "12:00", "15:00")), "2026-11-23T10:00:00Z", "", "2026-11-23T15:00:00Z",
		},
		"a freeze cuts": {
			allow(t, "UTC", weekly(on("Mon"), "09:00", "17:00")).but(t, "UTC", once("2026-11-23T12:00:00.5Z", "2026-11-23T13:00:00.25Z")),
			"2026-11-23T10:00:00Z", "", "2026-11-23T12:00:00.5Z",
		},
		"a freeze ends within the window": {
			allow(t, "UTC", weekly(on("Mon"), "09:00", "17:00")).but(t, "UTC", once("2026-11-23T12:00:00.5Z", "2026-11-23T13:00:00.25Z")),
			"2026-11-23T12:30:00Z", "2026-11-23T13:00:00.25Z", "2026-11-23T17:00:00Z",
		},
		"only freezes": {
			(&Calendar{}).but(t, "UTC", weekly(on("Fri"), "12:00", "00:00")), "2026-11-22T12:00:00Z", "", "2026-11-27T12:00:00Z",
		},
		"within a second": {
			allow(t, "UTC", once("2026-12-18T17:00:00.25Z", "2026-12-18T17:00:00.75Z")), "2026-11-22T12:00:00Z", "2026-12-18T17:00:00.25Z", "2026-12-18T17:00:00.75Z",
		},
		"past": {
			allow(t, "UTC", once("2025-12-18T17:00:00Z", "2025-12-19T17:00:00Z")), "2026-11-22T12:00:00Z", "", "",
		},
		"leap day over the century without one": {
			allow(t, "Europe/Berlin", crontab("0 0 29 2 *", "24h")), "2096-03-01T00:00:00+01:00", "2104-02-29T00:00:00+01:00", "2104-03-01T00:00:00+01:00",
		},
		"leap day from within the one before": {
			allow(t, "Europe/Berlin", crontab("0 0 29 2 *", "24h")), "2096-02-29T12:00:00+01:00", "", "2096-03-01T00:00:00+01:00",
		},
		"always open":           {allow(t, "Europe/Berlin", always), "2026-11-22T12:00:00Z", "", ""},
		"always frozen":         {allow(t, "Europe/Berlin", nights).but(t, "Europe/Berlin", always), "2026-11-22T12:00:00Z", "", ""},
		"no windows":            {&Calendar{}, "2026-11-22T12:00:00Z", "", ""},
		"beyond the horizon":    {allow(t, "UTC", once("2036-12-18T17:00:00Z", "2036-12-18T18:00:00Z")), "2026-11-22T12:00:00Z", "", ""},
		"closes beyond it":      {allow(t, "UTC", once("2026-12-18T17:00:00Z", "2036-12-18T18:00:00Z")), "2026-11-22T12:00:00Z", "2026-12-18T17:00:00Z", ""},
		"allowed not compiled":  {&Calendar{Allowed: []*Schedule{nil, {}}}, "2026-11-22T12:00:00Z", "", ""},
		"frozen not compiled":   {&Calendar{Frozen: []*Schedule{nil, {}}}, "2026-11-22T12:00:00Z", "", ""},
		"nil":                   {nil, "2026-11-22T12:00:00Z", "", ""},
		"leap years' last days": {allow(t, "Pacific/Chatham", weekly(on("Mon"), "00:00", "06:00")), "2028-12-31T12:00:00Z", "", "2029-01-01T06:00:00+13:45"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			open, ok := tc.calendar.NextOpen(instant(tc.at))
			checkInstant(t, "NextOpen", open, ok, tc.wantOpen)
			closed, ok := tc.calendar.NextClose(instant(tc.at))
			checkInstant(t, "NextClose", closed, ok, tc.wantClose)
		})
	}
}

func checkInstant(t *testing.T, what string, got time.Time, ok bool, want string) {
	t.Helper()
	text := ""
	if ok {
		text = got.Format(time.RFC3339Nano)
	}
	if text != want || ok == got.IsZero() {
		t.Errorf("%s = %q, %v, want %q", what, text, ok, want)
	}
}

func TestNextAllOpen(t *testing.T) {
	berlin := allow(t, "Europe/Berlin", weekly(weekdaysOnly, "09:00", "17:00"))
	newYork := allow(t, "America/New_York", weekly(weekdaysOnly, "09:00", "17:00"))
	kathmandu := allow(t, "Asia/Kathmandu", weekly(weekdaysOnly, "20:00", "21:00"))
	freeze := (&Calendar{}).but(t, "Europe/Berlin", once("2026-11-20T00:00:00+01:00", "2026-11-24T16:20:30+01:00"))
	even, odd := allow(t, "Europe/Berlin", crontab("*/2 * * * *", "1m")), allow(t, "Asia/Tokyo", crontab("1/2 * * * *", "1m"))
	tests := map[string]struct {
		calendars []*Calendar
		at        string
		want      string // empty: none
	}{
		"none":                     {nil, "2026-11-22T12:00:00+01:00", "2026-11-22T12:00:00+01:00"},
		"open already":             {[]*Calendar{berlin}, "2026-11-23T12:00:00.5Z", "2026-11-23T13:00:00.5+01:00"},
		"one":                      {[]*Calendar{berlin}, "2026-11-22T12:00:00Z", "2026-11-23T09:00:00+01:00"},
		"two zones":                {[]*Calendar{berlin, newYork}, "2026-11-22T12:00:00Z", "2026-11-23T15:00:00+01:00"},
		"two zones, the other way": {[]*Calendar{newYork, berlin}, "2026-11-22T12:00:00Z", "2026-11-23T09:00:00-05:00"},
		"while summer time differs": {
			[]*Calendar{berlin, newYork}, "2026-03-14T12:00:00Z", "2026-03-16T14:00:00+01:00",
		},
		"over the change of the second zone": {
			[]*Calendar{berlin, newYork}, "2026-03-07T12:00:00Z", "2026-03-09T14:00:00+01:00",
		},
		"three zones, one of them off the hour": {
			[]*Calendar{newYork, berlin, kathmandu}, "2026-11-22T12:00:00Z", "2026-11-23T09:15:00-05:00",
		},
		"after a freeze":            {[]*Calendar{berlin, freeze}, "2026-11-22T12:00:00Z", "2026-11-24T16:20:30+01:00"},
		"freeze first":              {[]*Calendar{freeze, newYork}, "2026-11-22T12:00:00Z", "2026-11-24T16:20:30+01:00"},
		"always open, then windows": {[]*Calendar{{}, newYork}, "2026-11-22T12:00:00Z", "2026-11-23T09:00:00-05:00"},
		"never together":            {[]*Calendar{even, odd}, "2026-11-22T12:00:00Z", ""},
		"nil":                       {[]*Calendar{berlin, nil}, "2026-11-22T12:00:00Z", ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, ok := NextAllOpen(instant(tc.at), tc.calendars...)
			checkInstant(t, "NextAllOpen", got, ok, tc.want)
		})
	}
}

// TestSearchIsBoundedOutsideOfHistory: instants at the ends of what a Time can hold are answered.
func TestSearchIsBoundedOutsideOfHistory(t *testing.T) {
	c := allow(t, "Europe/Berlin", weekly(on("Mon"), "09:00", "17:00"), crontab("*/7 * 29 2 *", "3m"))
	for _, seconds := range []int64{-1 << 63, -1 << 62, -1 << 55, -62135596800, 1 << 40, 1 << 55, 1 << 62, 1<<63 - 1} {
		u := time.Unix(seconds, 999999999)
		_ = c.Open(u)
		_, _ = c.State(u)
		_, _ = c.NextOpen(u)
		_, _ = c.NextClose(u)
		_, _ = NextAllOpen(u, c, c)
	}
}

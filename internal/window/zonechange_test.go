package window

import (
	"testing"
	"time"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

// TestOpenOverZoneChanges asks for each minute of real time in a span how many of them are open: where a clock
// skips or repeats an hour, that is what distinguishes a reading of the wall clock from computed starts.
func TestOpenOverZoneChanges(t *testing.T) {
	nights := weekly(everyDay, "22:00", "06:00")
	tests := map[string]struct {
		window    v1alpha1.Window
		zone      string
		from      string        // on the window's side of the change
		length    time.Duration // how long to look
		wantFirst string        // the first open minute, in the zone; empty: none
		wantLast  string        // the last one
		wantOpen  int           // minutes
	}{
		"night of spring, New York": {
			nights, "America/New_York", "2026-03-07T12:00:00-05:00", 24 * time.Hour,
			"2026-03-07T22:00:00-05:00", "2026-03-08T05:59:00-04:00", 7 * 60,
		},
		"night of autumn, New York": {
			nights, "America/New_York", "2026-10-31T12:00:00-04:00", 24 * time.Hour,
			"2026-10-31T22:00:00-04:00", "2026-11-01T05:59:00-05:00", 9 * 60,
		},
		"night of spring, Berlin": {
			nights, "Europe/Berlin", "2026-03-28T12:00:00+01:00", 24 * time.Hour,
			"2026-03-28T22:00:00+01:00", "2026-03-29T05:59:00+02:00", 7 * 60,
		},
		"night of autumn, Berlin": {
			nights, "Europe/Berlin", "2026-10-24T12:00:00+02:00", 24 * time.Hour,
			"2026-10-24T22:00:00+02:00", "2026-10-25T05:59:00+01:00", 9 * 60,
		},
		"night by cron, spring": {
			crontab("0 22 * * *", "8h"), "America/New_York", "2026-03-07T12:00:00-05:00", 24 * time.Hour,
			"2026-03-07T22:00:00-05:00", "2026-03-08T05:59:00-04:00", 7 * 60,
		},
		"night by cron, autumn": {
			crontab("0 22 * * *", "8h"), "America/New_York", "2026-10-31T12:00:00-04:00", 24 * time.Hour,
			"2026-10-31T22:00:00-04:00", "2026-11-01T05:59:00-05:00", 9 * 60,
		},
		"start in the skipped hour": {
			crontab("30 2 * * *", "1h"), "America/New_York", "2026-03-08T00:00:00-05:00", 12 * time.Hour,
			"2026-03-08T03:00:00-04:00", "2026-03-08T03:29:00-04:00", 30,
		},
		"end in the skipped hour": {
			weekly(everyDay, "01:00", "02:30"), "America/New_York", "2026-03-08T00:00:00-05:00", 12 * time.Hour,
			"2026-03-08T01:00:00-05:00", "2026-03-08T01:59:00-05:00", 60,
		},
		"wholly in the skipped hour": {
			weekly(everyDay, "02:10", "02:50"), "America/New_York", "2026-03-08T00:00:00-05:00", 24 * time.Hour,
			"", "", 0,
		},
		"exactly the skipped hour": {
			weekly(everyDay, "02:00", "03:00"), "Europe/Berlin", "2026-03-29T00:00:00+01:00", 24 * time.Hour,
			"", "", 0,
		},
		"wholly in the repeated hour: both times": {
			weekly(everyDay, "01:10", "01:50"), "America/New_York", "2026-11-01T00:00:00-04:00", 24 * time.Hour,
			"2026-11-01T01:10:00-04:00", "2026-11-01T01:49:00-05:00", 80,
		},
		"ends at the end of the repeated hour": {
			weekly(everyDay, "00:00", "02:00"), "America/New_York", "2026-11-01T00:00:00-04:00", 23 * time.Hour,
			"2026-11-01T00:00:00-04:00", "2026-11-01T01:59:00-05:00", 180,
		},
		"ends at the start of the repeated hour: open before it only": {
			weekly(everyDay, "00:00", "01:00"), "America/New_York", "2026-11-01T00:00:00-04:00", 23 * time.Hour,
			"2026-11-01T00:00:00-04:00", "2026-11-01T00:59:00-04:00", 60,
		},
		"midnight is skipped, Beirut": {
			crontab("0 0 * * *", "4h"), "Asia/Beirut", "2026-03-28T12:00:00+02:00", 24 * time.Hour,
			"2026-03-29T01:00:00+03:00", "2026-03-29T03:59:00+03:00", 180,
		},
		"midnight is skipped, weekly on that day": {
			weekly(on("Sun"), "00:00", "06:00"), "Asia/Beirut", "2026-03-28T12:00:00+02:00", 24 * time.Hour,
			"2026-03-29T01:00:00+03:00", "2026-03-29T05:59:00+03:00", 5 * 60,
		},
		"midnight is skipped, all of that day": {
			weekly(on("Sun"), "00:00", "00:00"), "Asia/Beirut", "2026-03-28T12:00:00+02:00", 48 * time.Hour,
			"2026-03-29T01:00:00+03:00", "2026-03-29T23:59:00+03:00", 23 * 60,
		},
		"midnight is skipped, last Friday of April, Cairo": {
			monthly("Last", "Fri", "00:00", "02:00"), "Africa/Cairo", "2026-04-23T12:00:00+02:00", 24 * time.Hour,
			"2026-04-24T01:00:00+03:00", "2026-04-24T01:59:00+03:00", 60,
		},
		"midnight is repeated, Beirut": {
			weekly(on("Sat"), "23:00", "00:00"), "Asia/Beirut", "2026-10-24T12:00:00+03:00", 24 * time.Hour,
			"2026-10-24T23:00:00+03:00", "2026-10-24T23:59:00+02:00", 120,
		},
		"half an hour is skipped, Lord Howe": {
			weekly(everyDay, "01:45", "02:45"), "Australia/Lord_Howe", "2026-10-04T00:00:00+10:30", 12 * time.Hour,
			"2026-10-04T01:45:00+10:30", "2026-10-04T02:44:00+11:00", 30,
		},
		"wholly in the skipped half hour, Lord Howe": {
			weekly(everyDay, "02:00", "02:30"), "Australia/Lord_Howe", "2026-10-04T00:00:00+10:30", 12 * time.Hour,
			"", "", 0,
		},
		"half an hour is repeated, Lord Howe": {
			weekly(everyDay, "01:45", "02:45"), "Australia/Lord_Howe", "2026-04-05T00:00:00+11:00", 12 * time.Hour,
			"2026-04-05T01:45:00+11:00", "2026-04-05T02:44:00+10:30", 75,
		},
		"spring in the south, Sydney": {
			nights, "Australia/Sydney", "2026-10-03T12:00:00+10:00", 24 * time.Hour,
			"2026-10-03T22:00:00+10:00", "2026-10-04T05:59:00+11:00", 7 * 60,
		},
		"autumn in the south, Sydney": {
			nights, "Australia/Sydney", "2026-04-04T12:00:00+11:00", 24 * time.Hour,
			"2026-04-04T22:00:00+11:00", "2026-04-05T05:59:00+10:00", 9 * 60,
		},
		"midnight is skipped in the south, Santiago": {
			weekly(on("Sun"), "00:00", "03:00"), "America/Santiago", "2026-09-05T12:00:00-04:00", 24 * time.Hour,
			"2026-09-06T01:00:00-03:00", "2026-09-06T02:59:00-03:00", 120,
		},
		"a day is skipped: its window never opens, Apia": {
			weekly(on("Fri"), "09:00", "17:00"), "Pacific/Apia", "2011-12-29T00:00:00-10:00", 3 * 24 * time.Hour,
			"", "", 0,
		},
		"a day is skipped: what starts on it is open on the next, Apia": {
			weekly(on("Fri"), "22:00", "06:00"), "Pacific/Apia", "2011-12-29T00:00:00-10:00", 3 * 24 * time.Hour,
			"2011-12-31T00:00:00+14:00", "2011-12-31T05:59:00+14:00", 6 * 60,
		},
		"a day is skipped: what spans it has a day less, Apia": {
			weeklyUntil(on("Thu"), "12:00", "Sat", "12:00"), "Pacific/Apia", "2011-12-29T00:00:00-10:00", 3 * 24 * time.Hour,
			"2011-12-29T12:00:00-10:00", "2011-12-31T11:59:00+14:00", 24 * 60,
		},
		"far ahead, by the zone's rule": {
			nights, "Europe/Berlin", "2090-03-25T12:00:00+01:00", 24 * time.Hour,
			"2090-03-25T22:00:00+01:00", "2090-03-26T05:59:00+02:00", 7 * 60,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			s := compile(t, tc.window, tc.zone)
			var first, last string
			open := 0
			for u := instant(tc.from); u.Before(instant(tc.from).Add(tc.length)); u = u.Add(time.Minute) {
				if !s.Open(u) {
					continue
				}
				last = u.In(s.zone).Format(time.RFC3339)
				if open == 0 {
					first = last
				}
				open++
			}
			if first != tc.wantFirst || last != tc.wantLast || open != tc.wantOpen {
				t.Errorf("%s: open for %d minutes from %q to %q, want %d from %q to %q",
					s, open, first, last, tc.wantOpen, tc.wantFirst, tc.wantLast)
			}
		})
	}
}

// TestHistoricalOffsets: before 1972 some offsets have seconds. Nothing is asked about then, but nothing may break.
func TestHistoricalOffsets(t *testing.T) {
	windows := []v1alpha1.Window{
		weekly(everyDay, "22:00", "06:00"), monthly("First", "Mon", "10:00", "11:00"), crontab("*/7 * * * *", "3m"),
		once("1900-01-01T00:00:00Z", "1900-01-02T00:00:00Z"),
	}
	for _, zone := range []string{"Africa/Monrovia", "Europe/Amsterdam", "America/New_York", "Asia/Kathmandu"} {
		for _, w := range windows {
			c := allow(t, zone, w)
			for _, text := range []string{"0001-01-01T00:00:00Z", "1850-01-01T00:00:00Z", "1919-12-31T23:59:59Z", "1969-12-31T23:59:59Z", "1972-01-07T00:44:29Z"} {
				checkNext(t, c, instant(text))
			}
		}
	}
	// Liberia was 44 minutes and 30 seconds behind until 1972.
	s := compile(t, weekly(everyDay, "10:00", "11:00"), "Africa/Monrovia")
	checkOpen(t, s, []string{"1971-06-01T10:44:30Z", "1971-06-01T11:44:29Z"}, []string{"1971-06-01T10:44:29Z", "1971-06-01T11:44:30Z"})
	got, ok := (&Calendar{Allowed: []*Schedule{s}}).NextOpen(instant("1971-06-01T00:00:00Z"))
	if want := instant("1971-06-01T10:44:30Z"); !ok || !got.Equal(want) {
		t.Errorf("opens at %v, want %v", got, want)
	}
}

// checkNext checks that what NextOpen and NextClose say is what Open says there and just before.
func checkNext(t *testing.T, c *Calendar, from time.Time) {
	t.Helper()
	if u, ok := c.NextOpen(from); ok && (!u.After(from) || !c.Open(u) || c.Open(u.Add(-1))) {
		t.Errorf("%v: NextOpen(%v) = %v, which is no opening after it", c.Allowed, from, u)
	}
	if u, ok := c.NextClose(from); ok && (!u.After(from) || c.Open(u) || !c.Open(u.Add(-1))) {
		t.Errorf("%v: NextClose(%v) = %v, which is no closing after it", c.Allowed, from, u)
	}
}

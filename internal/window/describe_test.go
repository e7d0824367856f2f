package window

import (
	"testing"
	"time"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

func TestDescribe(t *testing.T) {
	tests := map[string]struct {
		window v1alpha1.Window
		want   string
	}{
		"days in a row":       {weekly(on("Mon", "Tue", "Wed", "Thu"), "22:00", "06:00"), "Mon-Thu 22:00-06:00"},
		"days in any order":   {weekly(on("Thu", "Mon", "Wed", "Tue"), "22:00", "06:00"), "Mon-Thu 22:00-06:00"},
		"two days":            {weekly(on("Sun", "Sat"), "22:00", "06:00"), "Sat, Sun 22:00-06:00"},
		"single days":         {weekly(on("Mon", "Wed", "Fri"), "08:00", "09:00"), "Mon, Wed, Fri 08:00-09:00"},
		"a row and a day":     {weekly(on("Mon", "Tue", "Wed", "Sun"), "08:00", "09:00"), "Mon-Wed, Sun 08:00-09:00"},
		"all days":            {weekly(everyDay, "08:00", "09:00"), "every day 08:00-09:00"},
		"end day":             {weeklyUntil(on("Fri"), "22:00", "Mon", "06:00"), "Fri 22:00 to Mon 06:00"},
		"monthly":             {monthly("Second", "Tue", "20:00", "23:00"), "second Tue of the month 20:00-23:00"},
		"last":                {monthly("Last", "Fri", "20:00", "02:00"), "last Fri of the month 20:00-02:00"},
		"cron":                {crontab("0 9 * * 1-5", "8h"), "cron 0 9 * * 1-5 for 8h"},
		"cron with spaces":    {crontab(" 0  9 * * 1-5", "8h"), "cron 0 9 * * 1-5 for 8h"},
		"once":                {once("2026-12-18T17:00:00+01:00", "2027-01-04T08:00:00+01:00"), "2026-12-18T17:00:00+01:00 to 2027-01-04T08:00:00+01:00"},
		"once, sub-second":    {once("2026-12-18T17:00:00.5Z", "2027-01-04T08:00:00Z"), "2026-12-18T17:00:00.5Z to 2027-01-04T08:00:00Z"},
		"nothing":             {v1alpha1.Window{}, "never"},
		"weekly without days": {weekly(nil, "", ""), "-"},
		"several lines":       {crontab("0 9 * *\r\n 1-5", "8h\n"), "cron 0 9 * * 1-5 for 8h"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := Describe(tc.window); got != tc.want {
				t.Errorf("Describe = %q, want %q", got, tc.want)
			}
		})
	}
}

// TestDescribeInstants: a window that was read from the API server carries the zone of the machine that read it.
func TestDescribeInstants(t *testing.T) {
	from, to := instant("2026-12-18T17:00:00+01:00").Local(), instant("2027-07-04T08:00:00+02:00").Local()
	w := onceBetween(from, to)
	if got, want := Describe(w), "2026-12-18T16:00:00Z to 2027-07-04T06:00:00Z"; got != want {
		t.Errorf("Describe = %q, want %q", got, want)
	}
	for zone, want := range map[string]string{
		"Europe/Berlin":    "2026-12-18T17:00:00+01:00 to 2027-07-04T08:00:00+02:00",
		"America/New_York": "2026-12-18T11:00:00-05:00 to 2027-07-04T02:00:00-04:00",
	} {
		if got := compile(t, w, zone).String(); got != want {
			t.Errorf("in %s: %q, want %q", zone, got, want)
		}
	}
	if !compile(t, w, "UTC").Open(time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)) {
		t.Error("closed in the middle of it")
	}
}

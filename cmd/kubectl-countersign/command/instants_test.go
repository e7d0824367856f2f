package command

import (
	"testing"
	"time"

	"github.com/countersign-dev/countersign/internal/window"
)

// TestParseInstant reads instants as people write them, in a zone whose clocks change on the next Sunday.
func TestParseInstant(t *testing.T) {
	berlin, err := window.LoadZone("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 3, 25, 12, 0, 0, 0, berlin) // a Wednesday
	tests := map[string]string{
		"2026-11-28T23:00:00+01:00": "2026-11-28T23:00:00+01:00",
		"2026-11-28T22:00:00Z":      "2026-11-28T22:00:00Z",
		"Sat 23:00":                 "2026-03-28T23:00:00+01:00",
		"saturday 23:00":            "2026-03-28T23:00:00+01:00",
		"Wed 12:00":                 "2026-04-01T12:00:00+02:00", // now is not next
		"Wed 12:01":                 "2026-03-25T12:01:00+01:00",
		"Sun 02:30":                 "2026-04-05T02:30:00+02:00", // the next Sunday skips it
		"23:00":                     "2026-03-25T23:00:00+01:00",
		"09:00":                     "2026-03-26T09:00:00+01:00",
		"+3h":                       "2026-03-25T15:00:00+01:00",
		"+30m":                      "2026-03-25T12:30:00+01:00",
		"+4d":                       "2026-03-29T13:00:00+02:00",
	}
	for text, want := range tests {
		got, err := parseInstant(text, now, berlin)
		if err != nil || got.Format(time.RFC3339) != want {
			t.Errorf("%q is %s, not %s: %v", text, got.Format(time.RFC3339), want, err)
		}
	}
	for _, text := range []string{"", "now", "Sat", "Xyz 23:00", "Sat 25:00", "Sat 23:00 CET", "+x", "2026-11-28", "3h", "S 23:00", "\u212a 23:00"} {
		if got, err := parseInstant(text, now, berlin); err == nil {
			t.Errorf("%q is %s", text, got)
		} else if exitCode(err) != exitUsage {
			t.Errorf("%q is not called a mistake in usage", text)
		}
	}
}

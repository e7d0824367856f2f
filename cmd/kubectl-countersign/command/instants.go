package command

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// instantHelp says which instants are understood.
const instantHelp = `write an instant such as 2026-11-28T23:00:00+01:00, a time of day such as "Sat 23:00" or 23:00, ` +
	"or a distance such as +3h"

var weekdays = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// parseInstant reads when something is to be judged. A time of day is the next such moment on the clocks of the zone.
func parseInstant(text string, now time.Time, zone *time.Location) (time.Time, error) {
	if ahead, ok := strings.CutPrefix(text, "+"); ok {
		d, err := parseSpan(ahead)
		if err != nil {
			return time.Time{}, usageError{fmt.Errorf("--at %q: %s", text, instantHelp)}
		}
		return now.Add(d), nil
	}
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at, nil
	}
	words := strings.Fields(text)
	day := -1
	if len(words) == 2 {
		name := strings.ToLower(words[0])
		day = slices.Index(weekdays, name[:min(len(weekdays[0]), len(name))])
		words = words[1:]
		if day < 0 {
			return time.Time{}, usageError{fmt.Errorf("--at %q: %s", text, instantHelp)}
		}
	}
	if len(words) == 1 {
		if clock, err := time.Parse("15:04", words[0]); err == nil {
			return nextShowing(now.In(zone), day, clock.Hour(), clock.Minute()), nil
		}
	}
	return time.Time{}, usageError{fmt.Errorf("--at %q: %s", text, instantHelp)}
}

// nextShowing is the next moment at which clocks show a time, on a day of the week or, with -1, on any. A day that skips it
// is passed over.
func nextShowing(now time.Time, weekday, hour, minute int) time.Time {
	const longest = 60 // days; no zone skips the same time of every week
	for n := range longest {
		at := time.Date(now.Year(), now.Month(), now.Day()+n, hour, minute, 0, 0, now.Location())
		shown := at.Hour() == hour && at.Minute() == minute
		if shown && at.After(now) && (weekday < 0 || at.Weekday() == time.Weekday(weekday)) {
			return at
		}
	}
	return now
}

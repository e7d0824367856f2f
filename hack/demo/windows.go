package main

import (
	"fmt"
	"time"
)

// zone is where the shop's clocks hang.
const zone = "Europe/Berlin"

// hours is a span on the wall clock that begins on a day of the week.
type hours struct {
	Day, Start, End string
}

// freeze is a span between two instants.
type freeze struct {
	From, To string
}

// openHours are open now and for two hours at least, clock changes aside: they begin with the hour before this one.
// It is arithmetic on the wall clock, as windows are, so neither midnight nor a clock change is special.
func openHours(now time.Time) hours { return hoursFrom(now, -1, 4) }

// laterHours open in three hours, or a little less.
func laterHours(now time.Time) hours { return hoursFrom(now, 3, 2) }

// hoursFrom begins so many hours after the current one and lasts for so many.
func hoursFrom(now time.Time, after, lasting int) hours {
	start := now.Hour() + after
	day := now.Weekday()
	switch {
	case start < 0:
		start, day = start+24, (day+6)%7
	case start >= 24:
		start, day = start-24, (day+1)%7
	}
	return hours{Day: day.String()[:3], Start: clock(start), End: clock((start + lasting) % 24)}
}

func clock(hour int) string { return fmt.Sprintf("%02d:00", hour) }

// freezeAround holds now and ends in an hour, within the hours that are open now.
func freezeAround(now time.Time) freeze {
	now = now.Truncate(time.Minute)
	return freeze{From: now.Add(-10 * time.Minute).Format(time.RFC3339), To: now.Add(time.Hour).Format(time.RFC3339)}
}

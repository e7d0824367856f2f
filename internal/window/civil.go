package window

import "time"

const (
	minutesPerDay = 24 * 60
	daysPerWeek   = 7
	secondsPerDay = 24 * 60 * 60
)

// day is a day of the calendar on the wall, counted from 1970-01-01. It belongs to no zone, so every day has
// 1440 minutes and arithmetic on days is exact.
type day int64

// civilAt reads the wall clock of a zone at an instant: the day and the minute of that day, from 0 for 00:00
// to 1439. Seconds are dropped, because windows begin and end on whole minutes of the wall clock.
func civilAt(t time.Time, zone *time.Location) (day, int) {
	return civilOf(t.Unix() + offsetAt(t, zone))
}

// civilOf splits what the wall clock shows, in seconds since it showed the start of 1970-01-01.
func civilOf(seconds int64) (day, int) {
	d, s := seconds/secondsPerDay, seconds%secondsPerDay
	if s < 0 {
		d, s = d-1, s+secondsPerDay
	}
	return day(d), int(s / 60)
}

// offsetAt is what a zone's wall clock is ahead of UTC at an instant, in seconds.
func offsetAt(t time.Time, zone *time.Location) int64 {
	_, offset := t.In(zone).Zone()
	return int64(offset)
}

// instantOf is when the wall clock, running offset seconds ahead of UTC, shows minute m of day d.
func instantOf(d day, m int, offset int64) time.Time {
	return time.Unix(int64(d)*secondsPerDay+int64(m)*60-offset, 0)
}

// weekday of the day. 1970-01-01 was a Thursday; 11 is that Thursday's 4 plus a week, for days before it.
func (d day) weekday() time.Weekday {
	return time.Weekday((d%daysPerWeek + 11) % daysPerWeek)
}

// date is the day in the Gregorian calendar. UTC has no gaps, so it carries any calendar day.
func (d day) date() (time.Month, int) {
	_, month, dayOfMonth := time.Unix(int64(d)*secondsPerDay, 0).UTC().Date()
	return month, dayOfMonth
}

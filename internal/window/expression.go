package window

import "time"

// wildcard is set by the parser in the field of an expression that holds a * or ?.
const wildcard = 1 << 63

// longestMonth is how many days a month ever has, by its number.
var longestMonth = [13]int{
	time.January: 31, time.February: 29, time.March: 31, time.April: 30, time.May: 31, time.June: 30,
	time.July: 31, time.August: 31, time.September: 30, time.October: 31, time.November: 30, time.December: 31,
}

// expression is a parsed cron schedule. Each field has bit n set where it matches n, and perhaps wildcard.
type expression struct {
	minute, hour, dayOfMonth, month, dayOfWeek uint64
}

// starts are the minutes of a day at which the window starts, on days that match.
func (e *expression) starts() *minutes {
	s := &minutes{}
	for m := range minutesPerDay {
		if e.hour>>(m/60)&1 != 0 && e.minute>>(m%60)&1 != 0 {
			s.add(m)
		}
	}
	return s
}

// has reports whether the schedule matches some time of the day. Where both days are restricted one match is
// enough, as in crontab and CronJob.
func (e *expression) has(d day) bool {
	onWeekday := e.dayOfWeek>>d.weekday()&1 != 0
	if !onWeekday && !e.eitherDay() {
		return false
	}
	month, date := d.date()
	if e.month>>month&1 == 0 {
		return false
	}
	onDate := e.dayOfMonth>>date&1 != 0
	if e.eitherDay() {
		return onDate || onWeekday
	}
	return onDate && onWeekday
}

func (e *expression) eitherDay() bool {
	return (e.dayOfMonth|e.dayOfWeek)&wildcard == 0
}

// possible reports whether some day ever matches. Where both days are restricted, the day of the week matches
// alone; where one is not, it matches every day, so that only the date and the month can exclude each other.
func (e *expression) possible() bool {
	if e.eitherDay() {
		return true
	}
	for month, days := range longestMonth {
		if month > 0 && e.month>>month&1 != 0 && e.dayOfMonth&(1<<(days+1)-1) != 0 {
			return true
		}
	}
	return false
}

package window

import (
	"time"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

// week holds the minutes at which a weekly window is open, for each time.Weekday. Every week is the same on
// the wall clock, so a table of one says it all.
type week [daysPerWeek]minutes

func (w *week) open(d day, m int) bool {
	return w[d.weekday()].has(m)
}

func (w *week) addTo(s *minutes, d day) {
	s.union(&w[d.weekday()])
}

// add adds a span of so many minutes that begins at a minute of a weekday and may run over the week's end.
func (w *week) add(from time.Weekday, start, lasting int) {
	for i := range lasting {
		m := int(from)*minutesPerDay + start + i
		w[m/minutesPerDay%daysPerWeek].add(m % minutesPerDay)
	}
}

func compileWeekly(w *v1alpha1.WeeklyWindow, at *field.Path) (form, field.ErrorList) {
	days, errs := parseDays(w.Days, at.Child("days"))
	start, problems := parseTimeOfDay(w.Start, at.Child("start"))
	errs = append(errs, problems...)
	end, problems := parseTimeOfDay(w.End, at.Child("end"))
	errs = append(errs, problems...)
	var endDay time.Weekday
	if w.EndDay != "" {
		endDay, problems = parseWeekday(w.EndDay, at.Child("endDay"))
		errs = append(errs, problems...)
	}
	if len(errs) > 0 {
		return nil, errs
	}
	table := &week{}
	for _, d := range days {
		lasting := length(start, end)
		if w.EndDay != "" {
			lasting = lengthUntil(d, start, endDay, end)
		}
		table.add(d, start, lasting)
	}
	return table, nil
}

// lengthUntil is how many minutes pass from the start to the first end on endDay after it, from 1 to 10080: a
// window from Fri 22:00 to Fri 22:00 lasts a week.
func lengthUntil(day time.Weekday, start int, endDay time.Weekday, end int) int {
	days := (int(endDay-day) + daysPerWeek) % daysPerWeek
	lasting := days*minutesPerDay + end - start
	if lasting <= 0 {
		lasting += daysPerWeek * minutesPerDay
	}
	return lasting
}

func parseDays(days []v1alpha1.Weekday, at *field.Path) ([]time.Weekday, field.ErrorList) {
	switch {
	case len(days) == 0:
		return nil, field.ErrorList{field.Required(at, "write the days on which the window starts, such as [Mon, Tue]")}
	case len(days) > daysPerWeek:
		return nil, field.ErrorList{field.TooMany(at, len(days), daysPerWeek)}
	}
	var parsed []time.Weekday
	var errs field.ErrorList
	seen := map[v1alpha1.Weekday]bool{}
	for i, d := range days {
		weekday, problems := parseWeekday(d, at.Index(i))
		if seen[d] {
			problems = field.ErrorList{field.Duplicate(at.Index(i), d)}
		}
		seen[d] = true
		parsed, errs = append(parsed, weekday), append(errs, problems...)
	}
	return parsed, errs
}

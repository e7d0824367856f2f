package window

import (
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

// weeksOfMonth are the weeks of a month by their number, but for the last one, which has none.
var weeksOfMonth = []v1alpha1.WeekOfMonth{
	v1alpha1.WeekFirst, v1alpha1.WeekSecond, v1alpha1.WeekThird, v1alpha1.WeekFourth, v1alpha1.WeekLast,
}

// dayOfMonth is one day of every month, such as the second Tuesday.
type dayOfMonth struct {
	week    v1alpha1.WeekOfMonth
	weekday time.Weekday
}

func (r dayOfMonth) has(d day) bool {
	if d.weekday() != r.weekday {
		return false
	}
	month, date := d.date()
	if r.week == v1alpha1.WeekLast {
		following, _ := (d + daysPerWeek).date()
		return following != month
	}
	return r.week == weeksOfMonth[(date-1)/daysPerWeek]
}

func compileMonthly(w *v1alpha1.MonthlyWindow, at *field.Path) (form, field.ErrorList) {
	var errs field.ErrorList
	if !slices.Contains(weeksOfMonth, w.Week) {
		errs = append(errs, field.NotSupported(at.Child("week"), w.Week, weeksOfMonth))
	}
	weekday, problems := parseWeekday(w.Day, at.Child("day"))
	errs = append(errs, problems...)
	start, problems := parseTimeOfDay(w.Start, at.Child("start"))
	errs = append(errs, problems...)
	end, problems := parseTimeOfDay(w.End, at.Child("end"))
	errs = append(errs, problems...)
	if len(errs) > 0 {
		return nil, errs
	}
	starts := &minutes{}
	starts.add(start)
	return newRecurring(dayOfMonth{week: w.Week, weekday: weekday}, starts, length(start, end)), nil
}

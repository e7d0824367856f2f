package window

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

// Describe says in plain words and on one line when a window is open, such as "Mon-Thu 22:00-06:00". It takes
// any window; what it says of one that does not compile need not make sense. Instants are shown with the offset
// they carry, or in UTC where that is the machine's: the String of a Schedule shows them in the policy's zone.
func Describe(w v1alpha1.Window) string {
	return describe(w, nil)
}

// describe shows instants in the zone, where there is one.
func describe(w v1alpha1.Window, zone *time.Location) string {
	return strings.Join(strings.Fields(describeForm(w, zone)), " ")
}

func describeForm(w v1alpha1.Window, zone *time.Location) string {
	switch {
	case w.Weekly != nil:
		return describeWeekly(w.Weekly)
	case w.Monthly != nil:
		return fmt.Sprintf("%s %s of the month %s-%s",
			strings.ToLower(string(w.Monthly.Week)), w.Monthly.Day, w.Monthly.Start, w.Monthly.End)
	case w.Cron != nil:
		return fmt.Sprintf("cron %s for %s", w.Cron.Schedule, w.Cron.Duration)
	case w.Once != nil:
		return describeInstant(w.Once.From.Time, zone) + " to " + describeInstant(w.Once.To.Time, zone)
	default:
		return "never"
	}
}

func describeWeekly(w *v1alpha1.WeeklyWindow) string {
	days := describeDays(w.Days)
	if w.EndDay == "" {
		return fmt.Sprintf("%s %s-%s", days, w.Start, w.End)
	}
	return fmt.Sprintf("%s %s to %s %s", days, w.Start, w.EndDay, w.End)
}

// describeDays lists days from Monday on, three and more in a row as a range.
func describeDays(days []v1alpha1.Weekday) string {
	var parts []string
	for i := 0; i < len(weekdays); {
		n := 0
		for i+n < len(weekdays) && slices.Contains(days, weekdays[i+n]) {
			n++
		}
		switch {
		case n == len(weekdays):
			return "every day"
		case n > 2:
			parts = append(parts, string(weekdays[i]+"-"+weekdays[i+n-1]))
		default:
			for _, d := range weekdays[i : i+n] {
				parts = append(parts, string(d))
			}
		}
		i += n + 1
	}
	return strings.Join(parts, ", ")
}

func describeInstant(t time.Time, zone *time.Location) string {
	switch {
	case zone != nil:
		t = t.In(zone)
	case t.Location().String() == "Local":
		t = t.UTC()
	}
	return t.Format(time.RFC3339Nano)
}

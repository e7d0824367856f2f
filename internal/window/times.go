package window

import (
	"fmt"
	"regexp"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

const (
	minDuration = time.Minute
	maxDuration = 7 * 24 * time.Hour
)

// weekdays are the days of the week in the order in which people list them.
var weekdays = []v1alpha1.Weekday{"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"}

// durationForm is the Gateway API's form without milliseconds, which the CRD's schema asks for as well.
var durationForm = regexp.MustCompile(`^([0-9]{1,5}(h|m|s)){1,3}$`)

func parseWeekday(w v1alpha1.Weekday, at *field.Path) (time.Weekday, field.ErrorList) {
	i := slices.Index(weekdays, w)
	if i < 0 {
		return 0, field.ErrorList{field.NotSupported(at, w, weekdays)}
	}
	return time.Weekday((i + 1) % daysPerWeek), nil
}

// parseTimeOfDay reads a time such as "22:00" as the minute of the day.
func parseTimeOfDay(t v1alpha1.TimeOfDay, at *field.Path) (int, field.ErrorList) {
	if t == "" {
		return 0, field.ErrorList{field.Required(at, `write a time of day such as "22:00"`)}
	}
	if t == "24:00" {
		return 0, field.ErrorList{field.Invalid(at, t, `write "00:00": as an end it is the midnight after the start`)}
	}
	var hour, minute int
	ok := len(t) == 5 && t[2] == ':' && twoDigits(string(t[:2]), 23, &hour) && twoDigits(string(t[3:]), 59, &minute)
	if !ok {
		return 0, field.ErrorList{field.Invalid(at, t,
			`not a time of day from "00:00" to "23:59": write hours and minutes in two digits each, such as "09:00"`)}
	}
	return hour*60 + minute, nil
}

func twoDigits(s string, limit int, into *int) bool {
	tens, ones := int(s[0])-'0', int(s[1])-'0'
	*into = tens*10 + ones
	return 0 <= tens && tens <= 9 && 0 <= ones && ones <= 9 && *into <= limit
}

// parseDuration reads how long a window stays open, in minutes, from 1 to 10080. Seconds are accepted where
// they add up to whole minutes.
func parseDuration(text v1alpha1.Duration, at *field.Path) (int, field.ErrorList) {
	if text == "" {
		return 0, field.ErrorList{field.Required(at, `write how long the window stays open, such as "8h"`)}
	}
	d, err := time.ParseDuration(string(text))
	switch {
	case err != nil || !durationForm.MatchString(string(text)):
		return 0, field.ErrorList{field.Invalid(at, text, `not a duration: write hours and minutes, such as "8h" or "1h30m"`)}
	case d < minDuration || d > maxDuration:
		return 0, field.ErrorList{field.Invalid(at, text, `a window stays open for 1m to 168h (7 days)`)}
	case d%time.Minute != 0:
		return 0, field.ErrorList{field.Invalid(at, text,
			fmt.Sprintf("windows end on whole minutes: write %dm or %dm", d/time.Minute, d/time.Minute+1))}
	default:
		return int(d / time.Minute), nil
	}
}

// length is how many minutes pass from one time of day to the next time that the wall clock shows another,
// from 1 to 1440.
func length(start, end int) int {
	if end <= start {
		end += minutesPerDay
	}
	return end - start
}

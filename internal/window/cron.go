package window

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

// maxSchedule bounds the length of a cron schedule, in bytes.
const maxSchedule = 128

func compileCron(w *v1alpha1.CronWindow, at *field.Path) (form, field.ErrorList) {
	e, errs := parseSchedule(w.Schedule, at.Child("schedule"))
	lasting, problems := parseDuration(w.Duration, at.Child("duration"))
	errs = append(errs, problems...)
	if len(errs) > 0 {
		return nil, errs
	}
	return newRecurring(e, e.starts(), lasting), nil
}

// parseSchedule reads a schedule in the five fields of cron. Only the bits of the fields come from the library;
// when they match is decided here, by the wall clock.
func parseSchedule(text string, at *field.Path) (*expression, field.ErrorList) {
	if strings.TrimSpace(text) == "" {
		return nil, field.ErrorList{field.Required(at, `write the five fields of cron, such as "0 9 * * 1-5"`)}
	}
	if len(text) > maxSchedule {
		return nil, field.ErrorList{field.TooLongMaxLength(at, text, maxSchedule)}
	}
	if problem := checkSchedule(text); problem != "" {
		return nil, field.ErrorList{field.Invalid(at, text, problem)}
	}
	var errs field.ErrorList
	e := &expression{}
	into := []*uint64{&e.minute, &e.hour, &e.dayOfMonth, &e.month, &e.dayOfWeek}
	for i, item := range strings.Fields(text) {
		bits, err := cronFields[i].parse(item)
		if err != nil {
			errs = append(errs, field.Invalid(at, text, err.Error()))
		}
		*into[i] = bits
	}
	if len(errs) == 0 && !e.possible() {
		errs = append(errs, field.Invalid(at, text,
			"no month of the schedule has such a day, so that the window would never open: write a day that exists"))
	}
	return e, errs
}

// checkSchedule says what is wrong with a schedule before its fields are looked at.
func checkSchedule(text string) string {
	const five = "minute, hour, day of month, month and day of week"
	n := len(strings.Fields(text))
	switch {
	case strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }):
		return "write plain ASCII characters, and spaces between the fields"
	case strings.Contains(strings.ToUpper(text), "TZ="):
		return "a schedule has no time zone of its own: write the zone as timeZone of the policy"
	case strings.Contains(text, "@"):
		return `names such as @daily are not accepted: write the five fields, such as "0 0 * * *"`
	case n == 6 || n == 7:
		return fmt.Sprintf("%d fields: write five, %s, without seconds and years", n, five)
	case n != len(cronFields):
		return fmt.Sprintf("%d fields: write five, %s", n, five)
	default:
		return ""
	}
}

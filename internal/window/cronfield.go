package window

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/robfig/cron/v3"
)

// cronField is one of the five fields of a cron schedule.
type cronField struct {
	name   string
	option cron.ParseOption
	bits   func(*cron.SpecSchedule) uint64
	values int    // how many the field can take
	hint   string // what it can take, in words
}

var cronFields = []cronField{
	{
		"minute", cron.Minute, func(s *cron.SpecSchedule) uint64 { return s.Minute }, 60,
		"minutes are 0-59",
	}, {
		"hour", cron.Hour, func(s *cron.SpecSchedule) uint64 { return s.Hour }, 24,
		"hours are 0-23, and a range over midnight is written as two, such as 22-23,0-5",
	}, {
		"day of month", cron.Dom, func(s *cron.SpecSchedule) uint64 { return s.Dom }, 31,
		"days of the month are 1-31; for days such as the last Friday write a monthly window",
	}, {
		"month", cron.Month, func(s *cron.SpecSchedule) uint64 { return s.Month }, 12,
		"months are 1-12 or JAN-DEC, and a range over the new year is written as two, such as 11-12,1-2",
	}, {
		"day of week", cron.Dow, func(s *cron.SpecSchedule) uint64 { return s.Dow }, 7,
		"days of the week are 0-6 or SUN-SAT from Sunday on, and a range over Sunday is written as two, such as 5-6,0; " +
			"for days such as the last Friday write a monthly window",
	},
}

// parse reads the field as bits. The error names the field and says what it can be.
func (f cronField) parse(text string) (uint64, error) {
	for item := range strings.SplitSeq(text, ",") {
		if err := f.check(item); err != nil {
			return 0, fmt.Errorf("%s %q: %w", f.name, text, err)
		}
	}
	s, err := parseCron(f.option, text)
	if err != nil {
		return 0, fmt.Errorf("%s %q: %s; %s", f.name, text, cause(err), f.hint)
	}
	return f.bits(s), nil
}

// check refuses items that the library reads as something else than they say: an empty one as nothing, "*-5"
// as "*", and "*/90" in the minutes as "0".
func (f cronField) check(item string) error {
	values, step, _ := strings.Cut(item, "/")
	ends := strings.Split(values, "-")
	n, err := strconv.Atoi(step)
	switch {
	case item == "":
		return errors.New("nothing before or after a comma: write the value, or no comma")
	case len(ends) > 1 && (ends[0] == "*" || ends[0] == "?"):
		return fmt.Errorf("%s is not a range: write it with a number on both sides, or %s alone", values, ends[0])
	case strings.Contains(item, "+"):
		return errors.New("write numbers without a sign")
	case err == nil && n > f.values:
		return fmt.Errorf("steps of %d are longer than the whole field, which begins anew after %d: write the values in full",
			n, f.values)
	case f.option == cron.Dow && slices.Contains(ends, "7"):
		return errors.New("there is no day 7: write 0 or SUN for Sunday, and 5-6,0 for a range that ends on it")
	default:
		return nil
	}
}

// parseCron hands one field to the library, whose parser panics on some inputs. Those known are refused before.
func parseCron(option cron.ParseOption, text string) (s *cron.SpecSchedule, err error) {
	defer func() {
		if recover() != nil {
			s, err = nil, errors.New("it cannot be read")
		}
	}()
	parsed, err := cron.NewParser(option).Parse(text)
	if err != nil {
		return nil, err
	}
	s, ok := parsed.(*cron.SpecSchedule)
	if !ok {
		return nil, errors.New("it is not a field of numbers")
	}
	return s, nil
}

// cause is the library's error without the repetitions in it.
func cause(err error) string {
	text, _, _ := strings.Cut(err.Error(), ": ")
	if value, ok := strings.CutPrefix(text, "failed to parse int from "); ok {
		return strconv.Quote(value) + " is not a number"
	}
	return text
}

package window

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

// at is the field below which tests compile windows.
var at = field.NewPath("spec", "windows").Index(0)

// now is when the tests that need some present take place.
var now = instant("2026-11-22T12:00:00Z")

func instant(text string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		panic(err)
	}
	return t
}

func zoneNamed(tb testing.TB, name string) *time.Location {
	tb.Helper()
	zone, err := LoadZone(name)
	if err != nil {
		tb.Fatalf("loading zone %s: %v", name, err)
	}
	return zone
}

func compile(tb testing.TB, w v1alpha1.Window, zone string) *Schedule {
	tb.Helper()
	s, errs := Compile(w, zoneNamed(tb, zone), at)
	if len(errs) > 0 {
		tb.Fatalf("compiling %s: %v", Describe(w), errs.ToAggregate())
	}
	return s
}

// allow is a calendar of allowed windows in one zone.
func allow(tb testing.TB, zone string, windows ...v1alpha1.Window) *Calendar {
	tb.Helper()
	c := &Calendar{}
	for _, w := range windows {
		c.Allowed = append(c.Allowed, compile(tb, w, zone))
	}
	return c
}

// but freezes a calendar during windows.
func (c *Calendar) but(tb testing.TB, zone string, windows ...v1alpha1.Window) *Calendar {
	tb.Helper()
	for _, w := range windows {
		c.Frozen = append(c.Frozen, compile(tb, w, zone))
	}
	return c
}

var (
	everyDay     = []v1alpha1.Weekday{"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"}
	weekdaysOnly = everyDay[:5]
)

func on(days ...v1alpha1.Weekday) []v1alpha1.Weekday { return days }

func weekly(days []v1alpha1.Weekday, start, end v1alpha1.TimeOfDay) v1alpha1.Window {
	return v1alpha1.Window{Name: "weekly", Weekly: &v1alpha1.WeeklyWindow{Days: days, Start: start, End: end}}
}

func weeklyUntil(days []v1alpha1.Weekday, start v1alpha1.TimeOfDay, endDay v1alpha1.Weekday, end v1alpha1.TimeOfDay) v1alpha1.Window {
	w := weekly(days, start, end)
	w.Weekly.EndDay = endDay
	return w
}

func monthly(week v1alpha1.WeekOfMonth, day v1alpha1.Weekday, start, end v1alpha1.TimeOfDay) v1alpha1.Window {
	return v1alpha1.Window{Name: "monthly", Monthly: &v1alpha1.MonthlyWindow{Week: week, Day: day, Start: start, End: end}}
}

func crontab(schedule string, duration v1alpha1.Duration) v1alpha1.Window {
	return v1alpha1.Window{Name: "cron", Cron: &v1alpha1.CronWindow{Schedule: schedule, Duration: duration}}
}

func once(from, to string) v1alpha1.Window {
	return onceBetween(instant(from), instant(to))
}

func onceBetween(from, to time.Time) v1alpha1.Window {
	return v1alpha1.Window{Name: "once", Once: &v1alpha1.OnceWindow{From: metav1.Time{Time: from}, To: metav1.Time{Time: to}}}
}

func named(name v1alpha1.WindowName, w v1alpha1.Window) v1alpha1.Window {
	w.Name = name
	return w
}

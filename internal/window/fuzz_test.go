package window

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

// maxCompileTime bounds how long reading a window may take, whatever it says.
const maxCompileTime = 50 * time.Millisecond

// compileInTime compiles a window three times at most, so that only what is slow every time is called slow.
func compileInTime(t *testing.T, w v1alpha1.Window, zone *time.Location) (*Schedule, field.ErrorList) {
	t.Helper()
	var took time.Duration
	for range 3 {
		before := time.Now()
		s, errs := Compile(w, zone, at)
		if took = time.Since(before); took < maxCompileTime {
			return s, errs
		}
	}
	t.Fatalf("%+v: compiling takes %v", w, took)
	return nil, nil
}

// checkCompiled checks what holds of every window: it compiles or has problems, never both, and what compiles
// can open.
func checkCompiled(t *testing.T, w v1alpha1.Window) {
	t.Helper()
	for _, name := range []string{"Europe/Berlin", "Asia/Beirut"} {
		s, errs := compileInTime(t, w, zoneNamed(t, name))
		if (s == nil) == (len(errs) == 0) {
			t.Fatalf("%+v: %v and %v", w, s, errs)
		}
		if s == nil {
			checkProblems(t, errs)
			continue
		}
		from := now
		if s.once != nil {
			from = s.once.from.Add(-1)
		}
		c := &Calendar{Allowed: []*Schedule{s}}
		if _, ok := c.NextOpen(from); !ok && !c.Open(from) {
			t.Fatalf("%s compiles but does not open after %v", s, from)
		}
		checkNext(t, c, from)
	}
	if strings.ContainsAny(Describe(w), "\n\r") {
		t.Fatalf("%q has several lines", Describe(w))
	}
}

// checkProblems checks that each problem is at a field of the window and says something.
func checkProblems(t *testing.T, errs field.ErrorList) {
	t.Helper()
	for _, err := range errs {
		if !strings.HasPrefix(err.Field, at.String()) || err.ErrorBody() == "" {
			t.Fatalf("%v does not say what is wrong where", err)
		}
		if strings.Contains(err.Detail, "panic") || strings.ContainsAny(err.Detail, "\n\r") {
			t.Fatalf("%v is no message for people", err)
		}
	}
}

func FuzzCompileCron(f *testing.F) {
	for _, schedule := range []string{
		"0 9 * * 1-5", "*/15 8-18/2 1,15 JAN-MAR sun", "0 0 29 2 *", "0 0 1-7 * 1", "? ? ? ? ?", "TZ=UTC", "TZ=", "CRON_TZ=UTC",
		"TZ=UTC * * * * *", "@every -1h", "@daily", "@", "0 0 31 2 *", "0 0 30 2 *", "0 0 30,31 2,2 ?", "60 * * * *", "* * * * 7",
		"*-5 * * * *", "*/99 * * * *", "1,,2 * * * *", ", , , , ,", "0 22-6 * * *", "* * L * *", "* * * * 5#2", "０ 0 * * *", "\u00a0* * * * *",
		"* * * * \u0663", "9223372036854775807/9223372036854775807 * * * *", "-1 * * * *", "1-2-3/4/5 * * * *", "\x00", strings.Repeat("*", 129),
	} {
		f.Add(schedule, "1h")
		f.Add(schedule, "168h")
	}
	f.Add("0", "\r")
	for _, duration := range []string{"", "1m", "59s", "90s", "168h1m", "99999h99999h99999h", "-1h", "1.5h", "9223372036854775807ns", "１h"} {
		f.Add("*/2 * * * *", duration)
	}
	f.Fuzz(func(t *testing.T, schedule, duration string) {
		checkCompiled(t, crontab(schedule, v1alpha1.Duration(duration)))
	})
}

func FuzzCompileWindow(f *testing.F) {
	f.Add(uint8(1), "Mon,Tue", "22:00", "", "06:00", "", "", "", int64(0), int64(0))
	f.Add(uint8(1), "Fri", "22:00", "Mon", "06:00", "", "", "", int64(0), int64(0))
	f.Add(uint8(1), "Sun", "00:30", "Sun", "00:30", "", "", "", int64(0), int64(0))
	f.Add(uint8(1), "Sun", "00:10", "", "00:50", "", "", "", int64(0), int64(0))
	f.Add(uint8(2), "Tue", "20:00", "", "23:00", "Second", "", "", int64(0), int64(0))
	f.Add(uint8(2), "Sun", "02:10", "", "02:11", "Last", "", "", int64(0), int64(0))
	f.Add(uint8(4), "", "", "", "", "", "10 2 25-31 3 *", "1m", int64(0), int64(0))
	f.Add(uint8(2), "0", "0", "", "0", "\r", "", "", int64(0), int64(0))
	f.Add(uint8(8), "", "", "", "", "", "", "", int64(1797000000), int64(1797000001))
	f.Add(uint8(8), "", "", "", "", "", "", "", int64(-1<<63), int64(1<<63-1))
	f.Add(uint8(15), "Mon,Mon,X", "24:00", "So", "7", "Fifth", "TZ=UTC", "-1h", int64(1), int64(1))
	f.Fuzz(func(t *testing.T, forms uint8, days, start, endDay, end, week, schedule, duration string, from, to int64) {
		w := weeklyUntil(nil, v1alpha1.TimeOfDay(start), v1alpha1.Weekday(endDay), v1alpha1.TimeOfDay(end))
		for day := range strings.SplitSeq(days, ",") {
			w.Weekly.Days = append(w.Weekly.Days, v1alpha1.Weekday(day))
		}
		first := w.Weekly.Days[0]
		w.Monthly = monthly(v1alpha1.WeekOfMonth(week), first, w.Weekly.Start, w.Weekly.End).Monthly
		w.Cron = crontab(schedule, v1alpha1.Duration(duration)).Cron
		w.Once = onceBetween(time.Unix(from, 0), time.Unix(to, 0)).Once
		checkCompiled(t, keep(w, forms))
	})
}

// keep drops the forms of a window whose bit is not set.
func keep(w v1alpha1.Window, forms uint8) v1alpha1.Window {
	if forms&1 == 0 {
		w.Weekly = nil
	}
	if forms&2 == 0 {
		w.Monthly = nil
	}
	if forms&4 == 0 {
		w.Cron = nil
	}
	if forms&8 == 0 {
		w.Once = nil
	}
	return w
}

func FuzzLoadZone(f *testing.F) {
	for _, name := range []string{
		"", "UTC", "Local", "local", "localtime", "Europe/Berlin", "europe/berlin", "right/UTC", "posix/UTC", "../etc/passwd", "Etc/GMT+1",
		"/etc/localtime", "Europe/", "//", "zone.tab", "tzdata.zi", ".", "A/../../b", "Ünïcode/Ort", "UTC\x00", "TZ=UTC", strings.Repeat("A", 100),
	} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		zone, err := LoadZone(name)
		if (zone == nil) == (err == nil) {
			t.Fatalf("LoadZone(%q) = %v, %v", name, zone, err)
		}
		if err != nil {
			return
		}
		if zone.String() != name || strings.EqualFold(name, "Local") || strings.Contains(name, "..") || strings.HasPrefix(name, "/") {
			t.Fatalf("LoadZone(%q) = %v", name, zone)
		}
		checkNext(t, &Calendar{Allowed: []*Schedule{compile(t, weekly(on("Mon"), "09:00", "17:00"), name)}}, now)
	})
}

// FuzzNext asks calendars of random windows at any instant. The answers hold from 1973, when the last offset with
// seconds was gone, as long as years can be written.
func FuzzNext(f *testing.F) {
	for _, seconds := range []int64{0, 1 << 30, 253000000000, -1 << 40, 1797000000, 1<<63 - 1, -1 << 63} {
		f.Add(uint64(1), seconds, int64(999999999))
	}
	f.Fuzz(func(t *testing.T, seed uint64, seconds, nanoseconds int64) {
		u := time.Unix(seconds, nanoseconds)
		c, other := randomCalendar(t, seed), randomCalendar(t, seed+1)
		both, ok := NextAllOpen(u, c, other)
		if year := u.UTC().Year(); year < 1973 || year > 9980 {
			_, _ = c.NextOpen(u)
			_, _ = c.NextClose(u)
			return
		}
		checkNext(t, c, u)
		if ok && (both.Before(u) || !c.Open(both) || !other.Open(both)) {
			t.Fatalf("NextAllOpen(%v) = %v, which is before it, or not open", u, both)
		}
		if ok && both.After(u) && c.Open(both.Add(-1)) && other.Open(both.Add(-1)) {
			t.Fatalf("NextAllOpen(%v) = %v, which is late", u, both)
		}
	})
}

func randomCalendar(t *testing.T, seed uint64) *Calendar {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 0))
	zone, from, to := pick(r, zonesOfInterest...), now.AddDate(-1, 0, 0), now.AddDate(1, 0, 0)
	return allow(t, zone, randomWindows(r, from, to, 0, 3)...).but(t, zone, randomWindows(r, from, to, 0, 2)...)
}

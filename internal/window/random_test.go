package window

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

// zonesOfInterest change their clocks in every way there is, or not at all.
var zonesOfInterest = []string{
	"UTC", "Europe/Berlin", "America/New_York", "Asia/Beirut", "Australia/Lord_Howe", "Africa/Cairo", "America/Santiago",
	"Africa/Casablanca", "Europe/Dublin", "Pacific/Auckland", "Pacific/Chatham", "Asia/Kathmandu", "Asia/Gaza",
	"America/Havana", "America/Nuuk", "America/St_Johns", "Pacific/Kiritimati", "Antarctica/Troll", "Asia/Tehran",
}

// newRand is a source of random numbers whose seed is printed, and taken from WINDOW_SEED to repeat a run.
func newRand(tb testing.TB) *rand.Rand {
	tb.Helper()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("WINDOW_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			tb.Fatal(err)
		}
	}
	tb.Logf("WINDOW_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

// randomInstant is to the nanosecond, and now and then a whole minute or hour.
func randomInstant(r *rand.Rand, from, to time.Time) time.Time {
	t := from.Add(time.Duration(r.Int64N(int64(to.Sub(from)))))
	if whole := t.Truncate(pick(r, time.Nanosecond, time.Nanosecond, time.Second, time.Minute, time.Hour)); !whole.Before(from) {
		return whole
	}
	return t
}

func randomTime(r *rand.Rand) v1alpha1.TimeOfDay {
	minute := r.IntN(minutesPerDay)
	if r.IntN(2) == 0 {
		minute = pick(r, 0, 60, 90, 120, 150, 180, 1380, 1439) // near the changes of clocks
	}
	return v1alpha1.TimeOfDay(fmt.Sprintf("%02d:%02d", minute/60, minute%60))
}

func randomDays(r *rand.Rand) []v1alpha1.Weekday {
	days := slices.Clone(everyDay)
	r.Shuffle(len(days), func(i, j int) { days[i], days[j] = days[j], days[i] })
	return days[:1+r.IntN(7)]
}

// randomWindow is of any form and compiles.
func randomWindow(r *rand.Rand, from, to time.Time) v1alpha1.Window {
	for {
		w := randomCandidate(r, from, to)
		if _, errs := Compile(w, time.UTC, nil); len(errs) == 0 {
			return w
		}
	}
}

func randomCandidate(r *rand.Rand, from, to time.Time) v1alpha1.Window {
	switch r.IntN(8) {
	case 0, 1:
		return weekly(randomDays(r), randomTime(r), randomTime(r))
	case 2:
		return weeklyUntil(randomDays(r), randomTime(r), pick(r, everyDay...), randomTime(r))
	case 3:
		return monthly(pick(r, weeksOfMonth...), pick(r, everyDay...), randomTime(r), randomTime(r))
	case 4:
		start := randomInstant(r, from, to)
		return onceBetween(start, start.Add(time.Duration(r.Int64N(int64(time.Hour)<<r.IntN(12)))))
	default:
		return crontab(randomSchedule(r), randomDuration(r))
	}
}

func randomDuration(r *rand.Rand) v1alpha1.Duration {
	return v1alpha1.Duration(fmt.Sprintf("%dm", pick(r, 1+r.IntN(120), 1+r.IntN(1440), 1+r.IntN(10080), 10080)))
}

func randomSchedule(r *rand.Rand) string {
	fields := []string{
		pick(r, "0", "30", "*/7", "*/15", "*", "59", "10-20", "5/25", strconv.Itoa(r.IntN(60))),
		pick(r, "0", "2", "*", "*/5", "22-23,0-5", "8-18", "23", strconv.Itoa(r.IntN(24))),
		pick(r, "*", "*", "*", "?", "1-7", "*/2", "29", "31", "28-31", strconv.Itoa(1+r.IntN(31))),
		pick(r, "*", "*", "*", "1-6", "3,10,11", "FEB", strconv.Itoa(1+r.IntN(12))),
		pick(r, "*", "*", "1-5", "SUN", "*/2", "0,6", strconv.Itoa(r.IntN(7))),
	}
	return strings.Join(fields, " ")
}

// randomWindows are from least to most windows.
func randomWindows(r *rand.Rand, from, to time.Time, least, most int) []v1alpha1.Window {
	var windows []v1alpha1.Window
	for range least + r.IntN(most-least+1) {
		windows = append(windows, randomWindow(r, from, to))
	}
	return windows
}

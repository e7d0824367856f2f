package window

import (
	"testing"
	"time"
)

func TestDay(t *testing.T) {
	for d := day(-200_000); d < 200_000; d += 13 {
		want := time.Date(1970, 1, 1+int(d), 0, 0, 0, 0, time.UTC)
		month, date := d.date()
		if d.weekday() != want.Weekday() || month != want.Month() || date != want.Day() {
			t.Fatalf("day %d: %s %d %s, want %s", d, d.weekday(), date, month, want.Format("Mon 2 January"))
		}
	}
}

func TestCivilOf(t *testing.T) {
	tests := map[string]struct {
		seconds int64
		day     day
		minute  int
	}{
		"epoch":               {0, 0, 0},
		"end of a minute":     {59, 0, 0},
		"next minute":         {60, 0, 1},
		"end of the day":      {86399, 0, 1439},
		"next day":            {86400, 1, 0},
		"second before":       {-1, -1, 1439},
		"a minute before":     {-60, -1, 1439},
		"over a minute":       {-61, -1, 1438},
		"the day before":      {-86400, -1, 0},
		"second before that":  {-86401, -2, 1439},
		"two days before it":  {-172800, -2, 0},
		"in the middle of it": {-86400 - 43200, -2, 720},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if d, m := civilOf(tc.seconds); d != tc.day || m != tc.minute {
				t.Errorf("civilOf(%d) = %d, %d, want %d, %d", tc.seconds, d, m, tc.day, tc.minute)
			}
		})
	}
}

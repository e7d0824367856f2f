package window

import (
	"testing"
	"time"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

func BenchmarkOpen(b *testing.B) {
	tests := map[string]struct {
		window v1alpha1.Window
		at     string
	}{
		"weekly":          {weekly(on("Mon", "Tue", "Wed", "Thu"), "22:00", "06:00"), "2026-11-24T01:00:00+01:00"},
		"weekly in 2090":  {weekly(on("Mon", "Tue", "Wed", "Thu"), "22:00", "06:00"), "2090-11-24T01:00:00+01:00"},
		"monthly":         {monthly("Last", "Tue", "20:00", "23:00"), "2026-11-24T21:00:00+01:00"},
		"cron 8h":         {crontab("0 9 * * 1-5", "8h"), "2026-11-24T10:00:00+01:00"},
		"cron 7d, open":   {crontab("0 0 17 11 *", "168h"), "2026-11-23T23:00:00+01:00"},
		"cron 7d, closed": {crontab("0 0 1 1 *", "168h"), "2026-11-24T10:00:00+01:00"},
		"once":            {once("2026-12-18T17:00:00+01:00", "2027-01-04T08:00:00+01:00"), "2026-12-24T10:00:00+01:00"},
	}
	for name, tc := range tests {
		b.Run(name, func(b *testing.B) {
			s, t := compile(b, tc.window, "Europe/Berlin"), instant(tc.at)
			b.ReportAllocs()
			for b.Loop() {
				s.Open(t)
			}
		})
	}
}

func BenchmarkNext(b *testing.B) {
	const zone = "Europe/Berlin"
	nights := weekly(on("Mon", "Tue", "Wed", "Thu"), "22:00", "06:00")
	even := crontab("*/2 * * * *", "1m")
	var many []v1alpha1.Window
	for range 32 {
		many = append(many, crontab("*/2 0-22 * * *", "1m"))
	}
	tests := map[string]struct {
		calendar *Calendar
		at       string
	}{
		"weeknights":                {allow(b, zone, nights), "2026-11-21T10:00:00+01:00"},
		"weeknights after a freeze": {allow(b, zone, nights).but(b, zone, once("2026-11-18T17:00:00+01:00", "2027-01-04T08:00:00+01:00")), "2026-11-21T10:00:00+01:00"},
		"monthly":                   {allow(b, zone, monthly("Second", "Tue", "20:00", "23:00")), "2026-11-21T10:00:00+01:00"},
		"office hours":              {allow(b, zone, crontab("0 9 * * 1-5", "8h")), "2026-11-21T10:00:00+01:00"},
		"leap day from 2096":        {allow(b, zone, crontab("0 0 29 2 *", "24h")), "2096-03-01T00:00:00+01:00"},
		"frozen whenever open":      {allow(b, zone, even).but(b, zone, even), "2026-11-21T10:00:00+01:00"},
		"never together, 32 and 32": {allow(b, zone, many...).but(b, zone, many...), "2026-11-21T10:00:00+01:00"},
	}
	for name, tc := range tests {
		b.Run(name, func(b *testing.B) {
			t := instant(tc.at)
			b.ReportAllocs()
			for b.Loop() {
				tc.calendar.NextOpen(t)
			}
		})
	}
	b.Run("close, of always open", func(b *testing.B) {
		c := allow(b, zone, crontab("* * * * *", "168h"))
		b.ReportAllocs()
		for b.Loop() {
			c.NextClose(now)
		}
	})
}

func BenchmarkNextAllOpen(b *testing.B) {
	berlin := allow(b, "Europe/Berlin", weekly(weekdaysOnly, "09:00", "17:00"))
	newYork := allow(b, "America/New_York", weekly(weekdaysOnly, "09:00", "17:00"))
	odd, even := allow(b, "America/New_York", crontab("1/2 * * * *", "1m")), allow(b, "Europe/Berlin", crontab("*/2 * * * *", "1m"))
	b.Run("two zones", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			NextAllOpen(now, berlin, newYork)
		}
	})
	b.Run("two zones, never together", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			NextAllOpen(now, odd, even)
		}
	})
}

func BenchmarkCompile(b *testing.B) {
	windows := map[string]v1alpha1.Window{
		"weekly":  weekly(on("Mon", "Tue", "Wed", "Thu"), "22:00", "06:00"),
		"cron 8h": crontab("0 9 * * 1-5", "8h"),
		"cron 7d": crontab("* * * * *", "168h"),
	}
	for name, w := range windows {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, errs := Compile(w, time.UTC, at); len(errs) > 0 {
					b.Fatal(errs)
				}
			}
		})
	}
}

package main

import (
	"fmt"
	"strconv"
	"time"
)

func itoa(n int) string { return strconv.Itoa(n) }

// seconds writes a duration for people.
func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

// Widths of the summary's columns; the title takes what is left.
const (
	numberWidth  = 4
	whoWidth     = 10
	outcomeWidth = 8
	timeWidth    = 7
	gaps         = 5
	fixedWidth   = numberWidth + whoWidth + 2*outcomeWidth + timeWidth + gaps
)

// summary closes the story with a line for every step.
func (s *screen) summary(results []result, took time.Duration) {
	s.heading("Summary")
	s.print(s.paint(bold, s.row("", "who", "step", "expected", "got", "time")))
	act, n := 0, 0
	for i := range results {
		if r := &results[i]; r.act != act {
			act, n = r.act, 0
		}
		n++
		s.print(s.resultRow(&results[i], n))
	}
	s.print("\n" + s.total(results, took))
}

func (s *screen) row(number, who, title, expected, got, took string) string {
	return fit(number, numberWidth) + " " + fit(who, whoWidth) + " " + fit(title, s.width-fixedWidth) + " " +
		fit(expected, outcomeWidth) + " " + fit(got, outcomeWidth) + fmt.Sprintf(" %*s", timeWidth, took)
}

func (s *screen) resultRow(r *result, n int) string {
	got, with := string(r.got), plain
	if len(r.problems) > 0 {
		got, with = mismatch(r), red
	}
	number := itoa(r.act) + "." + itoa(n)
	return s.paint(with, s.row(number, r.step.who, r.step.title, string(r.step.want.outcome), got, seconds(r.took)))
}

// mismatch is what the summary says of a step whose outcome may be right and whose text is not.
func mismatch(r *result) string {
	if r.got == r.step.want.outcome {
		return "MISMATCH"
	}
	return string(r.got) + "!"
}

func (s *screen) total(results []result, took time.Duration) string {
	failed := failures(results)
	if failed > 0 {
		return s.paint(red, fmt.Sprintf("%d of %d steps not as expected, in %s", failed, len(results), took.Round(time.Second)))
	}
	return s.paint(green, fmt.Sprintf("%d steps, all as expected, in %s", len(results), took.Round(time.Second)))
}

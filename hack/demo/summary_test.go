package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestSummary(t *testing.T) {
	results := []result{
		{act: 1, step: step{who: admin, title: "Helm installs the chart.", want: passing()}, got: passes, took: 1234 * time.Millisecond},
		{act: 2, step: step{who: deployBot, title: strings.Repeat("An image – ", 9), want: want{outcome: refused}}, got: refused},
		{act: 2, step: step{who: deployBot, title: "Scaling.", want: want{outcome: refused}}, got: passes, problems: []string{"exit status"}},
		{act: 2, step: step{who: alice, title: "Scaling.", want: passing("scaled")}, got: passes, problems: []string{"no text"}},
	}
	const want = `
Summary
────────────────────────────────────────────────────────────────────────────────
     who        step                                   expected got         time
1.1  admin      Helm installs the chart.               passes   passes     1.2 s
2.1  deploy-bot An image – An image – An image – An i… refused  refused    0.0 s
2.2  deploy-bot Scaling.                               refused  passes!    0.0 s
2.3  alice      Scaling.                               passes   MISMATCH   0.0 s

2 of 4 steps not as expected, in 50s
`
	var out bytes.Buffer
	s := &screen{out: &out, width: 80}
	s.summary(results, 50*time.Second)
	if got := out.String(); got != want {
		t.Errorf("summary:\n%s\nwant:\n%s", got, want)
	}
}

func TestSummaryOfSuccess(t *testing.T) {
	var out bytes.Buffer
	s := &screen{out: &out, width: 100, colour: true}
	s.summary([]result{{act: 1, step: step{who: admin, title: "x", want: passing()}, got: passes}}, time.Minute)
	if got := out.String(); !strings.HasSuffix(got, "\n\n\x1b[32m1 steps, all as expected, in 1m0s\x1b[0m\n") {
		t.Errorf("summary ends with %q", got[max(0, len(got)-80):])
	}
}

func TestUsableWidth(t *testing.T) {
	for name, tc := range map[string]struct {
		columns, size string
		want          int
	}{
		"terminal":         {"", "50 80\n", 80},
		"wide terminal":    {"", "50 220\n", maxWidth},
		"narrow terminal":  {"", "50 20\n", 60},
		"COLUMNS wins":     {"90", "50 80\n", 90},
		"nothing is known": {"", "", maxWidth},
		"nonsense":         {"x", "50 80", maxWidth},
	} {
		t.Run(name, func(t *testing.T) {
			if got := usableWidth(tc.columns, tc.size); got != tc.want {
				t.Errorf("usableWidth(%q, %q) = %d, want %d", tc.columns, tc.size, got, tc.want)
			}
		})
	}
}

func TestFit(t *testing.T) {
	for _, text := range []string{"", "a", "eight ch", "more than eight", "äöü–äöü–äöü"} {
		if n := utf8.RuneCountInString(fit(text, 8)); n != 8 {
			t.Errorf("fit(%q, 8) has %d characters", text, n)
		}
	}
}

func TestColoursOnlyWhereWanted(t *testing.T) {
	if got := (&screen{}).paint(red, "text"); got != "text" {
		t.Errorf("paint without colours = %q", got)
	}
	if got := (&screen{colour: true}).paint(red, "text"); got != "\x1b[31mtext\x1b[0m" {
		t.Errorf("paint with colours = %q", got)
	}
}

package main

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestQuantile(t *testing.T) {
	hundred := series{}
	for i := range 100 {
		hundred.took = append(hundred.took, time.Duration(i+1)*time.Millisecond)
	}
	tests := map[string]struct {
		s    series
		q    float64
		want time.Duration
	}{
		"nothing":           {q: .99},
		"one":               {s: series{took: []time.Duration{time.Second}}, q: .5, want: time.Second},
		"p50 of a hundred":  {s: hundred, q: .5, want: 50 * time.Millisecond},
		"p99 of a hundred":  {s: hundred, q: .99, want: 99 * time.Millisecond},
		"most of a hundred": {s: hundred, q: 1, want: 100 * time.Millisecond},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := tc.s.quantile(tc.q); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}

// TestPhases wants a write that is under way when something breaks to belong to no phase before.
func TestPhases(t *testing.T) {
	start := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	at := func(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }
	failed := errors.New("refused")
	l := &load{samples: []sample{
		{at(0), time.Second, nil}, {at(4), 2 * time.Second, failed}, {at(5), time.Second, failed}, {at(9), 3 * time.Second, nil},
	}}
	for name, tc := range map[string]struct {
		got  series
		want series
	}{
		"before, answered":     {l.within(at(0), at(5)), series{took: []time.Duration{time.Second}}},
		"before, begun":        {l.between(at(0), at(5)), series{took: []time.Duration{time.Second}, failures: []string{"refused"}}},
		"after":                {l.between(at(5), at(10)), series{took: []time.Duration{3 * time.Second}, failures: []string{"refused"}}},
		"nothing there at all": {l.between(at(20), at(30)), series{}},
	} {
		if diff := cmp.Diff(tc.want, tc.got, cmp.AllowUnexported(series{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if got, want := l.firstAdmitted(at(1)), at(12); !got.Equal(want) {
		t.Errorf("the first admitted after the failure is answered at %s, want %s", got, want)
	}
}

func TestCompare(t *testing.T) {
	of := func(ms int) series { return series{took: []time.Duration{time.Duration(ms) * time.Millisecond}} }
	got := compare([]series{of(10), of(30), of(20)}, []series{of(10), of(10), of(10)}, .99)
	if got.String() != "2.00 (1.00 to 3.00)" {
		t.Errorf("got %s", got)
	}
	if nothing := compare([]series{{}}, []series{{}}, .99); nothing.median() <= most {
		t.Errorf("a ratio of nothing holds: %s", nothing)
	}
}

// TestReportFits wants what is printed to fit a terminal, as far as its words do.
func TestReportFits(t *testing.T) {
	r := report{}
	r.claim(true, "an agent is refused "+strings.Repeat("and again ", 20), "%d of %d", 12345, 12345)
	r.claim(false, "short", "%s", strings.Repeat("a longer story ", 20))
	var out strings.Builder
	r.print(&out)
	for line := range strings.Lines(out.String()) {
		if len(strings.TrimRight(line, "\n")) > lineWidth {
			t.Errorf("too wide: %q", line)
		}
	}
	if r.holds() {
		t.Error("a report with a claim that does not hold, holds")
	}
	if (&report{}).holds() {
		t.Error("a report that claims nothing, holds")
	}
}

// TestDocument wants the document to have a place for each drill, and what is there to be replaced, not added to.
func TestDocument(t *testing.T) {
	content, err := os.ReadFile("../../docs/reliability.md")
	if err != nil {
		t.Fatal(err)
	}
	path := t.TempDir() + "/reliability.md"
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	var reports []*report
	for _, d := range drills {
		r := &report{drill: d, setting: "one replica"}
		r.claim(true, "it | holds", "yes")
		r.figure("how long", "1 s")
		reports = append(reports, r)
	}
	var written [2]string
	for i := range written {
		if err := writeDocument(path, "two cores", reports); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		written[i] = string(text)
	}
	if diff := cmp.Diff(written[0], written[1]); diff != "" {
		t.Errorf("written twice (-first +second):\n%s", diff)
	}
	if n := strings.Count(written[0], `| it \| holds | yes |`); n != len(drills) {
		t.Errorf("the figures of %d drills are in the document, want %d", n, len(drills))
	}
	if err := writeDocument(path, "two cores", []*report{{drill: drill{name: "other"}}}); err == nil {
		t.Error("a drill without a place in the document is written")
	}
}

func TestChoose(t *testing.T) {
	for only, want := range map[string]int{"": len(drills), "kill": 1, "noise,kill": 2} {
		if chosen, err := choose(only); err != nil || len(chosen) != want {
			t.Errorf("%q: %d drills, %v; want %d", only, len(chosen), err, want)
		}
	}
	if _, err := choose("kill,typo"); err == nil || !strings.Contains(err.Error(), `"typo"; there are kill`) {
		t.Errorf("a typo: %v", err)
	}
}

package measure

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestQuantile(t *testing.T) {
	hundred := Series{}
	for i := range 100 {
		hundred.Took = append(hundred.Took, time.Duration(i+1)*time.Millisecond)
	}
	tests := map[string]struct {
		s    Series
		q    float64
		want time.Duration
	}{
		"nothing":           {q: .99},
		"one":               {s: Series{Took: []time.Duration{time.Second}}, q: .5, want: time.Second},
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
	l := &Load{samples: []sample{
		{at(0), time.Second, nil}, {at(4), 2 * time.Second, failed}, {at(5), time.Second, failed}, {at(9), 3 * time.Second, nil},
	}}
	for name, tc := range map[string]struct {
		got  Series
		want Series
	}{
		"before, answered":     {l.Within(at(0), at(5)), Series{Took: []time.Duration{time.Second}}},
		"before, begun":        {l.Between(at(0), at(5)), Series{Took: []time.Duration{time.Second}, Failures: []string{"refused"}}},
		"after":                {l.Between(at(5), at(10)), Series{Took: []time.Duration{3 * time.Second}, Failures: []string{"refused"}}},
		"nothing there at all": {l.Between(at(20), at(30)), Series{}},
	} {
		if diff := cmp.Diff(tc.want, tc.got, cmp.AllowUnexported(Series{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if got, want := l.FirstAdmitted(at(1)), at(12); !got.Equal(want) {
		t.Errorf("the first admitted after the failure is answered at %s, want %s", got, want)
	}
}

func TestCompare(t *testing.T) {
	of := func(ms int) Series { return Series{Took: []time.Duration{time.Duration(ms) * time.Millisecond}} }
	got := Compare([]Series{of(10), of(30), of(20)}, []Series{of(10), of(10), of(10)}, .99)
	if got.String() != "2.00 (1.00 to 3.00)" {
		t.Errorf("got %s", got)
	}
	if nothing := Compare([]Series{{}}, []Series{{}}, .99); !math.IsInf(nothing.Median(), 1) {
		t.Errorf("a ratio of nothing holds: %s", nothing)
	}
}

// TestReportFits wants what is printed to fit a terminal, as far as its words do.
func TestReportFits(t *testing.T) {
	r := Report{}
	r.Claim(true, "an agent is refused "+strings.Repeat("and again ", 20), "%d of %d", 12345, 12345)
	r.Claim(false, "short", "%s", strings.Repeat("a longer story ", 20))
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
	if (&Report{}).holds() {
		t.Error("a report that claims nothing, holds")
	}
}

func TestChoose(t *testing.T) {
	all := []Experiment{{Name: "kill"}, {Name: "noise"}, {Name: "slow"}}
	for only, want := range map[string]int{"": len(all), "kill": 1, "noise,kill": 2} {
		if chosen, err := choose(all, "drill", only); err != nil || len(chosen) != want {
			t.Errorf("%q: %d are chosen, %v; want %d", only, len(chosen), err, want)
		}
	}
	if _, err := choose(all, "drill", "kill,typo"); err == nil || !strings.Contains(err.Error(), `"typo"; there are kill`) {
		t.Errorf("a typo: %v", err)
	}
}

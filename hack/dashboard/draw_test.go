package main

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func shipped(t *testing.T) *board {
	t.Helper()
	content, err := os.ReadFile("../../charts/countersign/dashboards/countersign.json")
	if err != nil {
		t.Fatal(err)
	}
	b, err := readBoard(content)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var hour = newSpan(time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC), time.Hour, 30*time.Second)

// made is a line that begins, pauses and goes on.
func made(name string, s *span) series {
	line := series{name: name, points: make([]float64, s.points())}
	for i := range line.points {
		line.points[i] = float64(1 + i%3)
		if i < 4 || i > 30 && i < 40 {
			line.points[i] = math.NaN()
		}
	}
	return line
}

// TestDrawPage wants everything that the dashboard uses to be drawn, as XML, at any width, with data and without.
func TestDrawPage(t *testing.T) {
	b := shipped(t)
	for _, width := range []int{400, 1000, 1600} {
		for _, full := range []bool{false, true} {
			data := make([][]series, len(b.Panels))
			for i := range b.Panels {
				switch {
				case !full || b.Panels[i].Type == "row":
				case b.Panels[i].Type == "stat":
					data[i] = []series{{points: []float64{1}}}
				default:
					data[i] = []series{made("one <b>", &hour), made(strings.Repeat("long", 40), &hour)}
				}
			}
			svg, err := drawPage(b, data, &hour, width)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(svg, "NaN") || strings.Contains(svg, "Inf") {
				t.Errorf("%d wide: there is a number that is none", width)
			}
			for _, p := range b.Panels {
				if full && width == 1600 && !strings.Contains(svg, ">"+strings.TrimSpace(p.Title)+"<") && p.Type != "row" {
					t.Errorf("the title of %q is not there as a whole", p.Title)
				}
			}
			wantXML(t, svg)
		}
	}
}

func wantXML(t *testing.T, text string) {
	t.Helper()
	for decoder := xml.NewDecoder(strings.NewReader(text)); ; {
		if _, err := decoder.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatalf("what is drawn is no XML: %v", err)
		}
	}
}

// TestNotKnown wants what this cannot draw to be an error, so that a picture is never wrong.
func TestNotKnown(t *testing.T) {
	if _, err := readBoard([]byte(`{"panels":[{}],"templating":{"list":[{"name":"job","type":"query"}]}}`)); err == nil {
		t.Error("a variable is read that is not resolved")
	}
	for name, content := range map[string]string{
		"a type":                  `{"panels":[{"type":"table","gridPos":{"w":9,"h":9}}]}`,
		"a unit of a stat":        `{"panels":[{"type":"stat","gridPos":{"w":9,"h":9},"fieldConfig":{"defaults":{"unit":"m"}}}]}`,
		"a unit of an axis":       `{"panels":[{"type":"timeseries","gridPos":{"w":9,"h":9},"fieldConfig":{"defaults":{"unit":"m"}}}]}`,
		"an override":             `{"panels":[{"type":"timeseries","gridPos":{"w":9,"h":9},"fieldConfig":{"overrides":[{"properties":[{"id":"min"}]}]}}]}`,
		"a state without mapping": `{"panels":[{"type":"state-timeline","gridPos":{"w":9,"h":9}}]}`,
	} {
		b, err := readBoard([]byte(content))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := drawPage(b, [][]series{{made("a", &hour)}}, &hour, 1000); err == nil {
			t.Errorf("%s that is not known is drawn", name)
		}
	}
}

func TestUnits(t *testing.T) {
	none := 0
	tests := []struct {
		value    float64
		unit     string
		decimals *int
		want     string
	}{
		{0, "s", nil, "0 s"}, {.00025, "s", nil, "250 µs"}, {.342, "s", nil, "342 ms"}, {1.5, "s", nil, "1.5 s"}, {7.776e6, "s", nil, "12.9 weeks"},
		{-12, "s", nil, "-12 s"}, {66 << 20, "bytes", nil, "66 MiB"}, {0, "bytes", nil, "0 B"}, {1234, "short", nil, "1.23 K"}, {3, "short", &none, "3"},
		{.4, "opm", nil, "0.4 ops/m"}, {450, "opm", nil, "450 ops/m"},
	}
	for _, tc := range tests {
		got, err := unit(tc.value, tc.unit, tc.decimals)
		if diff := cmp.Diff(tc.want, got); diff != "" || err != nil {
			t.Errorf("%v in %s (-want +got), %v:\n%s", tc.value, tc.unit, err, diff)
		}
	}
}

// TestResolve wants what Grafana would make of its variables.
func TestResolve(t *testing.T) {
	for length, want := range map[time.Duration]string{
		30 * time.Minute: "rate(a[120s]) 30s 1800s", 24 * time.Hour: "rate(a[462s]) 432s 86400s",
	} {
		s := newSpan(hour.to, length, 30*time.Second)
		if diff := cmp.Diff(want, s.resolve("rate(a[$__rate_interval]) $__interval $__range")); diff != "" {
			t.Errorf("over %s (-want +got):\n%s", length, diff)
		}
	}
}

// TestTops wants a line that pauses to leave those above it where they stand.
func TestTops(t *testing.T) {
	gone := math.NaN()
	d := &drawn{all: []series{{points: []float64{1, 1, gone}}, {points: []float64{2, gone, 2}}, {points: []float64{3, 3, 3}}}}
	want := [][]float64{{1, 1, gone}, {3, 1, 2}, {6, 4, 5}}
	if diff := cmp.Diff(want, d.tops(true), cmp.Comparer(func(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) })); diff != "" {
		t.Errorf("stacked (-want +got):\n%s", diff)
	}
}

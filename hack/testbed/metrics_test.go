package testbed

import (
	"strings"
	"testing"
)

func TestMetrics(t *testing.T) {
	read := func(text string) Metrics {
		m, err := parseMetrics(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	before := read("# HELP calls How many.\n# TYPE calls counter\ncalls{name=\"a\",operation=\"UPDATE\"} 3\n")
	after := read("calls{name=\"a\",operation=\"UPDATE\"} 5\ncalls{name=\"b c\",operation=\"UPDATE\"} 1e+01\n" +
		"calls{name=\"a\",operation=\"CREATE\"} 7\ncalls_sum{name=\"a\"} 0.5\nskew -2.5\n")
	tests := map[string]struct{ got, want float64 }{
		"of a name":                {after.Sum("calls"), 22},
		"of a label":               {after.Sum("calls", `name="a"`), 12},
		"of the second label":      {after.Sum("calls", `operation="UPDATE"`), 15},
		"of both":                  {after.Sum("calls", `operation="UPDATE"`, `name="a"`), 5},
		"of a value with a space":  {after.Sum("calls", `name="b c"`), 10},
		"not of the end of a name": {after.Sum("calls", `ame="a"`), 0},
		"without labels":           {after.Sum("skew"), -2.5},
		"of nothing":               {after.Sum("cal"), 0},
		"since":                    {after.Since(before).Sum("calls", `operation="UPDATE"`), 12},
	}
	for name, tc := range tests {
		if tc.got != tc.want {
			t.Errorf("%s: %v, want %v", name, tc.got, tc.want)
		}
	}
	if _, err := parseMetrics(strings.NewReader("calls many\n")); err == nil {
		t.Error("what is no number is read")
	}
}

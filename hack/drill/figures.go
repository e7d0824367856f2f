package main

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// series is what became of a number of writes.
type series struct {
	// took are the times of those that were answered, sorted; those that failed are in failures.
	took     []time.Duration
	failures []string
}

func (s series) n() int { return len(s.took) + len(s.failures) }

// quantile is the time within which so many of the writes were answered, 0 < q <= 1; zero without any.
func (s series) quantile(q float64) time.Duration {
	if len(s.took) == 0 {
		return 0
	}
	return s.took[max(0, int(math.Ceil(q*float64(len(s.took))))-1)]
}

func (s series) p50() time.Duration { return s.quantile(.5) }
func (s series) p99() time.Duration { return s.quantile(.99) }
func (s series) max() time.Duration { return s.quantile(1) }

// failure is the first failure, for what is printed.
func (s series) failure() string {
	if len(s.failures) == 0 {
		return ""
	}
	return ": " + s.failures[0][:min(len(s.failures[0]), 300)]
}

// join puts series together, as if it had been one run.
func join(all []series) series {
	var joined series
	for _, s := range all {
		joined.took = append(joined.took, s.took...)
		joined.failures = append(joined.failures, s.failures...)
	}
	slices.Sort(joined.took)
	return joined
}

// ratios compares runs with the runs before them, one to one.
type ratios []float64

func compare(runs, before []series, q float64) ratios {
	var r ratios
	for i := range runs {
		if b := before[i].quantile(q); b > 0 {
			r = append(r, float64(runs[i].quantile(q))/float64(b))
		}
	}
	slices.Sort(r)
	return r
}

func (r ratios) median() float64 {
	if len(r) == 0 {
		return math.Inf(1)
	}
	return r[len(r)/2]
}

// String says the median and the spread.
func (r ratios) String() string {
	if len(r) == 0 {
		return "nothing measured"
	}
	if len(r) == 1 {
		return fmt.Sprintf("%.2f", r[0])
	}
	return fmt.Sprintf("%.2f (%.2f to %.2f)", r.median(), r[0], r[len(r)-1])
}

// ms says a time in milliseconds, or seconds where it is long.
func ms(d time.Duration) string {
	switch {
	case d >= 10*time.Second:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d >= time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d >= 10*time.Millisecond:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	default:
		return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000)
	}
}

// times says several times as their median and spread.
func times(all []time.Duration) string {
	if len(all) == 0 {
		return "nothing measured"
	}
	if len(all) == 1 {
		return ms(all[0])
	}
	sorted := slices.Sorted(slices.Values(all))
	return fmt.Sprintf("%s (%s to %s)", ms(sorted[len(sorted)/2]), ms(sorted[0]), ms(sorted[len(sorted)-1]))
}

// spread says the p50 and p99 of runs.
func spread(runs []series) string {
	var p50, p99 []time.Duration
	for _, s := range runs {
		p50, p99 = append(p50, s.p50()), append(p99, s.p99())
	}
	return fmt.Sprintf("p50 %s, p99 %s", times(p50), times(p99))
}

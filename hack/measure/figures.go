package measure

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// Series is what became of a number of writes.
type Series struct {
	// Took are the times of those that were answered, sorted; those that failed are in Failures, as texts.
	Took     []time.Duration
	Failures []string
}

// N is how many there were.
func (s Series) N() int { return len(s.Took) + len(s.Failures) }

// quantile is the time within which so many of the writes were answered, 0 < q <= 1; zero without any.
func (s Series) quantile(q float64) time.Duration {
	if len(s.Took) == 0 {
		return 0
	}
	return s.Took[max(0, int(math.Ceil(q*float64(len(s.Took))))-1)]
}

// P50 is the median of what was answered, P99 what one in a hundred took longer than, Max what the longest took.
func (s Series) P50() time.Duration { return s.quantile(.5) }

// P99 is explained at P50.
func (s Series) P99() time.Duration { return s.quantile(.99) }

// Max is explained at P50.
func (s Series) Max() time.Duration { return s.quantile(1) }

// Failure is the first failure, for what is printed.
func (s Series) Failure() string {
	if len(s.Failures) == 0 {
		return ""
	}
	return ": " + s.Failures[0][:min(len(s.Failures[0]), 300)]
}

// Join puts series together, as if it had been one run.
func Join(all []Series) Series {
	var joined Series
	for _, s := range all {
		joined.Took = append(joined.Took, s.Took...)
		joined.Failures = append(joined.Failures, s.Failures...)
	}
	slices.Sort(joined.Took)
	return joined
}

// Ratios compares runs with the runs before them, one to one.
type Ratios []float64

// Compare compares a quantile of series.
func Compare(runs, before []Series, q float64) Ratios {
	var took, to []time.Duration
	for i := range runs {
		took, to = append(took, runs[i].quantile(q)), append(to, before[i].quantile(q))
	}
	return CompareTimes(took, to)
}

// CompareTimes compares times, of which there are as many before. Those compared with zero are left out.
func CompareTimes(took, before []time.Duration) Ratios {
	var r Ratios
	for i := range took {
		if before[i] > 0 {
			r = append(r, float64(took[i])/float64(before[i]))
		}
	}
	slices.Sort(r)
	return r
}

// Median is infinite where nothing was measured, which is within no bound.
func (r Ratios) Median() float64 {
	if len(r) == 0 {
		return math.Inf(1)
	}
	return r[len(r)/2]
}

// String says the median and the spread.
func (r Ratios) String() string {
	if len(r) == 0 {
		return "nothing measured"
	}
	if len(r) == 1 {
		return fmt.Sprintf("%.2f", r[0])
	}
	return fmt.Sprintf("%.2f (%.2f to %.2f)", r.Median(), r[0], r[len(r)-1])
}

// Duration says a time in milliseconds, or seconds where it is long, or microseconds where it is short.
func Duration(d time.Duration) string {
	switch {
	case d >= 10*time.Second:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d >= time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d >= 10*time.Millisecond:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d >= time.Millisecond:
		return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000)
	case d >= 10*time.Microsecond:
		return fmt.Sprintf("%d µs", d.Microseconds())
	default:
		return fmt.Sprintf("%.1f µs", float64(d.Nanoseconds())/1000)
	}
}

// Median is the middle one of several times; of an even number it is the greater of the two in the middle. Zero without any.
func Median(all []time.Duration) time.Duration {
	if len(all) == 0 {
		return 0
	}
	return slices.Sorted(slices.Values(all))[len(all)/2]
}

// Times says several times as their median and spread.
func Times(all []time.Duration) string {
	if len(all) == 0 {
		return "nothing measured"
	}
	if len(all) == 1 {
		return Duration(all[0])
	}
	sorted := slices.Sorted(slices.Values(all))
	return fmt.Sprintf("%s (%s to %s)", Duration(sorted[len(sorted)/2]), Duration(sorted[0]), Duration(sorted[len(sorted)-1]))
}

// Spread says the p50 and p99 of runs.
func Spread(runs []Series) string {
	var p50, p99 []time.Duration
	for _, s := range runs {
		p50, p99 = append(p50, s.P50()), append(p99, s.P99())
	}
	return fmt.Sprintf("p50 %s, p99 %s", Times(p50), Times(p99))
}

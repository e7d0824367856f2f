package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/countersign-dev/countersign/hack/measure"
)

// benchmark is one of Go's testing package, with what it reported in each of several runs, by unit: ns/op, allocs/op and others.
type benchmark struct {
	name   string
	values map[string][]float64
}

// times are those of a unit that is nanoseconds.
func (b *benchmark) times(unit string) []time.Duration {
	var all []time.Duration
	for _, v := range b.values[unit] {
		all = append(all, time.Duration(v))
	}
	return all
}

// took are the medians of single operations where the benchmark says so, which other work on the machine disturbs least,
// and the means otherwise.
func (b *benchmark) took() []time.Duration {
	if single := b.times("p50-ns"); len(single) > 0 {
		return single
	}
	return b.times("ns/op")
}

// median of a unit; it is less than zero where nothing was reported.
func (b *benchmark) median(unit string) float64 {
	if len(b.values[unit]) == 0 {
		return -1
	}
	sorted := slices.Sorted(slices.Values(b.values[unit]))
	return sorted[len(sorted)/2]
}

// goBenchmarks are benchmarks of some packages that are run several times.
type goBenchmarks struct {
	// pattern chooses them by their whole name, without Benchmark.
	pattern  string
	packages []string
	// each is how long one of them takes or, as 1x, how often it is repeated.
	each  string
	count int
}

// run runs them in a process of their own, as go test does.
func (g *goBenchmarks) run(ctx context.Context, r *measure.Run) ([]*benchmark, error) {
	args := []string{
		"test", "-run", "NONE", "-bench", "^Benchmark(" + g.pattern + ")$", "-benchmem", "-benchtime", g.each, "-timeout", "20m",
		"-count", strconv.Itoa(r.Rounds(g.count)),
	}
	command := exec.CommandContext(ctx, "go", append(args, g.packages...)...)
	command.Dir, command.Env = r.Root, append(os.Environ(), "GOFLAGS=")
	out, err := command.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("running benchmarks: %w\n%s", err, out[max(0, len(out)-2000):])
	}
	return parseBenchmarks(out)
}

// parseBenchmarks reads what go test writes of benchmarks: a line for each run, of the name with the number of processors, how often
// it was repeated, and values with their units. All other lines are of no concern.
func parseBenchmarks(out []byte) ([]*benchmark, error) {
	var all []*benchmark
	known := map[string]*benchmark{}
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 4 || len(fields)%2 != 0 || !strings.HasPrefix(fields[0], "Benchmark") {
			continue
		}
		name := benchmarkName(fields[0])
		b := known[name]
		if b == nil {
			b = &benchmark{name: name, values: map[string][]float64{}}
			known[name], all = b, append(all, b)
		}
		for i := 2; i < len(fields); i += 2 {
			value, err := strconv.ParseFloat(fields[i], 64)
			if err != nil {
				return nil, fmt.Errorf("reading a benchmark: %q: %w", lines.Text(), err)
			}
			b.values[fields[i+1]] = append(b.values[fields[i+1]], value)
		}
	}
	if len(all) == 0 {
		return nil, errors.New("no benchmark ran")
	}
	return all, nil
}

// benchmarkName is what people call it: without the prefix and the number of processors, with spaces.
func benchmarkName(written string) string {
	if at := strings.LastIndexByte(written, '-'); at > 0 {
		if _, err := strconv.Atoi(written[at+1:]); err == nil {
			written = written[:at]
		}
	}
	return strings.ReplaceAll(strings.TrimPrefix(written, "Benchmark"), "_", " ")
}

package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/countersign-dev/countersign/hack/measure"
)

// most is what a benchmark is to take at most.
type most struct {
	took time.Duration
	// allocations are not bounded if zero.
	allocations int
}

// inProcess measures by benchmarks of Go what happens within the operator, without an API server.
func inProcess(benchmarks goBenchmarks, targets map[string]most) func(context.Context, *measure.Run) error {
	return func(ctx context.Context, r *measure.Run) error {
		all, err := benchmarks.run(ctx, r)
		if err != nil {
			return err
		}
		r.Report.Settingf("`go test -bench '%s'`, %s of %s each", benchmarks.pattern, plural(r.Rounds(benchmarks.count), "run"), benchmarks.each)
		reportBenchmarks(r.Report, all, r.Rounds(benchmarks.count), targets)
		return nil
	}
}

func reportBenchmarks(r *measure.Report, all []*benchmark, count int, targets map[string]most) {
	complete := !slices.ContainsFunc(all, func(b *benchmark) bool { return len(b.took()) != count })
	r.Claim(complete, "benchmarks that ran as often as they should", "%d", len(all))
	var rows [][]string
	found := 0
	for _, b := range all {
		if t, bounded := targets[b.name]; bounded {
			found++
			t.judge(r, b)
		}
		_, name, _ := strings.Cut(b.name, "/")
		rows = append(rows, []string{name, measure.Times(b.took()), thousands(int(b.median("allocs/op")))})
	}
	r.Claim(found == len(targets), "benchmarks that have a target", "%d", found)
	r.Table("single operations", []string{"", "takes", "allocations"}, rows)
}

func (m most) judge(r *measure.Report, b *benchmark) {
	took, allocations := measure.Median(b.took()), int(b.median("allocs/op"))
	what := fmt.Sprintf("%s: at most %s", b.name, measure.Duration(m.took))
	if m.allocations > 0 {
		what += fmt.Sprintf(" and %d allocations", m.allocations)
	}
	r.Target(took <= m.took && (m.allocations == 0 || allocations <= m.allocations), what, "%s, %d allocations",
		measure.Duration(took), allocations)
}

// Packages whose benchmarks are run.
const (
	policyPackage   = "./internal/policy"
	webhooksPackage = "./webhooks"
)

var (
	measureDecisions = inProcess(goBenchmarks{pattern: "Decide", packages: []string{policyPackage}, each: "100ms", count: 5},
		map[string]most{"Decide/policies=1000/match=10/other=accounts": {took: 20 * time.Microsecond, allocations: 60}})
	measureGuards = inProcess(goBenchmarks{pattern: "DecideGuards", packages: []string{policyPackage}, each: "100ms", count: 5},
		map[string]most{"DecideGuards/guards=10": {took: 150 * time.Microsecond}})
	measureBudgets = inProcess(goBenchmarks{pattern: "DecideBudget", packages: []string{policyPackage}, each: "100ms", count: 5}, nil)
	measureAnswers = inProcess(goBenchmarks{pattern: "Answer", packages: []string{webhooksPackage}, each: "200ms", count: 5}, nil)
)

package policy

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/countersign-dev/countersign/internal/action"
)

// BenchmarkDecide measures a decision with a growing number of policies of which ten match, and a growing number
// that name the same actor but another resource. Beside the mean it reports the median of single decisions.
func BenchmarkDecide(b *testing.B) {
	others := map[string]string{
		"of other subjects":  "enforcement: Enforce\nsubjects: [{kind: ServiceAccount, namespace: other-%d, name: bot}]\n",
		"of other resources": subjects + "governs: {resourceRules: [{apiGroups: [example.com], resources: [kind%d], operations: [\"*\"]}]}\n",
	}
	for name, spec := range others {
		for _, n := range []int{1, 1000, 10000} {
			matching := min(n, 10)
			b.Run(fmt.Sprintf("policies=%d/matching=%d/rest=%s", n, matching, name), func(b *testing.B) {
				set := largeSet(b, n, matching, spec)
				decideMany(b, set, update(imagePath), Allow)
			})
		}
	}
	b.Run("policies=1000/matching=10/refused", func(b *testing.B) {
		decideMany(b, largeSet(b, 1000, 10, others["of other subjects"]), update(replicasPath), Deny)
	})
}

func largeSet(b *testing.B, n, matching int, other string) *Set {
	b.Helper()
	var policies []*Policy
	for i := range n {
		spec := fmt.Sprintf(other, i)
		if i < matching {
			spec = subjects + windows + "changeWindows: {allowed: [days]}\nfreezes: [{window: nights}]" + rollImages
		}
		policies = append(policies, Compile(policyOf(b, fmt.Sprintf("policy-%05d", i), spec), Identity{}))
	}
	return NewSet(policies, Operator{})
}

func decideMany(b *testing.B, set *Set, a *action.Action, want Outcome) {
	b.Helper()
	in := Input{Action: a, Now: berlinNoon, NamespaceLabels: map[string]string{}}
	took := make([]time.Duration, 0, 1<<16)
	b.ReportAllocs()
	for b.Loop() {
		began := time.Now()
		d := set.Decide(in)
		if len(took) < cap(took) {
			took = append(took, time.Since(began))
		}
		if d.Outcome != want {
			b.Fatalf("outcome is %s, want %s", d.Outcome, want)
		}
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2]), "p50-ns")
}

package policy

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/countersign-dev/countersign/internal/action"
)

// BenchmarkDecide measures a decision with a growing number of policies of which ten match, and a growing number
// that name the same actor but another resource. Beside the mean it reports the median of single decisions.
func BenchmarkDecide(b *testing.B) {
	others := map[string]string{
		"accounts":  "enforcement: Enforce\nsubjects: [{kind: ServiceAccount, namespace: other-%d, name: bot}]\n",
		"resources": subjects + "governs: {resourceRules: [{apiGroups: [example.com], resources: [kind%d], operations: [\"*\"]}]}\n",
	}
	for _, name := range slices.Sorted(maps.Keys(others)) {
		spec := others[name]
		for _, n := range []int{1, 1000, 10000} {
			matching := min(n, 10)
			b.Run(fmt.Sprintf("policies=%d/match=%d/other=%s", n, matching, name), func(b *testing.B) {
				set := largeSet(b, n, matching, spec)
				decideMany(b, set, update(imagePath), Allow)
			})
		}
	}
	b.Run("policies=1000/match=1000", func(b *testing.B) {
		decideMany(b, largeSet(b, 1000, 1000, others["accounts"]), update(imagePath), Allow)
	})
	b.Run("policies=1000/match=10/refused", func(b *testing.B) {
		decideMany(b, largeSet(b, 1000, 10, others["accounts"]), update(replicasPath), Deny)
	})
}

// BenchmarkDecideGuards measures a decision with ten guards of the kinds that people write, beside the same one without,
// about a Deployment of usual size.
func BenchmarkDecideGuards(b *testing.B) {
	deployment := map[string]any{
		"metadata": map[string]any{"name": "web", "namespace": "shop", "labels": map[string]any{"app": "web", "team": "shop"}},
		"spec": map[string]any{"replicas": int64(3), "template": map[string]any{
			"metadata": map[string]any{"labels": map[string]any{"app": "web"}},
			"spec": map[string]any{"containers": []any{
				map[string]any{"name": "web", "image": "registry.example.com/shop/web@sha256:" + strings.Repeat("0", 64), "securityContext": map[string]any{"privileged": false},
					"resources": map[string]any{"limits": map[string]any{"memory": "512Mi"}}},
				map[string]any{"name": "proxy", "image": "registry.example.com/shop/proxy@sha256:" + strings.Repeat("1", 64)},
			}, "volumes": []any{map[string]any{"name": "tmp", "emptyDir": map[string]any{}}}},
		}},
	}
	changed := with(scale(3, 5), func(a *action.Action) { a.Old, a.New = deployment, deployment })
	guards := `
guards:
- {name: small-steps, expression: object.spec.replicas - oldObject.spec.replicas <= 5}
- {name: not-zero, expression: "!has(object.spec.replicas) || object.spec.replicas > 0"}
- {name: registries, expression: "object.spec.template.spec.containers.all(c, ['registry.example.com/', 'mirror.example.com/'].exists(r, c.image.startsWith(r)))"}
- {name: digests, expression: "object.spec.template.spec.containers.all(c, c.image.matches('@sha256:[0-9a-f]{64}$'))"}
- {name: unprivileged, expression: "object.spec.template.spec.containers.all(c, !(has(c.securityContext) && has(c.securityContext.privileged) && c.securityContext.privileged == true))"}
- {name: no-host-paths, expression: "!has(object.spec.template.spec.volumes) || object.spec.template.spec.volumes.all(v, !has(v.hostPath))"}
- {name: no-host-namespaces, expression: "!object.spec.template.spec.?hostPID.orValue(false) && !object.spec.template.spec.?hostNetwork.orValue(false)"}
- {name: memory, expression: "object.spec.template.spec.containers.all(c, !has(c.resources) || quantity(c.resources.limits.memory).isLessThan(quantity('4Gi')))"}
- {name: labels, expression: "'team' in object.metadata.labels && object.metadata.labels.team == oldObject.metadata.labels.team"}
- {name: few-changes, expression: "changes.size() <= 3 && changes.all(c, c.path.startsWith('spec.'))"}
`
	for _, bc := range []struct{ name, spec string }{{"guards=0", ""}, {"guards=10", guards}} {
		b.Run(bc.name, func(b *testing.B) {
			set := NewSet([]*Policy{Compile(policyOf(b, "p", subjects+"outOfScope: Allow\n"+bc.spec), Identity{})}, Operator{})
			decideMany(b, set, changed, Allow)
		})
	}
}

// BenchmarkDecideBudget measures a decision with a budget of a thousand actions, of which half are spent, and with a guard
// that looks through them, beside the same one without.
func BenchmarkDecideBudget(b *testing.B) {
	ago := make([]int, 500)
	for i := range ago {
		ago[i] = i / 10
	}
	for _, bc := range []struct{ name, spec string }{
		{"plain", rollImages},
		{"budget", rollImages + "  budget: {maxActions: 1000, per: 1h}\n"},
		{"recent", rollImages + "guards: [{name: few, expression: \"recent.filter(a, a.operation == 'DELETE' && now - a.time < duration('10m')).size() < 3\", lookBack: 1h}]\n"},
	} {
		b.Run(bc.name, func(b *testing.B) {
			set := NewSet([]*Policy{Compile(policyOf(b, "p", subjects+bc.spec), Identity{})}, Operator{})
			decideWith(b, set, Input{Action: update(imagePath), Now: berlinNoon, History: spent("p/roll-images", ago...)}, Allow)
		})
	}
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
	decideWith(b, set, Input{Action: a, Now: berlinNoon, NamespaceLabels: map[string]string{}}, want)
}

func decideWith(b *testing.B, set *Set, in Input, want Outcome) {
	b.Helper()
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

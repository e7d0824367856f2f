package guard

import (
	"testing"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

// BenchmarkCompile measures what a guard costs when its policy is read.
func BenchmarkCompile(b *testing.B) {
	g := &v1alpha1.Guard{
		Name:              "g",
		Expression:        "object.spec.template.spec.containers.all(c, ['registry.example.com/'].exists(r, c.image.startsWith(r)) && c.image.matches('@sha256:[0-9a-f]{64}$'))",
		MessageExpression: "'images: ' + object.spec.template.spec.containers.map(c, c.image).join(', ')",
	}
	compiled(b, g.Expression, g.MessageExpression) // loads the language
	b.ReportAllocs()
	for b.Loop() {
		if _, errs := Compile(g, field.NewPath("guards")); len(errs) > 0 {
			b.Fatal(errs)
		}
	}
}

// BenchmarkRun measures one guard about a small Deployment, the first of a decision and those that follow it.
func BenchmarkRun(b *testing.B) {
	in := Input{Action: update(b, three, ten), Now: now, NamespaceLabels: map[string]string{}}
	g := compiled(b, "object.spec.replicas - oldObject.spec.replicas <= 5", "'scaling by ' + string(object.spec.replicas - oldObject.spec.replicas)")
	b.Run("first", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			NewEvaluation(in, nil).Run(g, "")
		}
	})
	b.Run("next", func(b *testing.B) {
		b.ReportAllocs()
		e := NewEvaluation(in, nil)
		for b.Loop() {
			e.meter.decision = decisionCost
			e.Run(g, "")
		}
	})
}

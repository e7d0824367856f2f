package guard

import (
	"testing"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/action"
)

// FuzzObject evaluates expressions about objects that nobody has thought of.
func FuzzObject(f *testing.F) {
	for _, object := range hostileObjects() {
		if len(object) < 1<<17 { // TestHostile takes the larger ones, which only slow the fuzzer down
			f.Add([]byte(object))
		}
	}
	f.Add([]byte(three))
	var guards []*Guard
	for _, expression := range variableTests {
		guards = append(guards, compiled(f, expression, "string(object.spec.x)"))
	}
	for _, expression := range hostileExpressions {
		if g, _ := Compile(&v1alpha1.Guard{Name: "g", Expression: expression}, field.NewPath("guards")); g != nil {
			guards = append(guards, g)
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		object, err := action.DecodeObject(raw)
		if err != nil {
			return
		}
		a := &action.Action{Operation: v1alpha1.OperationUpdate, Resource: "secrets", Old: object, New: object}
		e := NewEvaluation(Input{Action: a, Now: now, NamespaceLabels: map[string]string{}}, nil)
		for _, g := range guards {
			bounded(t, g.condition.text+" about "+string(raw), func() { checkResult(t, e.Run(g, "")) })
		}
	})
}

// FuzzExpression compiles expressions that nobody has thought of, and evaluates those that compile.
func FuzzExpression(f *testing.F) {
	for _, expression := range hostileExpressions {
		f.Add(expression)
	}
	for _, expression := range variableTests {
		f.Add(expression)
	}
	a := update(f, three, ten)
	f.Add("recent.filter(a, a.operation == 'DELETE' && now - a.time < duration('10m')).size() < 3")
	history := past(1000)
	large := update(f, hostileObjects()["list of objects"], hostileObjects()["long text"])
	f.Fuzz(func(t *testing.T, expression string) {
		bounded(t, expression, func() {
			g, errs := Compile(&v1alpha1.Guard{Name: "g", Expression: expression, MessageExpression: "string(" + expression + ")", LookBack: "168h"}, field.NewPath("guards"))
			if (g == nil) != (len(errs) > 0) {
				t.Fatalf("guard %v with errors %v", g, errs)
			}
			if g, _ = Compile(&v1alpha1.Guard{Name: "g", Expression: expression, LookBack: "168h"}, field.NewPath("guards")); g == nil {
				return
			}
			checkResult(t, NewEvaluation(Input{Action: a, Now: now, History: history}, nil).Run(g, ""))
			checkResult(t, NewEvaluation(Input{Action: large, Now: now, History: history}, nil).Run(g, ""))
		})
	})
}

// checkResult holds a result against what is promised of every one.
func checkResult(t *testing.T, r Result) {
	t.Helper()
	switch {
	case r.Verdict != Passed && r.Verdict != Violated && r.Verdict != Failed,
		(r.Verdict == Passed) != (r.Text == ""),
		!utf8.ValidString(r.Text), utf8.RuneCountInString(r.Text) > 600, oneLine(r.Text, 600) != r.Text:
		t.Errorf("got %+v", r)
	}
}

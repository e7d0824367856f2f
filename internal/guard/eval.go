package guard

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/interpreter"

	"github.com/countersign-dev/countersign/internal/legible"
)

const (
	// maxMessage bounds the text of a messageExpression, in characters.
	maxMessage = 300
	// maxShown bounds an expression within a message, in characters.
	maxShown = 160
)

// Verdict is what a guard says about an action. The zero value is none: whoever reads it must refuse.
type Verdict string

const (
	// Passed means that the expression is true.
	Passed Verdict = "Passed"
	// Violated means that it is false.
	Violated Verdict = "Violated"
	// Failed means that it is neither: there was an error, or a limit was reached.
	Failed Verdict = "Failed"
)

// Result is what came of one guard.
type Result struct {
	Verdict Verdict
	// Text says in words why the guard is violated, or has failed. It is one line, bounded, and holds no secret value.
	Text string
}

// Evaluation evaluates guards about one action. It holds what they read, and what is left of the limits, which hold for
// all guards together. It is not safe for concurrent use.
//
// Conditions see content as it is. Messages see it with *** for every secret value, by the rules of action.Redact, so
// that a guard may judge a Secret and say something useful about it, and cannot tell what is in it. Texts about errors
// name parts of the expression, never values.
type Evaluation struct {
	input    Input
	plain    *variables
	redacted *variables // nil until a message is made
	meter    *meter
}

// NewEvaluation prepares the evaluation of guards about an action. Once done is closed, they fail; nil never is.
func NewEvaluation(in Input, done <-chan struct{}) *Evaluation {
	m := &meter{decision: decisionCost, done: done}
	return &Evaluation{input: in, meter: m, plain: &variables{Input: in, meter: m}}
}

// Run evaluates a guard. Task is the covering task as "policy/task", empty where none covers.
func (e *Evaluation) Run(g *Guard, task string) Result {
	e.plain.task, e.plain.lookBack = task, g.LookBack
	value, failure := e.eval(&g.condition, e.plain)
	if failure != "" {
		return Result{Verdict: Failed, Text: failure}
	}
	switch value {
	case types.True:
		return Result{Verdict: Passed}
	case types.False:
		return Result{Verdict: Violated, Text: e.message(g, task)}
	default:
		return Result{Verdict: Failed, Text: "the expression gave no truth value"}
	}
}

// message is what the author wants to be told or, where that is nothing that can be shown, the expression.
func (e *Evaluation) message(g *Guard, task string) string {
	otherwise := "failed expression: " + oneLine(g.condition.text, maxShown)
	if g.message == nil {
		return otherwise
	}
	if e.redacted == nil {
		e.redacted = &variables{Input: e.input, meter: e.meter, redacted: true}
	}
	e.redacted.task, e.redacted.lookBack = task, g.LookBack
	value, failure := e.eval(g.message, e.redacted)
	text, ok := value.(types.String)
	shown := strings.TrimSpace(string(text))
	if failure != "" || !ok || shown == "" || strings.ContainsAny(shown, "\r\n") {
		return otherwise
	}
	return oneLine(shown, maxMessage)
}

// eval gives the value of an expression, or says why there is none.
func (e *Evaluation) eval(p *program, v *variables) (value ref.Val, failure string) {
	if err := e.meter.begin(); err != nil {
		return nil, err.Error()
	}
	value, err := p.run(v)
	if err != nil {
		return nil, p.explain(err, v)
	}
	return value, ""
}

// run evaluates an expression.
func (p *program) run(v *variables) (value ref.Val, err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case overrun:
			err = r
		default:
			err = fmt.Errorf("evaluating an expression: %v", r) // CEL has failed, or one of its functions
		}
	}()
	frame, err := interpreter.NewExecutionFrame(v)
	if err != nil {
		return nil, fmt.Errorf("evaluating an expression: %w", err)
	}
	defer frame.Close()
	value = p.plan.Exec(frame)
	if failed, ok := value.(*types.Err); ok {
		return nil, failed
	}
	return value, nil
}

// oneLine makes text safe to show: one line of printable characters, shortened.
func oneLine(s string, most int) string {
	return legible.Line(strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return ' '
		}
		return r
	}, s), most)
}

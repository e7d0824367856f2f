package guard

import (
	"fmt"
	"regexp/syntax"
	"slices"

	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/interpreter"
)

// maxInstructions bounds a compiled pattern: some repetitions of a few characters compile to millions.
const maxInstructions = 10_000

// patternUnit is how many instructions of a pattern are tried for a cost of 1.
const patternUnit = 8

// matching tries each instruction of a pattern at each place in a text.
func matching(args []ref.Val, _ uint64) uint64 {
	size, err := instructions(text(args[1]))
	if err != nil {
		return 1 // the call itself says what is wrong with the pattern
	}
	if size > maxInstructions {
		return tooMuch
	}
	// To compile the pattern takes a while as well.
	return plus(times(size, 16), patternCost(size, text(args[0])))
}

func patternCost(size uint64, text string) uint64 {
	return times(size, uint64(len(text))+1) / patternUnit
}

// instructions is the size of a compiled pattern, by an estimate that does not compile what is too large.
func instructions(pattern string) (uint64, error) {
	if len(pattern) > maxInstructions {
		return tooMuch, nil
	}
	parsed, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return 0, fmt.Errorf("reading a pattern: %w", err)
	}
	return sizeOf(parsed), nil
}

// sizeOf counts instructions as the compiler makes them: a repetition repeats what it is about.
func sizeOf(r *syntax.Regexp) uint64 {
	size := uint64(1 + len(r.Rune)/2)
	for _, sub := range r.Sub {
		size = plus(size, sizeOf(sub))
	}
	if r.Op == syntax.OpRepeat {
		size = times(size, uint64(max(r.Min, r.Max, 1)))
	}
	return size
}

// constantPattern is the pattern of a call that matches one which is written down in the expression: CEL compiles that
// once.
func constantPattern(call interpreter.InterpretableCall) (string, bool) {
	switch call.Function() {
	case "matches", "find", "findAll":
	default:
		return "", false
	}
	args := call.Args()
	if len(args) < 2 {
		return "", false
	}
	constant, ok := args[1].(interpreter.InterpretableConst)
	if !ok {
		return "", false
	}
	pattern, ok := constant.Value().(types.String)
	return string(pattern), ok
}

// weighTexts makes a match with a constant pattern charge for the text. The call itself is replaced by the optimisation
// that compiles the pattern.
func weighTexts(i interpreter.InterpretableV2) (interpreter.InterpretableV2, error) {
	call, ok := i.(interpreter.InterpretableCall)
	if !ok {
		return i, nil
	}
	pattern, ok := constantPattern(call)
	if !ok {
		return i, nil
	}
	size, err := instructions(pattern)
	if err != nil {
		return nil, err
	}
	if size > maxInstructions {
		return nil, fmt.Errorf("the pattern %q repeats too much", pattern)
	}
	args := slices.Clone(call.Args())
	args[0] = &weighed{InterpretableV2: args[0], size: size}
	return interpreter.NewCall(call.ID(), call.Function(), call.OverloadID(), args, nil), nil
}

// weighed is the text that a pattern is matched with.
type weighed struct {
	interpreter.InterpretableV2
	size uint64
}

// Exec implements interpreter.InterpretableV2.
func (w *weighed) Exec(frame *interpreter.ExecutionFrame) ref.Val {
	v := w.InterpretableV2.Exec(frame)
	if _, ok := v.(types.String); !ok && !types.IsUnknownOrError(v) {
		return types.LabelErrNode(w.ID(), noSuchOverload())
	}
	charge(frame, patternCost(w.size, text(v)))
	return v
}

// Eval implements interpreter.Interpretable.
func (w *weighed) Eval(vars interpreter.Activation) ref.Val { return w.Exec(interpreter.AsFrame(vars)) }

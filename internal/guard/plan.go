package guard

import (
	"fmt"

	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/functions"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
	"github.com/google/cel-go/interpreter"
	"k8s.io/apiserver/pkg/cel/library"
)

// plan makes a checked expression ready to run, as cel.Env.Program does, but with a meter of our own.
func (l *language) plan(tree *ast.AST) (interpreter.InterpretableV2, error) {
	planned, err := l.planner.NewInterpretable(tree,
		// The order counts: what the optimisations look for must not be wrapped yet.
		interpreter.CustomDecoratorV2(weighTexts),
		interpreter.Optimize(),
		interpreter.CompileRegexConstants(interpreter.MatchesRegexOptimization, library.FindRegexOptimization, library.FindAllRegexOptimization),
		interpreter.CustomDecoratorV2(l.account),
	)
	if err != nil {
		return nil, fmt.Errorf("preparing the expression: %w", err)
	}
	return planned, nil
}

// What lists and maps cost that an expression makes, as CEL counts.
const (
	listCost = 10
	mapCost  = 30
)

// account makes everything charge for what it costs, before it is done.
func (l *language) account(i interpreter.InterpretableV2) (interpreter.InterpretableV2, error) {
	switch node := i.(type) {
	case *reading, *metered, *priced, *alternative, interpreter.InterpretableConst:
		return i, nil
	case interpreter.InterpretableAttribute:
		return &reading{InterpretableAttribute: node, cost: 1}, nil
	case interpreter.InterpretableCall:
		return l.accountCall(node), nil
	case interpreter.InterpretableConstructor:
		if node.Type() == types.MapType {
			return &priced{InterpretableV2: i, cost: mapCost}, nil
		}
		return &priced{InterpretableV2: i, cost: listCost}, nil
	default:
		return &priced{InterpretableV2: i, cost: 1}, nil
	}
}

func (l *language) accountCall(call interpreter.InterpretableCall) interpreter.InterpretableV2 {
	if _, compiled := constantPattern(call); compiled || cheap[call.Function()] {
		return &priced{InterpretableV2: call, cost: 1}
	}
	if isAlternative(call) {
		return &alternative{InterpretableCall: call}
	}
	cost, ok := costs[call.Function()]
	if !ok {
		cost = whole
	}
	operator := l.operators[call.OverloadID()]
	if operator == nil {
		operator = l.operators[call.Function()]
	}
	return &metered{InterpretableCall: call, operator: operator, cost: cost}
}

// reading reads a variable and fields of it.
type reading struct {
	interpreter.InterpretableAttribute
	cost uint64
}

// AddQualifier implements interpreter.InterpretableAttribute.
func (r *reading) AddQualifier(q interpreter.Qualifier) (interpreter.Attribute, error) {
	r.cost++
	return r.InterpretableAttribute.AddQualifier(q) //nolint:wrapcheck // the planner's own error
}

// Exec implements interpreter.InterpretableV2.
func (r *reading) Exec(frame *interpreter.ExecutionFrame) ref.Val {
	charge(frame, r.cost)
	return r.InterpretableAttribute.Exec(frame)
}

// Eval implements interpreter.Interpretable.
func (r *reading) Eval(vars interpreter.Activation) ref.Val { return r.Exec(interpreter.AsFrame(vars)) }

// priced costs the same every time.
type priced struct {
	interpreter.InterpretableV2
	cost uint64
}

// Exec implements interpreter.InterpretableV2.
func (p *priced) Exec(frame *interpreter.ExecutionFrame) ref.Val {
	charge(frame, p.cost)
	return p.InterpretableV2.Exec(frame)
}

// Eval implements interpreter.Interpretable.
func (p *priced) Eval(vars interpreter.Activation) ref.Val { return p.Exec(interpreter.AsFrame(vars)) }

// metered is the call of a function whose cost depends on its arguments.
type metered struct {
	interpreter.InterpretableCall
	operator *functions.Overload
	cost     costOf
}

// Exec implements interpreter.InterpretableV2. Every function that is metered is strict: an argument that is an error is
// the result.
func (c *metered) Exec(frame *interpreter.ExecutionFrame) ref.Val {
	args := c.Args()
	values := make([]ref.Val, len(args))
	for i, arg := range args {
		values[i] = arg.Exec(frame)
		if types.IsUnknownOrError(values[i]) {
			return values[i]
		}
	}
	if m := meterOf(frame); m != nil {
		m.charge(max(1, c.cost(values, m.call)))
	}
	result := c.call(values)
	if err, failed := result.(*types.Err); failed {
		// Some errors of CEL are shared by all evaluations, and cannot note where they came from.
		return types.NewErrWithNodeID(c.ID(), "%w", err)
	}
	return result
}

func noSuchOverload() ref.Val { return types.NewErr("no such overload") }

// Eval implements interpreter.Interpretable.
func (c *metered) Eval(vars interpreter.Activation) ref.Val { return c.Exec(interpreter.AsFrame(vars)) }

// call does with values what the interpreter does with the arguments of a call.
func (c *metered) call(values []ref.Val) ref.Val {
	switch c.Function() {
	case opEquals:
		return types.Equal(values[0], values[1])
	case opNotEquals:
		return types.Bool(types.Equal(values[0], values[1]) != types.True)
	case operators.Add:
		if first, ok := values[0].(traits.Lister); ok {
			if second, ok := values[1].(traits.Lister); ok {
				return concatenated(first, second)
			}
		}
	}
	if o := c.operator; o != nil && (o.OperandTrait == 0 || len(values) > 0 && values[0].Type().HasTrait(o.OperandTrait)) {
		switch {
		case len(values) == 1 && o.Unary != nil:
			return o.Unary(values[0])
		case len(values) == 2 && o.Binary != nil:
			return o.Binary(values[0], values[1])
		case o.Function != nil:
			return o.Function(values...)
		}
	}
	if len(values) > 0 && values[0].Type().HasTrait(traits.ReceiverType) {
		if receiver, ok := values[0].(traits.Receiver); ok {
			return receiver.Receive(c.Function(), c.OverloadID(), values[1:])
		}
	}
	return types.NewErr("no such overload: %s", c.Function())
}

// concatenated is a list of the elements of two. CEL only ties them together, so that adding a list to itself a hundred
// times is done at once, and finding the size of the result never.
func concatenated(first, second traits.Lister) ref.Val {
	if growing, ok := first.(traits.MutableLister); ok {
		return growing.Add(second)
	}
	var elements []ref.Val
	for _, l := range []traits.Lister{first, second} {
		for it := l.Iterator(); it.HasNext() == types.True; {
			elements = append(elements, it.Next())
		}
	}
	return types.NewRefValList(adapter{}, elements)
}

// alternative is or and orValue of optional values, which look at their second argument only if there is need. CEL has
// them in its programs, not in its functions.
type alternative struct{ interpreter.InterpretableCall }

func isAlternative(call interpreter.InterpretableCall) bool {
	return len(call.Args()) == 2 && (call.Function() == "or" || call.Function() == "orValue")
}

// Exec implements interpreter.InterpretableV2.
func (a *alternative) Exec(frame *interpreter.ExecutionFrame) ref.Val {
	charge(frame, 1)
	first := a.Args()[0].Exec(frame)
	if types.IsUnknownOrError(first) {
		return first
	}
	optional, ok := first.(*types.Optional)
	switch {
	case !ok:
		return types.NewErrWithNodeID(a.ID(), "no such overload: %s", a.Function())
	case !optional.HasValue():
		return a.Args()[1].Exec(frame)
	case a.Function() == "or":
		return optional
	}
	return optional.GetValue()
}

// Eval implements interpreter.Interpretable.
func (a *alternative) Eval(vars interpreter.Activation) ref.Val {
	return a.Exec(interpreter.AsFrame(vars))
}

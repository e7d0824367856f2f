package guard

import (
	"fmt"

	"github.com/google/cel-go/interpreter"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
)

const (
	// callCost is the limit for one evaluation of one expression, as the API server has it: about 0.1 s
	// (PerCallLimit in k8s.io/apiserver/pkg/apis/cel).
	callCost = celconfig.PerCallLimit
	// decisionCost is the limit for all guards of one decision together, as the API server has it for all expressions
	// of one policy: about 1 s (RuntimeCELCostBudget, ibid.).
	decisionCost = celconfig.RuntimeCELCostBudget
	// checkEvery is how much cost may pass until the time is looked at again.
	checkEvery = 1 << 16
)

// meter counts what the guards of one decision cost, and ends an evaluation that costs too much or takes too long.
//
// The meter of CEL is not used, since it bounds neither time nor memory. It counts the cost of a call once the call has
// returned, takes the comparison of two trees for one step, and in long loops takes itself much longer than the loop. So
// sets.contains of two long lists, a replace that multiplies or a list that was added to itself a hundred times would
// run for hours or take all memory. This one looks at the arguments first. What both count, they count alike: one for a
// variable with its fields, one for an operation, and more for what depends on the size of its arguments.
type meter struct {
	// call is what is left for the expression that runs, decision for all.
	call, decision uint64
	unchecked      uint64
	done           <-chan struct{}
}

// overrun is why an evaluation was ended: a text for people.
type overrun string

// Error implements error.
func (o overrun) Error() string { return string(o) }

const (
	errTime         overrun = "the time for the decision is over"
	errDecisionCost overrun = "the guards of this decision together cost more than is allowed"
)

// errCallCost says that one expression alone costs too much.
var errCallCost = overrun(fmt.Sprintf("it costs more than %d, which is the limit: what it works on is too large", uint64(callCost)))

// begin opens the account of one expression.
func (m *meter) begin() error {
	if m.call = min(m.decision, callCost); m.call == 0 {
		return errDecisionCost
	}
	return m.check()
}

// check says whether the time is over.
func (m *meter) check() error {
	select {
	case <-m.done:
		return errTime
	default:
		return nil
	}
}

// charge takes cost off what is left. Where that does not suffice it ends the evaluation by a panic with an overrun, as
// CEL does for its own limit: an error would be a value, that an expression can pass over. See program.run.
func (m *meter) charge(cost uint64) {
	if cost > m.call {
		over := errCallCost
		if m.decision == m.call {
			over = errDecisionCost
		}
		m.decision, m.call = m.decision-m.call, 0
		panic(over)
	}
	m.call -= cost
	m.decision -= cost
	if m.unchecked += cost; m.unchecked < checkEvery {
		return
	}
	m.unchecked = 0
	if err := m.check(); err != nil {
		panic(err)
	}
}

// meterOf finds the meter of an evaluation. There is none while constants are folded at compilation: what is constant
// is as long as the expression at most.
func meterOf(vars interpreter.Activation) *meter {
	found, _ := vars.ResolveName(varMeter)
	m, _ := found.(*meter)
	return m
}

// charge takes cost off the meter of an evaluation.
func charge(vars interpreter.Activation, cost uint64) {
	if m := meterOf(vars); m != nil {
		m.charge(cost)
	}
}

package policy

import (
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/guard"
)

// guardRule is a compiled guard of a policy.
type guardRule struct {
	*guard.Guard
	// rules say what it is about; none: whatever the policy governs.
	rules        []v1alpha1.ResourceRule
	verdict      v1alpha1.Verdict
	requirements []v1alpha1.RequirementName
}

func (c *compiler) compileGuards(at *field.Path) {
	seen := map[string]bool{}
	for i := range c.spec.Guards {
		g, here := &c.spec.Guards[i], at.Index(i)
		if seen[g.Name] {
			c.fail(field.Duplicate(here.Child("name"), g.Name))
		}
		seen[g.Name] = true
		c.compileGuard(g, here)
	}
}

func (c *compiler) compileGuard(g *v1alpha1.Guard, at *field.Path) {
	c.validateRules(g.ResourceRules, at.Child("resourceRules"))
	c.requireKnown(g.WhenViolated, g.Requirements, at, "whenViolated")
	c.checkDuration(g.LookBack, at.Child("lookBack"), maxLookBack)
	compiled, errs := guard.Compile(g, at)
	c.policy.Errors = append(c.policy.Errors, errs...)
	if compiled == nil {
		return // the policy is broken as a whole, so the missing restriction never lets pass
	}
	if g.LookBack != "" && !compiled.ReadsRecent {
		c.warn(at.Child("lookBack"), "has no effect, because the expression does not read recent")
	}
	if compiled.ReadsRecent {
		c.needsEnforce(at.Child("expression"), "reads recent, and is judged only")
	}
	c.policy.guards = append(c.policy.guards, guardRule{
		Guard: compiled, rules: g.ResourceRules, verdict: orDeny(g.WhenViolated), requirements: g.Requirements,
	})
}

// inspection evaluates the guards of one call of Decide, shadows included: they share the limits, and what Enforce
// policies cost is paid first. What a guard says is asked once.
type inspection struct {
	evaluation *guard.Evaluation
	known      map[inspected]guard.Result
}

// inspected is what the result of a guard depends on, within one call of Decide.
type inspected struct {
	guard *guard.Guard
	task  string
}

// inspect appends the obstacles that the guards of the policies are. Task is the covering one.
func (d *Decision) inspect(in Input) {
	for _, p := range d.Policies {
		for i := range p.guards {
			g := &p.guards[i]
			if !g.about(in) || g.ReadsRecent && in.blind() {
				continue
			}
			if g.ReadsRecent && in.History == nil {
				d.Obstacles = append(d.Obstacles, historyUnknown("guard "+g.Name, p.Name, ""))
				continue
			}
			if o, found := g.obstacle(p.Name, in.inspection.result(g.Guard, in, d.TaskName())); found {
				d.Obstacles = append(d.Obstacles, o)
			}
		}
	}
}

func (s *inspection) result(g *guard.Guard, in Input, task string) guard.Result {
	key := inspected{g, task}
	if result, known := s.known[key]; known {
		return result
	}
	if s.evaluation == nil {
		var done <-chan struct{}
		if in.Done != nil {
			done = in.Done()
		}
		s.evaluation = guard.NewEvaluation(guard.Input{
			Action: in.Action, NamespaceLabels: in.NamespaceLabels, Now: in.Now, History: in.History,
		}, done)
		s.known = map[inspected]guard.Result{}
	}
	result := s.evaluation.Run(g, task)
	s.known[key] = result
	return result
}

// readsNow says whether a guard about the action may say something else at another time.
func (d *Decision) readsNow(in Input) bool {
	for _, p := range d.Policies {
		for i := range p.guards {
			if g := &p.guards[i]; (g.ReadsNow || g.ReadsRecent) && g.about(in) {
				return true
			}
		}
	}
	return false
}

// about says whether the rules of the guard name the action.
func (g *guardRule) about(in Input) bool {
	return len(g.rules) == 0 || anyRuleMatches(g.rules, in.Action)
}

// obstacle is what a guard puts in the way, if anything. A guard that fails always refuses: nobody could say what consent
// would be to.
func (g *guardRule) obstacle(policy string, result guard.Result) (Obstacle, bool) {
	o := Obstacle{Policy: policy, Name: g.Name}
	switch result.Verdict {
	case guard.Passed:
		return Obstacle{}, false
	case guard.Violated:
		o.Reason, o.Verdict, o.requirements = GuardViolated, g.verdict, g.requirements
		o.Detail = "guard " + g.Name + " (policy " + policy + "): " + result.Text
	default:
		o.Reason, o.Verdict = GuardFailed, v1alpha1.Deny
		o.Detail = "guard " + g.Name + " (policy " + policy + ") cannot judge this: " + result.Text
	}
	return o, true
}

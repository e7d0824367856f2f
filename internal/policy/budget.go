package policy

import (
	"time"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

// maxBudget bounds the actions of a budget: as many as the history of an agent holds.
const maxBudget = 1000

// budget bounds how many actions of one user are admitted under a task within a sliding window.
type budget struct {
	most         int
	per          time.Duration
	perText      string
	verdict      v1alpha1.Verdict
	requirements []v1alpha1.RequirementName
}

// compileBudget returns nil for none, and for an invalid one, which breaks the policy as a whole.
func (c *compiler) compileBudget(b *v1alpha1.Budget, at *field.Path) *budget {
	if b == nil {
		return nil
	}
	c.requireKnown(b.WhenExceeded, b.Requirements, at, "whenExceeded")
	c.needsEnforce(at, "counts only")
	if b.MaxActions < 1 || b.MaxActions > maxBudget {
		c.fail(field.Invalid(at.Child("maxActions"), b.MaxActions, "must be from 1 to "+itoa(maxBudget)))
	}
	if b.Per == "" {
		c.fail(field.Required(at.Child("per"), "say within which length of time actions count, such as 1h"))
	}
	c.checkDuration(b.Per, at.Child("per"), maxLookBack)
	return &budget{
		most: int(b.MaxActions), per: orDefault(b.Per, 0), perText: string(b.Per), verdict: orDeny(b.WhenExceeded), requirements: b.Requirements,
	}
}

// needsEnforce warns where the policy is only tried: of those whom no Enforce policy names nobody keeps what they did.
func (c *compiler) needsEnforce(at *field.Path, what string) {
	if c.policy.observes() {
		c.warn(at, what+" for subjects whom an Enforce policy names as well")
	}
}

// exceeded is the obstacle of a budget that is used up, or of which that is not known.
func (t *task) exceeded(p *Policy, in Input) (Obstacle, bool) {
	b := t.budget
	switch {
	case b == nil || in.blind():
		return Obstacle{}, false
	case in.History == nil:
		return historyUnknown("the budget of task "+t.name, p.Name, t.name), true
	}
	key := p.Name + "/" + t.name
	spent := in.History.Count(key, b.per, in.Now)
	if spent < b.most {
		return Obstacle{}, false
	}
	free := in.History.FreeAt(key, b.most, b.per, in.Now)
	return Obstacle{
		Reason: BudgetExceeded, Verdict: b.verdict, Policy: p.Name, Task: t.name, OpensAt: free, requirements: b.requirements,
		Detail: "budget of task " + t.name + " (policy " + p.Name + ") is used up: " + itoa(spent) + " of " + itoa(b.most) +
			" actions within " + b.perText + ", room again at " + free.UTC().Format(time.RFC3339),
	}, true
}

// historyUnknown is the obstacle of what cannot be judged without the history of the actor.
func historyUnknown(what, policy, task string) Obstacle {
	return Obstacle{
		Reason: HistoryUnknown, Verdict: v1alpha1.Deny, Policy: policy, Task: task,
		Detail: what + " (policy " + policy + ") needs to know what the agent did before, and that is not known",
	}
}

// blind says that policies are judged without what needs the history of the actor: because nobody records what the actor
// does, or because a delete goes on that was admitted.
func (in *Input) blind() bool {
	return in.unremembered || in.History != nil && in.History.GoesOn()
}

func (p *Policy) observes() bool {
	return p.Enforcement == v1alpha1.Warn || p.Enforcement == v1alpha1.Audit
}

package policy

import (
	"cmp"
	"slices"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/action"
	"github.com/countersign-dev/countersign/internal/legible"
)

// Decide says what becomes of an action. It is a pure function of the set and the input.
func (s *Set) Decide(in Input) Decision {
	c := s.find(in.Action)
	if c.guards {
		in.inspection = &inspection{}
	}
	d := s.decide(in, c.governed, c.enforced)
	for _, p := range c.observed {
		s.shadow(in, c, p, &d)
	}
	d.Memory = c.remember(in, &d)
	return d
}

// shadow decides again as if a Warn or Audit policy were enforced, and notes it where the outcome differs.
func (s *Set) shadow(in Input, c candidates, p *Policy, d *Decision) {
	with := join(c.enforced, []*Policy{p})
	if !c.governed {
		with = join(with, c.everyone)
		in.unremembered = true
	}
	would := s.decide(in, true, with)
	switch {
	case would.Outcome != d.Outcome:
		d.Shadows = append(d.Shadows, Shadow{Policy: p.Name, Enforcement: p.Enforcement, Decision: would})
	case c.governed:
		d.try(p, &would)
	}
}

// decide combines policies: grants add up, restrictions all hold.
func (s *Set) decide(in Input, governed bool, policies []*Policy) Decision {
	d := Decision{Outcome: Allow, Governed: governed}
	if !governed || in.Action.Empty() {
		return d
	}
	if why := illegible(&in.Action.Actor); why != "" {
		d.Obstacles = []Obstacle{{Reason: RequestUnreadable, Verdict: v1alpha1.Deny, Detail: why}}
		d.Outcome = Deny
		return d
	}
	if why := s.reserved(&in); why != "" {
		d.Obstacles = []Obstacle{{Reason: ReservedAction, Verdict: v1alpha1.Deny, Detail: why}}
		d.Outcome = Deny
		return d
	}
	if neverGoverned(in.Action) {
		return d
	}
	if d.Policies = about(in, policies); len(d.Policies) == 0 {
		return d
	}
	d.restrict(in)
	nearest := d.chooseTask(in)
	d.inspect(in)
	d.Outcome = outcomeOf(d.Obstacles)
	if d.Outcome != Allow {
		d.Remedy = remedy(in, &d, nearest)
	}
	return d
}

// about are the policies that govern an action. Policies that share what they govern are asked once.
func about(in Input, policies []*Policy) []*Policy {
	matching := make([]*Policy, 0, len(policies))
	var asked *governs
	matches := false
	for _, p := range policies {
		if p.governs != asked {
			asked, matches = p.governs, p.governs.matches(in)
		}
		if matches {
			matching = append(matching, p)
		}
	}
	return matching
}

// matches says whether the policy is about the action. A policy that selects namespaces is about cluster-scoped
// objects and about namespaces whose labels are not known as well.
func (g *governs) matches(in Input) bool {
	if len(g.rules) > 0 && !anyRuleMatches(g.rules, in.Action) {
		return false
	}
	return !anyRuleMatches(g.excluded, in.Action) && g.selectsNamespace(in)
}

func (g *governs) selectsNamespace(in Input) bool {
	switch {
	case g.namespaces == nil:
		return true
	case isNamespace(in.Action):
		before, was := in.Action.OldLabels()
		after, will := in.Action.NewLabels()
		return was && matchesLabels(g.namespaces, before) || will && matchesLabels(g.namespaces, after)
	case !in.Action.Namespaced, in.NamespaceLabels == nil:
		return true
	}
	return matchesLabels(g.namespaces, in.NamespaceLabels)
}

func isNamespace(a *action.Action) bool {
	return a.Group == "" && a.Resource == "namespaces"
}

// option is a covering task with the obstacles that come with it, and those that would if there were no grace. What holds
// whichever task covers has none.
type option struct {
	policy    *Policy
	task      *task
	obstacles []Obstacle
	waived    []Waiver
}

// restrict finds the restrictions of all policies. Those that share windows which are open are asked once.
func (d *Decision) restrict(in Input) {
	var all option
	var open *timing
	d.Windows = make([]v1alpha1.WindowState, len(d.Policies))
	for i, p := range d.Policies {
		if p.timing == open && p.broken == "" {
			d.Windows[i] = v1alpha1.WindowOpen
			continue
		}
		if d.Windows[i] = all.restrict(p, in); d.Windows[i] == v1alpha1.WindowOpen {
			open = p.timing
		}
	}
	d.Obstacles, d.Waived = all.obstacles, all.waived
}

// restrict adds what holds for everything that a policy governs, and says what WindowAt does.
func (o *option) restrict(p *Policy, in Input) v1alpha1.WindowState {
	state := v1alpha1.WindowOpen
	if p.broken != "" {
		o.obstacles = append(o.obstacles, Obstacle{
			Reason: PolicyInvalid, Verdict: v1alpha1.Deny, Policy: p.Name,
			Detail: "policy " + p.Name + " cannot judge this: " + legible.Line(p.broken, maxDetail),
		})
	}
	for i := range p.timing.freezes {
		if f := &p.timing.freezes[i]; !f.calendar.Open(in.Now) {
			o.obstacles = append(o.obstacles, f.frozen(p.Name, in.Now))
			state = v1alpha1.WindowFrozen
		}
	}
	if !o.check(p.timing.gate, p.Name, "", in) && state == v1alpha1.WindowOpen {
		state = v1alpha1.WindowClosed
	}
	return state
}

// chooseTask finds the covering task with the fewest obstacles and appends these, or, where no task covers, the
// verdict of the strictest outOfScope. It returns the task by which the remedy is found: the chosen or the
// nearest one, nil where there is none.
func (d *Decision) chooseTask(in Input) *miss {
	var best option
	var nearest *miss
	var missed *task // the last that does not cover the action, which policies may share
	q := ask(in)
	for _, p := range d.Policies {
		if best.free() {
			break // no task of a later name is better
		}
		for _, t := range p.tasks {
			if t == missed {
				continue
			}
			if m := t.scope.covers(q); m != nil {
				m.policy, m.task, missed = p, t, t
				nearest = nearer(nearest, m)
				continue
			}
			if o := t.option(p, in); best.task == nil || compareOptions(o, best) < 0 {
				best = o
			}
		}
	}
	if best.task == nil {
		d.outOfScope(in, nearest)
		return nearest
	}
	d.Policy, d.Task = best.policy.Name, best.task.name
	if in.Action.Namespaced {
		d.namespace = in.Action.Namespace
	}
	d.Obstacles, d.Waived = append(d.Obstacles, best.obstacles...), append(d.Waived, best.waived...)
	return &miss{policy: best.policy, task: best.task}
}

// free says whether a task covers the action, and nothing that comes with it is in the way.
func (o *option) free() bool { return o.task != nil && len(o.obstacles) == 0 }

// compareOptions orders by refusals, then asks, then names.
func compareOptions(a, b option) int {
	refusalsA, asksA := count(a.obstacles)
	refusalsB, asksB := count(b.obstacles)
	return cmp.Or(
		cmp.Compare(refusalsA, refusalsB), cmp.Compare(asksA, asksB),
		cmp.Compare(a.policy.Name, b.policy.Name), cmp.Compare(a.task.name, b.task.name),
	)
}

func count(obstacles []Obstacle) (refusals, asks int) {
	for i := range obstacles {
		if obstacles[i].Verdict == v1alpha1.RequireApproval {
			asks++
			continue
		}
		refusals++
	}
	return refusals, asks
}

// option is the task with the obstacles that come with it; outOfScope never softens them.
func (t *task) option(p *Policy, in Input) option {
	found := option{policy: p, task: t}
	found.check(t.gate, p.Name, t.name, in)
	if o, over := t.exceeded(p, in); over {
		found.obstacles = append(found.obstacles, o)
	}
	if t.always {
		found.obstacles = append(found.obstacles, Obstacle{
			Reason: ApprovalRequired, Verdict: v1alpha1.RequireApproval, Policy: p.Name, Task: t.name, requirements: t.requirements,
			Detail: "task " + t.name + " (policy " + p.Name + ") needs an approval for every use",
		})
	}
	return found
}

// outOfScope appends the verdict of the strictest outOfScope of the policies: one refusal, or what each policy asks
// that asks.
func (d *Decision) outOfScope(in Input, nearest *miss) {
	strictest := slices.MaxFunc(d.Policies, func(a, b *Policy) int { return cmp.Compare(severity(a.outOfScope), severity(b.outOfScope)) })
	switch severity(strictest.outOfScope) {
	case severityAllow:
	case severityAsk:
		for _, p := range d.Policies {
			if severity(p.outOfScope) == severityAsk {
				o := outsideOf(in.Action, nearest, p)
				o.Verdict, o.Policy, o.requirements = v1alpha1.RequireApproval, p.Name, p.outOfScopeRequirements
				d.Obstacles = append(d.Obstacles, o)
			}
		}
	default:
		d.Obstacles = append(d.Obstacles, outsideOf(in.Action, nearest, strictest))
	}
}

// outsideOf is the obstacle of an action that no task covers: what the nearest task lacks or, where no task is about
// such actions, that a policy has none.
func outsideOf(a *action.Action, nearest *miss, p *Policy) Obstacle {
	if nearest == nil || nearest.rank == rankAction {
		return Obstacle{Reason: ActionOutOfScope, Verdict: v1alpha1.Deny, Policy: p.Name,
			Detail: "no task covers \"" + what(a) + "\" (policy " + p.Name + ")"}
	}
	return Obstacle{Reason: nearest.reason, Verdict: v1alpha1.Deny, Policy: nearest.policy.Name, Task: nearest.task.name,
		Detail: nearest.detail(), Fields: nearest.fields}
}

// How severe what happens out of scope is.
const (
	severityAllow = iota
	severityAsk
	severityDeny
)

// severity orders what happens out of scope; whatever is not known refuses.
func severity(o v1alpha1.OutOfScope) int {
	switch o {
	case v1alpha1.OutOfScopeAllow:
		return severityAllow
	case v1alpha1.OutOfScopeRequireApproval:
		return severityAsk
	case v1alpha1.OutOfScopeDeny:
		return severityDeny
	default:
		return severityDeny
	}
}

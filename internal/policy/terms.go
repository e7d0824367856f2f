package policy

import (
	"errors"
	"fmt"
	"slices"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/action"
	"github.com/countersign-dev/countersign/internal/legible"
)

// Run is one run of a task: up to MaxActions actions in one namespace.
type Run struct {
	Policy, Task, Namespace string
	MaxActions              int32
}

// run is the run of the chosen task under which the action would pass; nil where consent is to the exact action: the
// task takes no runs, something in the way is not the task's or its policy's, or no consent to a run waives it.
func (d *Decision) run() *Run {
	p := d.policy(d.Policy)
	if p == nil || d.namespace == "" {
		return nil
	}
	t := p.task(d.Task)
	if t == nil || t.maxActions < 1 {
		return nil
	}
	for i := range d.Obstacles {
		if o := &d.Obstacles[i]; o.Policy != p.Name || !o.waivable() {
			return nil
		}
	}
	return &Run{Policy: p.Name, Task: t.name, Namespace: d.namespace, MaxActions: t.maxActions}
}

// Place is where a run of a task is to be, and who is to run it.
type Place struct {
	Actor     action.Actor
	Namespace string
	// NamespaceLabels as in Input: nil means that they are not known.
	NamespaceLabels map[string]string
}

// Terms say what people are asked when a run of a task is requested before anything is done: all restrictions of the
// policy that consent to a run waives, whether they are in the way at the moment or not. What refuses outright is
// never waived. An error says why nobody could grant such a request, and what to do about it.
func (s *Set) Terms(policyName, taskName string, at Place) (Consent, error) {
	p := s.Policy(policyName)
	if p == nil || !s.names(p, at.Actor) {
		// Whether there is a policy for somebody else is none of the actor's business.
		return Consent{}, fmt.Errorf("no policy %s names %s: %s",
			legible.Line(policyName, maxItem), Who(at.Actor.Username), s.runsOf(at))
	}
	t := p.task(taskName)
	if why := p.noRun(t, taskName, at); why != "" {
		return Consent{}, errors.New(why + ": " + s.runsOf(at))
	}
	c := p.terms(t)
	if len(c.Reasons) == 0 {
		return Consent{}, fmt.Errorf("nothing that policy %s puts in the way of task %s asks for consent: act without it", p.Name, t.name)
	}
	c.Run = &Run{Policy: p.Name, Task: t.name, Namespace: at.Namespace, MaxActions: t.maxActions}
	return c, nil
}

// names says whether a policy is about somebody's actions.
func (s *Set) names(p *Policy, actor action.Actor) bool {
	id := Identity{Username: actor.Username, Groups: slices.Clone(actor.Groups)}
	if namespace, _, ok := splitServiceAccount(actor.Username); ok {
		id.Groups = append(id.Groups, serviceAccountsGroupPrefix+namespace) // as in find: it may be missing
	}
	return slices.ContainsFunc(p.subjects, func(subject v1alpha1.Subject) bool {
		return subjectMatches(subject, id) || subject.Kind == v1alpha1.SubjectGoverned && s.Governs(actor)
	})
}

// noRun says why no run of a task can be asked for; empty where one can.
func (p *Policy) noRun(t *task, name string, at Place) string {
	switch {
	case p.Enforcement != v1alpha1.Enforce:
		return "policy " + p.Name + " is not enforced, so it needs no consent"
	case p.broken != "":
		return "policy " + p.Name + " cannot judge: " + legible.Line(p.broken, maxDetail)
	case t == nil:
		return "policy " + p.Name + " has no task " + legible.Line(name, maxItem)
	case t.maxActions < 1:
		return "task " + t.name + " (policy " + p.Name + ") takes consent to single actions only, which is asked for when they are refused"
	case !p.governs.holdsIn(at) || !t.scope.namespaceless() && !t.scope.inNamespace(at.Namespace, at.NamespaceLabels):
		return "task " + t.name + " (policy " + p.Name + ") does not cover namespace " + legible.Line(at.Namespace, maxItem)
	default:
		return ""
	}
}

// holdsIn says whether the policy governs actions in a namespace at all.
func (g *governs) holdsIn(at Place) bool {
	return g.namespaces == nil || at.NamespaceLabels == nil || matchesLabels(g.namespaces, at.NamespaceLabels)
}

// runsOf lists the tasks of which somebody can ask for runs in a namespace.
func (s *Set) runsOf(at Place) string {
	var all []string
	for _, p := range s.policies {
		for _, t := range p.tasks {
			if p.noRun(t, t.name, at) == "" && s.names(p, at.Actor) {
				all = append(all, p.Name+"/"+t.name)
			}
		}
	}
	if len(all) == 0 {
		return "here runs of no task can be asked for; repeat the action itself, whose refusal says what helps"
	}
	return "runs can be asked for here of " + list(all)
}

// terms are what consent to a run of a task would waive, and on which conditions.
func (p *Policy) terms(t *task) Consent {
	c := Consent{BindTo: v1alpha1.BindToUser}
	take := func(reason Reason, task, name string, names []v1alpha1.RequirementName) {
		c.Reasons = append(c.Reasons, ConsentReason{Type: reason, Policy: p.Name, PolicyUID: p.UID, Task: task, Name: name})
		c.add(p, t.name, names)
	}
	if g := p.timing.gate; g != nil && g.verdict == v1alpha1.RequireApproval {
		take(ChangeWindowClosed, "", g.consentName(), g.requirements)
	}
	for i := range p.timing.freezes {
		if f := &p.timing.freezes[i]; f.verdict == v1alpha1.RequireApproval {
			take(FreezeActive, "", f.names[0], f.requirements)
		}
	}
	if g := t.gate; g != nil && g.verdict == v1alpha1.RequireApproval {
		take(ChangeWindowClosed, t.name, g.consentName(), g.requirements)
	}
	if b := t.budget; b != nil && b.verdict == v1alpha1.RequireApproval {
		take(BudgetExceeded, t.name, "", b.requirements)
	}
	if t.always {
		take(ApprovalRequired, t.name, "", t.requirements)
	}
	slices.SortFunc(c.Reasons, compareReasons)
	c.Reasons = slices.Compact(c.Reasons)
	return c
}

package policy

import (
	"cmp"
	"slices"
	"time"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

// Defaults of how consent is given, where a policy says nothing.
const (
	defaultValidFor       = time.Hour
	defaultRequestExpires = 4 * time.Hour
)

// impliedRequirement is what is asked where a policy defines no requirement: one person with the right to approve.
const impliedRequirement v1alpha1.RequirementName = "default"

// Consent is what people must agree to so that an action passes, and under which conditions.
type Consent struct {
	// Reasons are exactly what consent would waive.
	Reasons []ConsentReason
	// Requirements are all those that must be met.
	Requirements []ConsentRequirement
	// ValidFor and RequestExpiresAfter are the shortest of the policies that ask.
	ValidFor, RequestExpiresAfter time.Duration
	// BindTo is the strictest of the policies that ask.
	BindTo v1alpha1.Binding
	// Run is the run of a task that people are asked about, nil where it is one exact action.
	Run *Run
}

// ConsentReason is one restriction that consent would waive.
type ConsentReason struct {
	Type                          Reason
	Policy, PolicyUID, Task, Name string
}

// ConsentRequirement is one requirement of one state of a policy.
type ConsentRequirement struct {
	Policy, PolicyUID string
	// Hash identifies what consent depends on: see Policy.ConsentHash.
	Hash         string
	Name         v1alpha1.RequirementName
	Approvers    []v1alpha1.Approver
	MinApprovals int32
}

// consentRules are a policy's spec.approval, with defaults applied.
type consentRules struct {
	validFor, requestExpiresAfter time.Duration
	bindTo                        v1alpha1.Binding
	requirements                  []v1alpha1.Requirement
}

func (c *compiler) consentRules() consentRules {
	rules := consentRules{validFor: defaultValidFor, requestExpiresAfter: defaultRequestExpires, bindTo: v1alpha1.BindToUser}
	if a := c.spec.Approval; a != nil {
		rules.validFor = orDefault(a.ValidFor, defaultValidFor)
		rules.requestExpiresAfter = orDefault(a.RequestExpiresAfter, defaultRequestExpires)
		rules.requirements = a.Requirements
		if a.BindTo != "" {
			rules.bindTo = a.BindTo
		}
	}
	if len(rules.requirements) == 0 {
		rules.requirements = []v1alpha1.Requirement{{Name: impliedRequirement, MinApprovals: 1}}
	}
	return rules
}

// orDefault parses a duration that was checked before; what cannot be parsed gives the default, and has broken the
// policy.
func orDefault(d v1alpha1.Duration, otherwise time.Duration) time.Duration {
	if parsed, err := time.ParseDuration(string(d)); err == nil && parsed > 0 {
		return parsed
	}
	return otherwise
}

// named resolves names of requirements; none means the first.
func (r *consentRules) named(names []v1alpha1.RequirementName) []v1alpha1.Requirement {
	if len(names) == 0 {
		return r.requirements[:1]
	}
	var found []v1alpha1.Requirement
	for _, q := range r.requirements {
		if slices.Contains(names, q.Name) {
			found = append(found, q)
		}
	}
	return found
}

// Consent says what people must agree to. It is meant for decisions that ask; of others it lists the part that asks.
// It is for a run of the task where that suffices, and else for the action alone.
func (d *Decision) Consent() Consent {
	c := Consent{BindTo: v1alpha1.BindToUser}
	for i := range d.Obstacles {
		o := &d.Obstacles[i]
		p := d.policy(o.Policy)
		if o.Verdict != v1alpha1.RequireApproval || p == nil {
			continue
		}
		c.Reasons = append(c.Reasons, ConsentReason{
			Type: o.Reason, Policy: p.Name, PolicyUID: p.UID, Task: o.Task, Name: cmp.Or(o.consentName, o.Name),
		})
		c.add(p, d.taskOf(p), o.requirements)
	}
	slices.SortFunc(c.Reasons, compareReasons)
	c.Reasons = slices.Compact(c.Reasons)
	c.Run = d.run()
	return c
}

// ConsentState is what consent under one policy depends on, at the moment of a decision.
type ConsentState struct {
	Policy, PolicyUID string
	// Hash is that of Policy.ConsentHash.
	Hash string
}

// ConsentStates are those of all policies that govern the action, whether they ask or not: what was asked for in a
// closed window is still good when that has opened.
func (d *Decision) ConsentStates() []ConsentState {
	states := make([]ConsentState, len(d.Policies))
	for i, p := range d.Policies {
		states[i] = ConsentState{Policy: p.Name, PolicyUID: p.UID, Hash: p.ConsentHash(d.taskOf(p))}
	}
	return states
}

func (d *Decision) policy(name string) *Policy {
	for _, p := range d.Policies {
		if p.Name == name {
			return p
		}
	}
	return nil
}

// taskOf is the chosen task, where it belongs to the policy.
func (d *Decision) taskOf(p *Policy) string {
	if d.Policy == p.Name {
		return d.Task
	}
	return ""
}

// add takes in the requirements of one obstacle, each once, and narrows the conditions to those of its policy.
func (c *Consent) add(p *Policy, task string, names []v1alpha1.RequirementName) {
	hash := p.ConsentHash(task)
	for _, q := range p.consent.named(names) {
		requirement := ConsentRequirement{
			Policy: p.Name, PolicyUID: p.UID, Hash: hash, Name: q.Name, Approvers: q.Approvers, MinApprovals: max(q.MinApprovals, 1),
		}
		if !slices.ContainsFunc(c.Requirements, func(have ConsentRequirement) bool {
			return have.Policy == requirement.Policy && have.Name == requirement.Name
		}) {
			c.Requirements = append(c.Requirements, requirement)
		}
	}
	validFor := p.consent.validFor
	if t := p.task(task); t != nil && t.validFor > 0 {
		validFor = t.validFor
	}
	c.ValidFor = shorter(c.ValidFor, validFor)
	c.RequestExpiresAfter = shorter(c.RequestExpiresAfter, p.consent.requestExpiresAfter)
	if strictness(p.consent.bindTo) > strictness(c.BindTo) {
		c.BindTo = p.consent.bindTo
	}
}

func (p *Policy) task(name string) *task {
	for _, t := range p.tasks {
		if t.name == name {
			return t
		}
	}
	return nil
}

// shorter is the shorter of two durations, of which zero means none yet.
func shorter(a, b time.Duration) time.Duration {
	if a == 0 {
		return b
	}
	return min(a, b)
}

// strictness orders bindings; whatever is not known binds most.
func strictness(b v1alpha1.Binding) int {
	switch b {
	case v1alpha1.BindToUser:
		return 0
	case v1alpha1.BindToPod:
		return 1
	default:
		return 2
	}
}

func compareReasons(a, b ConsentReason) int {
	return slices.Compare(
		[]string{a.Policy, a.Task, string(a.Type), a.Name, a.PolicyUID},
		[]string{b.Policy, b.Task, string(b.Type), b.Name, b.PolicyUID})
}

// ConsentHash identifies what consent under this policy depends on: the restrictions of the whole policy and the task
// chosen, empty for none. Subjects, descriptions and other tasks may change without making consent void.
func (p *Policy) ConsentHash(task string) string {
	meaning := p.spec.DeepCopy()
	meaning.Subjects = nil
	meaning.Tasks = slices.DeleteFunc(meaning.Tasks, func(t v1alpha1.Task) bool { return t.Name != task })
	return hashSpec(meaning)
}

// Pending says whether one of the reasons still stands that only time takes away: those for which people were asked
// in vain once their windows are open. Reasons of other kinds always stand, and so do those whose policy is unknown.
func (s *Set) Pending(reasons []v1alpha1.ApprovalReason, now time.Time) bool {
	for _, r := range reasons {
		p := s.Policy(r.Policy)
		if p == nil || !p.opened(r, now) {
			return true
		}
	}
	return false
}

// opened says whether a restriction of time has passed.
func (p *Policy) opened(r v1alpha1.ApprovalReason, now time.Time) bool {
	switch Reason(r.Type) {
	case ChangeWindowClosed:
		g := p.timing.gate
		if r.Task != "" {
			g = nil
			if t := p.task(r.Task); t != nil {
				g = t.gate
			}
		}
		return g != nil && g.calendar.Open(now)
	case FreezeActive:
		for i := range p.timing.freezes {
			if f := &p.timing.freezes[i]; f.names[0] == r.Name && !f.calendar.Open(now) {
				return false
			}
		}
		return true
	default:
		return false
	}
}

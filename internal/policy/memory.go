package policy

import (
	"slices"
	"time"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/activity"
)

// Need says how much a decision needs what the actor did before.
type Need int

const (
	// NotNeeded means that it makes no difference.
	NotNeeded Need = iota
	// Useful means that without it less passes, and nothing that must not.
	Useful
	// Required means that without it the action is refused.
	Required
)

// Memory is what must be remembered of an actor, and what should be.
type Memory struct {
	// Note says whether the action is to be noted, if it passes.
	Note Need
	// LookBack is how far back nothing may be missing then.
	LookBack time.Duration

	wanted memory
}

// Demand is what others may yet ask of the history, at an instant.
func (m *Memory) Demand(now time.Time) activity.Demand {
	return activity.Demand{
		LookBack: m.LookBack,
		Wanted:   func(entry *v1alpha1.AdmittedAction) bool { return m.wanted.wants(entry, now) },
	}
}

// memory is how far back it must be known what an agent did.
type memory struct {
	// recent is the longest look-back of a guard: with one, every action is to be remembered. Longest takes budgets in as
	// well, for which only the actions of their task are.
	recent, longest time.Duration
	// triedRecent and tried are the same of policies that are only tried: they never make a difference, so what they ask
	// for may be missing.
	triedRecent, tried time.Duration
	// graces want to know as well, but forgetting does no more than end them.
	graces []grace
}

func (m memory) with(other memory) memory {
	with := memory{
		recent: max(m.recent, other.recent), longest: max(m.longest, other.longest),
		triedRecent: max(m.triedRecent, other.triedRecent), tried: max(m.tried, other.tried), graces: m.graces,
	}
	if len(other.graces) > 0 {
		with.graces = slices.Concat(m.graces, other.graces)
	}
	return with
}

func (m *memory) empty() bool { return m.longest == 0 && m.tried == 0 && len(m.graces) == 0 }

// wants says whether somebody may yet ask for an entry who can do without it.
func (m *memory) wants(entry *v1alpha1.AdmittedAction, now time.Time) bool {
	return now.Before(entry.Time.Add(m.tried)) || slices.ContainsFunc(m.graces, func(g grace) bool { return g.follows(entry, now) })
}

// remembers is what a policy needs to be remembered.
func (p *Policy) remembers() memory {
	m := memory{graces: p.graces()}
	for i := range p.guards {
		m.recent = max(m.recent, p.guards[i].LookBack)
	}
	m.longest = m.recent
	for _, t := range p.tasks {
		if t.budget != nil {
			m.longest = max(m.longest, t.budget.per)
		}
	}
	if p.observes() {
		m.recent, m.longest, m.triedRecent, m.tried = 0, 0, m.recent, m.longest
	}
	return m
}

// NeedsHistory says how much a decision about an action needs the history of the actor, in Input.History.
func (s *Set) NeedsHistory(in Input) Need {
	if !s.remembers || in.Action.Empty() {
		return NotNeeded
	}
	c := s.find(in.Action)
	useful := func(p *Policy) bool { return p.memory.tried > 0 || p.usesGrace(in) }
	switch {
	case !c.governed || neverGoverned(in.Action):
		return NotNeeded
	case c.memory.recent > 0 || some(c.enforced, in, func(p *Policy) bool { return p.memory.longest > 0 }):
		return Required
	case c.memory.triedRecent > 0 || some(c.enforced, in, useful) || some(c.observed, in, useful):
		return Useful
	}
	return NotNeeded
}

// some says whether one of the policies that govern an action is like that.
func some(policies []*Policy, in Input, like func(*Policy) bool) bool {
	return slices.ContainsFunc(policies, func(p *Policy) bool { return like(p) && p.governs.matches(in) })
}

// remember is what must be remembered once the action has passed: by all guards that read recent, by the budget of its
// task, and for grace.
func (c *candidates) remember(in Input, d *Decision) Memory {
	if !c.governed || c.memory.empty() || in.Action.Empty() || neverGoverned(in.Action) {
		return Memory{}
	}
	m := Memory{Note: c.note(in, d), LookBack: c.memory.longest, wanted: c.memory}
	if m.Note == NotNeeded {
		return Memory{}
	}
	return m
}

// note says whether the action is to be noted.
func (c *candidates) note(in Input, d *Decision) Need {
	p := d.policy(d.Policy)
	switch {
	case c.memory.recent > 0, p != nil && p.task(d.Task) != nil && p.task(d.Task).budget != nil:
		return Required
	case c.memory.triedRecent > 0, len(d.Tried) > 0:
		return Useful
	case slices.ContainsFunc(d.Policies, func(p *Policy) bool { return p.notesGrace(in, d.TaskName()) }):
		return Useful
	case some(c.observed, in, func(p *Policy) bool { return p.notesGrace(in, "") }):
		return Useful
	}
	return NotNeeded
}

// maxTried bounds of how many policies that are only tried an action is noted for.
const maxTried = 16

// try notes a task of a policy that is only tried, where it would have covered the action and asks for what it covered.
func (d *Decision) try(p *Policy, would *Decision) {
	t := p.task(would.Task)
	if would.Policy == p.Name && t != nil && (t.budget != nil || t.gate != nil && t.gate.grace > 0) && len(d.Tried) < maxTried {
		d.Tried = append(d.Tried, would.TaskName())
	}
}

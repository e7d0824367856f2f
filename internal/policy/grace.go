package policy

import (
	"slices"
	"time"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/activity"
	"github.com/countersign-dev/countersign/internal/legible"
)

// grace is the time after change windows have closed in which an agent may go on changing what it changed inside them.
type grace struct {
	gate *gate
	// task under which the object was changed, as policy/task, where the windows are a task's own. Empty: whichever.
	task string
}

// Waiver is an obstacle that grace takes away.
type Waiver struct {
	// Reason, Policy and Task are those of the obstacle; Name names the windows inside which the object was changed.
	Reason Reason
	Policy string
	Task   string
	Name   string
	// Until is when the grace ends.
	Until time.Time
	// Detail says it in words.
	Detail string
}

// Warning tells whoever acts, in one line.
func (w *Waiver) Warning() string { return legible.Line(w.Detail, maxWarning) }

// graces are the kinds of grace that the policy grants.
func (p *Policy) graces() []grace {
	var all []grace
	if g := p.timing.gate; g != nil && g.grace > 0 {
		all = append(all, grace{gate: g})
	}
	for _, t := range p.tasks {
		if t.gate != nil && t.gate.grace > 0 {
			all = append(all, grace{gate: t.gate, task: p.Name + "/" + t.name})
		}
	}
	return all
}

// follows says whether there is grace at an instant after an action, or may be later because the windows are still open.
func (g *grace) follows(entry *v1alpha1.AdmittedAction, now time.Time) bool {
	return (g.task == "" || activity.CountsTo(entry, g.task)) && activity.IsChange(entry.Operation, entry.Subresource) &&
		g.gate.lasts(activity.AdmittedAt(entry), now)
}

// lasts says whether the grace after what was done at one instant has not ended at another: windows were open, and their
// opening has ended less than the grace ago, or not yet. So what is done in the grace itself makes no further one.
func (g *gate) lasts(at, now time.Time) bool {
	return g.grace > 0 && now.Before(at.Add(maxLookBack)) && g.calendar.OpenThrough(at, now.Add(-g.grace))
}

// reads says whether it depends on what the agent did before if there is grace for an action.
func (g *gate) reads(in Input) bool {
	op := in.Action.Operation
	return g.grace > 0 && (op == v1alpha1.OperationUpdate || op == v1alpha1.OperationDelete) && g.justClosed(in.Now)
}

// justClosed says whether windows are closed that were open a moment ago, within the grace.
func (g *gate) justClosed(now time.Time) bool {
	return g.grace > 0 && !g.calendar.Open(now) && g.calendar.OpenDuring(now.Add(-g.grace), now)
}

// notes says whether an action, if it passes, is one that grace follows.
func (g *gate) notes(in Input) bool {
	return g.grace > 0 && activity.IsChange(in.Action.Operation, in.Action.Subresource) && g.calendar.Open(in.Now)
}

// usesGrace says whether some grace of the policy has to do with an action, as what is done in it or what it follows.
func (p *Policy) usesGrace(in Input) bool {
	return slices.ContainsFunc(p.memory.graces, func(g grace) bool { return g.gate.reads(in) || g.gate.notes(in) })
}

// notesGrace says whether an action that passes is one that grace of the policy follows; task is the covering one.
func (p *Policy) notesGrace(in Input, task string) bool {
	return slices.ContainsFunc(p.memory.graces, func(g grace) bool { return (g.task == "" || g.task == task) && g.gate.notes(in) })
}

// waive says whether there is grace for an action while the windows are closed: for an update of what the same agent made
// or changed inside them, and for the deletion of what it made.
func (g *grace) waive(policy, task string, in Input) (Waiver, bool) {
	if in.History == nil || !g.gate.reads(in) {
		return Waiver{}, false
	}
	var last time.Time
	changes := in.History.ChangesOf(in.Action.UID)
	for i := range changes {
		entry := &changes[i]
		reverts := in.Action.Operation == v1alpha1.OperationUpdate || entry.Operation == v1alpha1.OperationCreate
		at := activity.AdmittedAt(entry)
		if reverts && at.After(last) && !at.After(in.Now) && g.follows(entry, in.Now) {
			last = at
		}
	}
	if last.IsZero() {
		return Waiver{}, false
	}
	closed, ok := g.gate.calendar.NextClose(last)
	if !ok {
		return Waiver{}, false
	}
	w := Waiver{Reason: ChangeWindowClosed, Policy: policy, Task: task, Name: g.gate.openAt(last), Until: closed.Add(g.gate.grace)}
	w.Detail = "change window closed (" + ownerOf(policy, task) + "): grace to revert until " + w.Until.Format(time.RFC3339)
	return w, true
}

// check says whether change windows are open, and notes what closed ones are to an action: an obstacle, or one that grace
// takes away.
func (o *option) check(g *gate, policy, task string, in Input) (open bool) {
	if g == nil || g.calendar.Open(in.Now) {
		return true
	}
	granted := grace{gate: g}
	if task != "" {
		granted.task = policy + "/" + task
	}
	if w, ok := granted.waive(policy, task, in); ok {
		o.waived = append(o.waived, w)
		return false
	}
	o.obstacles = append(o.obstacles, g.closed(policy, task, in))
	return false
}

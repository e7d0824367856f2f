package policy

import (
	"slices"
	"time"

	"github.com/countersign-dev/countersign/internal/window"
)

// Remedy says what would let a refused action pass. Where nothing would, it is zero.
type Remedy struct {
	// Narrow are the fields that the action must keep to. Empty: the action can stay as it is.
	Narrow []string
	// Wait is the instant from which the action passes. Zero: it need not wait.
	Wait time.Time
	// Ask says in words what to do about consent. Empty: consent does not help, or cannot be had.
	Ask string
}

// IsZero says that nothing the actor can do lets the action pass.
func (r Remedy) IsZero() bool { return len(r.Narrow) == 0 && r.Wait.IsZero() && r.Ask == "" }

// remedy finds what suffices: to narrow the action to the fields of the nearest task, to wait, or both. The
// result is only what makes every obstacle go away.
func remedy(in Input, d *Decision, nearest *miss) Remedy {
	var r Remedy
	waits, from := false, in.Now
	for i := range d.Obstacles {
		switch o := &d.Obstacles[i]; {
		case o.Reason == BudgetExceeded:
			waits, from = true, later(from, o.OpensAt)
		case o.isTime():
			waits = true
		case o.Reason == FieldOutOfScope && nearest.inside && len(nearest.task.scope.fields) > 0 && !nearest.task.always:
			r.Narrow = nearest.task.scope.patterns()
		default:
			return Remedy{}
		}
	}
	calendars := d.calendars(nearest, waits)
	at, ok := window.NextAllOpen(from, calendars...)
	switch {
	case !ok:
		return Remedy{}
	case waits || at.After(in.Now):
		if d.readsNow(in) {
			return Remedy{} // nobody knows what a guard will say by then
		}
		r.Wait = at
	}
	return r
}

// calendars are all those that must be open for the action to pass, with the task it would pass under. Where it is not to
// wait, those need not be that grace makes up for; by later it may have ended.
func (d *Decision) calendars(m *miss, waits bool) []*window.Calendar {
	var all []*window.Calendar
	for _, p := range d.Policies {
		if p.timing.gate != nil && (waits || !d.waives(p.Name, "")) {
			all = append(all, p.timing.gate.calendar)
		}
		for i := range p.timing.freezes {
			all = append(all, p.timing.freezes[i].calendar)
		}
	}
	if m != nil && m.task.gate != nil && (waits || !d.waives(m.policy.Name, m.task.name)) {
		all = append(all, m.task.gate.calendar)
	}
	return all
}

// waives says whether there is grace by the windows of a policy or, where one is named, of its task.
func (d *Decision) waives(policy, task string) bool {
	return slices.ContainsFunc(d.Waived, func(w Waiver) bool { return w.Policy == policy && w.Task == task })
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

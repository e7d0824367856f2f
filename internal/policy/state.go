package policy

import (
	"time"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/legible"
	"github.com/countersign-dev/countersign/internal/window"
)

// State is what the windows of a policy say at one instant.
type State struct {
	// Window is the state of the policy's own change windows and freezes.
	Window v1alpha1.WindowState
	// Active names the open windows or, while frozen, those of the active freezes.
	Active []string
	// Reason says in words why the state is what it is.
	Reason string
	// NextOpen and NextClose are zero where there is none within window.Horizon.
	NextOpen, NextClose time.Time
	// Tasks is the state of each task's own windows; a task without any is left out.
	Tasks []TaskState
	// Until is when something of all this changes next; zero where nothing does.
	Until time.Time
}

// TaskState is the state of one task's change windows.
type TaskState struct {
	Name   string
	Window v1alpha1.WindowState
}

// StateAt says what the windows say at an instant.
func (p *Policy) StateAt(now time.Time) State {
	whole := p.timing.whole()
	s := State{Window: v1alpha1.WindowOpen, Reason: "no change windows and no freezes restrict this policy"}
	s.NextOpen, _ = whole.NextOpen(now)
	s.NextClose, _ = whole.NextClose(now)
	s.Until = earlier(s.NextOpen, s.NextClose)
	p.timing.describe(&s, now)
	for _, t := range p.tasks {
		if t.gate != nil {
			s.addTask(t, now)
		}
	}
	return s
}

func (s *State) addTask(t *task, now time.Time) {
	state := v1alpha1.WindowClosed
	next, _ := t.gate.calendar.NextOpen(now)
	if t.gate.calendar.Open(now) {
		state = v1alpha1.WindowOpen
		next, _ = t.gate.calendar.NextClose(now)
	}
	s.Tasks = append(s.Tasks, TaskState{t.name, state})
	s.Until = earlier(s.Until, next)
}

// whole joins the change windows and freezes into one calendar.
func (t *timing) whole() *window.Calendar {
	joined := &window.Calendar{}
	if t.gate != nil {
		joined.Allowed = t.gate.calendar.Allowed
	}
	for i := range t.freezes {
		joined.Frozen = append(joined.Frozen, t.freezes[i].calendar.Frozen...)
	}
	return joined
}

// describe fills in the state, its names and its reason: a freeze wins over windows.
func (t *timing) describe(s *State, now time.Time) {
	for i := range t.freezes {
		if f := &t.freezes[i]; !f.calendar.Open(now) {
			s.Window, s.Active = v1alpha1.WindowFrozen, append(s.Active, f.names...)
			s.Reason = "frozen by " + list(s.Active)
			if f.reason != "" {
				s.Reason += ": " + legible.Line(f.reason, maxDetail)
			}
		}
	}
	switch {
	case s.Window == v1alpha1.WindowFrozen || t.gate == nil && len(t.freezes) == 0:
	case t.gate == nil:
		s.Reason = "no freeze is active"
	case t.gate.calendar.Open(now):
		_, s.Active = t.gate.calendar.State(now)
		s.Reason = "open: " + list(s.Active)
	default:
		s.Window, s.Reason = v1alpha1.WindowClosed, "none of the allowed windows is open: "+list(t.gate.names)
	}
}

// earlier is the earlier of two instants, of which zero means none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// WindowAt is the state of the policy's own change windows and freezes.
func (p *Policy) WindowAt(now time.Time) v1alpha1.WindowState {
	for i := range p.timing.freezes {
		if !p.timing.freezes[i].calendar.Open(now) {
			return v1alpha1.WindowFrozen
		}
	}
	if p.timing.gate != nil && !p.timing.gate.calendar.Open(now) {
		return v1alpha1.WindowClosed
	}
	return v1alpha1.WindowOpen
}

// PastWindow says that a window is over and never opens again.
func (p *Policy) PastWindow(name v1alpha1.WindowName, now time.Time) bool {
	s := p.windows[name]
	return s != nil && s.Past(now)
}

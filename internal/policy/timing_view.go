package policy

import (
	"time"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/legible"
	"github.com/countersign-dev/countersign/internal/window"
)

// Timing is when a policy lets its subjects act, for those who draw it.
type Timing struct {
	// Zone is that of the policy, nil where it has no windows.
	Zone *time.Location
	// Allowed are the change windows of which one must be open; none says that there is no such restriction. WhenClosed is
	// what happens outside of them.
	Allowed    []*window.Schedule
	WhenClosed v1alpha1.Verdict
	// Freezes are those of the policy.
	Freezes []FreezeTiming
	// Tasks are those with change windows of their own.
	Tasks []TaskTiming
}

// FreezeTiming is one freeze.
type FreezeTiming struct {
	Schedule *window.Schedule
	// Reason in the author's words, and what happens while it is active.
	Reason     string
	WhenActive v1alpha1.Verdict
}

// TaskTiming is the change windows of one task.
type TaskTiming struct {
	Name       string
	Allowed    []*window.Schedule
	WhenClosed v1alpha1.Verdict
}

// Timing says when the policy lets its subjects act.
func (p *Policy) Timing() Timing {
	var t Timing
	if g := p.timing.gate; g != nil {
		t.Allowed, t.WhenClosed = g.calendar.Allowed, g.verdict
	}
	for i := range p.timing.freezes {
		f := &p.timing.freezes[i]
		t.Freezes = append(t.Freezes, FreezeTiming{
			Schedule: f.calendar.Frozen[0], Reason: legible.Line(f.reason, maxDetail), WhenActive: f.verdict,
		})
	}
	for _, task := range p.tasks {
		if task.gate != nil {
			t.Tasks = append(t.Tasks, TaskTiming{Name: task.name, Allowed: task.gate.calendar.Allowed, WhenClosed: task.gate.verdict})
		}
	}
	if zone, err := window.LoadZone(p.spec.TimeZone); err == nil {
		t.Zone = zone
	}
	return t
}

// Whole is the calendar of the change windows and freezes together.
func (t *Timing) Whole() *window.Calendar {
	c := &window.Calendar{Allowed: t.Allowed}
	for i := range t.Freezes {
		c.Frozen = append(c.Frozen, t.Freezes[i].Schedule)
	}
	return c
}

// Package timetable lists when a policy lets its subjects act: every opening, closing and freeze of a stretch of time, what
// lies over what, the days on which clocks change, and policies that never or always let pass. It asks internal/window,
// as decisions do, and computes no window itself.
package timetable

import (
	"slices"
	"time"

	"github.com/countersign-dev/countersign/internal/policy"
	"github.com/countersign-dev/countersign/internal/window"
)

// lookBack is how far before a stretch of time what is open at its beginning may have opened: longer than any window on
// the wall clock lasts.
const lookBack = 8 * 24 * time.Hour

// Kind of a span.
type Kind string

const (
	// Window is a change window: while it is open, actions pass.
	Window Kind = "Window"
	// Freeze wins over windows.
	Freeze Kind = "Freeze"
)

// Span is one opening of a window, or one freeze.
type Span struct {
	Kind Kind   `json:"kind"`
	Name string `json:"name"`
	// From is when it begins, To when it ends. From is zero where it began long before, To where it does not end.
	From time.Time `json:"from,omitzero"`
	To   time.Time `json:"to,omitzero"`
	// Reason of a freeze.
	Reason string `json:"reason,omitempty"`
	// Tasks that need the window, where the policy as a whole does not.
	Tasks []string `json:"tasks,omitempty"`
	// Overlaps names windows that are open at the same time for a while, FrozenBy freezes that win over it.
	Overlaps []string `json:"overlaps,omitempty"`
	FrozenBy []string `json:"frozenBy,omitempty"`
}

// Timetable is when one policy lets its subjects act, from an instant until another.
type Timetable struct {
	Policy string
	// Zone in which it is shown.
	Zone        *time.Location
	From, Until time.Time
	// State at From.
	State policy.State
	// Spans in order of time.
	Spans []Span
	// Tasks with windows of their own.
	Tasks []Task
	// Changes are when clocks change.
	Changes []Change
	// Warnings say what is probably not meant.
	Warnings []string

	timing policy.Timing
	whole  *window.Calendar
}

// Task is one with windows of its own, which must be open besides those of the policy.
type Task struct {
	Name    string   `json:"name"`
	Windows []string `json:"windows"`
	// NextOpen is when both are open next; From where they are. Zero: never.
	NextOpen time.Time `json:"nextOpen,omitzero"`
}

// Of makes the timetable of a policy. It is shown in a zone, or with nil in the policy's.
func Of(p *policy.Policy, from, until time.Time, zone *time.Location) Timetable {
	t := Timetable{Policy: p.Name, Zone: zone, From: from, Until: until, State: p.StateAt(from), timing: p.Timing()}
	if t.Zone == nil {
		t.Zone = t.timing.Zone
	}
	if t.Zone == nil {
		t.Zone = time.UTC
	}
	t.From, t.Until = t.From.In(t.Zone), t.Until.In(t.Zone)
	t.whole = t.timing.Whole()
	for _, s := range t.timing.Allowed {
		t.list(s, Span{Kind: Window})
	}
	for _, s := range t.ofTasks() {
		t.list(s.schedule, Span{Kind: Window, Tasks: s.tasks})
	}
	for i := range t.timing.Freezes {
		t.list(t.timing.Freezes[i].Schedule, Span{Kind: Freeze, Reason: t.timing.Freezes[i].Reason})
	}
	t.order()
	t.relate()
	t.addTasks()
	year, month, date := t.From.Date()
	t.Changes = changes(time.Date(year, month, date, 0, 0, 0, 0, t.Zone), t.Until.AddDate(0, 0, 1), t.Zone)
	t.warn()
	return t
}

// Restricts says that the policy says anything about time.
func (t *Timetable) Restricts() bool {
	return len(t.timing.Allowed)+len(t.timing.Freezes)+len(t.timing.Tasks) > 0
}

// Whole says that the policy as a whole says something about time, not only single tasks.
func (t *Timetable) Whole() bool { return len(t.timing.Allowed)+len(t.timing.Freezes) > 0 }

// taskWindow is a window that only tasks need.
type taskWindow struct {
	schedule *window.Schedule
	tasks    []string
}

// ofTasks are the windows that tasks need and the policy as a whole does not, each once.
func (t *Timetable) ofTasks() []taskWindow {
	var found []taskWindow
	for i := range t.timing.Tasks {
		task := &t.timing.Tasks[i]
		for _, s := range task.Allowed {
			same := func(o *window.Schedule) bool { return o.Name() == s.Name() }
			if slices.ContainsFunc(t.timing.Allowed, same) {
				continue
			}
			known := slices.IndexFunc(found, func(w taskWindow) bool { return same(w.schedule) })
			if known < 0 {
				known, found = len(found), append(found, taskWindow{schedule: s})
			}
			found[known].tasks = append(found[known].tasks, task.Name)
		}
	}
	return found
}

// list adds the spans of a schedule that touch the stretch of time.
func (t *Timetable) list(s *window.Schedule, like Span) {
	for from, to := range spans(&window.Calendar{Allowed: []*window.Schedule{s}}, t.since(s), t.From, t.Until) {
		span := like
		span.Name = s.Name()
		if !from.IsZero() {
			span.From = from.In(t.Zone)
		}
		if !to.IsZero() {
			span.To = to.In(t.Zone)
		}
		t.Spans = append(t.Spans, span)
	}
}

// since is an instant before the beginning of whatever a schedule has open at From, if it has a beginning at all.
func (t *Timetable) since(s *window.Schedule) time.Time {
	since := t.From.Add(-lookBack)
	if begin, _, once := s.Once(); once && !begin.After(since) {
		return begin.Add(-time.Minute)
	}
	return since
}

// spans gives the openings of a calendar that touch a stretch of time, looked for from an instant on. The start is zero
// where it is open already then, the end where it does not close again.
func spans(c *window.Calendar, since, from, until time.Time) func(func(from, to time.Time) bool) {
	return func(yield func(from, to time.Time) bool) {
		at, begin := since, time.Time{}
		for opens := c.Open(at); at.Before(until); opens = false {
			if !opens {
				if begin, opens = c.NextOpen(at); !opens || !begin.Before(until) {
					return
				}
			}
			end, closes := c.NextClose(maxTime(at, begin))
			if !closes {
				yield(begin, time.Time{})
				return
			}
			if end.After(from) && !yield(begin, end) {
				return
			}
			at = end
		}
	}
}

func maxTime(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// order sorts by time; of what begins at once freezes come first.
func (t *Timetable) order() {
	slices.SortStableFunc(t.Spans, func(a, b Span) int {
		if c := a.From.Compare(b.From); c != 0 {
			return c
		}
		if a.Kind != b.Kind {
			if a.Kind == Freeze {
				return -1
			}
			return 1
		}
		return a.To.Compare(b.To)
	})
}

// relate notes which spans lie over which.
func (t *Timetable) relate() {
	for i := range t.Spans {
		a := &t.Spans[i]
		if a.Kind == Freeze {
			continue
		}
		for j := range t.Spans {
			b := &t.Spans[j]
			if i == j || !a.touches(b) {
				continue
			}
			switch {
			case b.Kind == Freeze:
				a.FrozenBy = addName(a.FrozenBy, b.Name)
			case len(a.Tasks)+len(b.Tasks) == 0: // those of tasks are not alternatives
				a.Overlaps = addName(a.Overlaps, b.Name)
			}
		}
	}
}

func addName(names []string, name string) []string {
	if slices.Contains(names, name) {
		return names
	}
	return append(names, name)
}

// touches says whether two spans have an instant in common.
func (s *Span) touches(o *Span) bool {
	return (o.To.IsZero() || s.From.Before(o.To)) && (s.To.IsZero() || o.From.Before(s.To))
}

func (t *Timetable) addTasks() {
	for i := range t.timing.Tasks {
		task := Task{Name: t.timing.Tasks[i].Name}
		for _, s := range t.timing.Tasks[i].Allowed {
			task.Windows = append(task.Windows, s.Name())
		}
		if at, ok := window.NextAllOpen(t.From, t.whole, t.ofTask(i)); ok {
			task.NextOpen = at.In(t.Zone)
		}
		t.Tasks = append(t.Tasks, task)
	}
}

func (t *Timetable) ofTask(i int) *window.Calendar {
	return &window.Calendar{Allowed: t.timing.Tasks[i].Allowed}
}

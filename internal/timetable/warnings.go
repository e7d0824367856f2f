package timetable

import (
	"strings"

	"github.com/countersign-dev/countersign/internal/window"
)

// warn finds what is probably not meant.
func (t *Timetable) warn() {
	add := func(text string) { t.Warnings = append(t.Warnings, text) }
	for _, s := range t.timing.Allowed {
		if s.Past(t.From) {
			add("window " + s.Name() + " is over and does not open again")
		}
	}
	for i := range t.timing.Freezes {
		if s := t.timing.Freezes[i].Schedule; s.Past(t.From) {
			add("freeze " + s.Name() + " is over and does not come again")
		}
	}
	if len(t.timing.Allowed) > 0 && always(&window.Calendar{Allowed: t.timing.Allowed}, t) {
		add("the change windows are always open: they restrict nothing")
	}
	if t.never(t.whole) {
		add("it is never open: no action passes without an approval, and none at all where it denies")
	}
	for _, task := range t.Tasks {
		if task.NextOpen.IsZero() && !t.never(t.whole) {
			add("task " + task.Name + " never passes: its windows (" + strings.Join(task.Windows, ", ") +
				") are never open together with the policy's")
		}
	}
}

// always says that a calendar is open and does not close.
func always(c *window.Calendar, t *Timetable) bool {
	_, closes := c.NextClose(t.From)
	return c.Open(t.From) && !closes
}

// never says that a calendar is closed and does not open.
func (t *Timetable) never(c *window.Calendar) bool {
	_, opens := c.NextOpen(t.From)
	return !c.Open(t.From) && !opens
}

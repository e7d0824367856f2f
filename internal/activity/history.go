package activity

import (
	"slices"
	"time"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

// History is what one decision may know of what an agent did before. It is immutable. A nil History is one that is not
// known: whoever needs it must refuse.
type History struct {
	entries []v1alpha1.AdmittedAction
	goesOn  bool
}

// Before is the history of an agent as an attempt finds it. The attempt itself is no part of it, so every review of one
// attempt is judged by the same.
func Before(status *v1alpha1.AgentActivityStatus, at Attempt, now time.Time) *History {
	own := at.find(status.Recent, now)
	h := &History{entries: status.Recent}
	if own < 0 {
		return h
	}
	h.goesOn = at.Action.GoesOn() && within(&status.Recent[own], now, retrySpan)
	h.entries = slices.Delete(slices.Clone(status.Recent), own, own+1)
	return h
}

// GoesOn says that the attempt continues a delete that was admitted not longer than a minute ago: it is not refused
// because of what else the agent did, or the object would stay half deleted.
func (h *History) GoesOn() bool { return h.goesOn }

// Count is how many actions count against the budget of a task, as policy/task.
func (h *History) Count(task string, per time.Duration, now time.Time) int {
	n := 0
	for i := range h.entries {
		if CountsTo(&h.entries[i], task) && within(&h.entries[i], now, per) {
			n++
		}
	}
	return n
}

// FreeAt is when fewer actions than most count against the budget of a task again, if nothing else happens.
func (h *History) FreeAt(task string, most int, per time.Duration, now time.Time) time.Time {
	var ends []time.Time
	for i := range h.entries {
		if CountsTo(&h.entries[i], task) && within(&h.entries[i], now, per) {
			ends = append(ends, h.entries[i].Time.Add(per))
		}
	}
	if most < 1 || len(ends) < most {
		return now
	}
	slices.SortFunc(ends, time.Time.Compare)
	return ends[len(ends)-most]
}

// Since are the actions within a span before now, oldest first. The caller must not change them.
func (h *History) Since(span time.Duration, now time.Time) []v1alpha1.AdmittedAction {
	var recent []v1alpha1.AdmittedAction
	for i := range h.entries {
		if within(&h.entries[i], now, span) {
			recent = append(recent, h.entries[i])
		}
	}
	return recent
}

// CountsTo says whether an action counts against the budget of a task, as policy/task: it passed under that, or would have
// if its policy were not only tried.
func CountsTo(entry *v1alpha1.AdmittedAction, task string) bool {
	return entry.Task == task || slices.Contains(entry.Tried, task)
}

// ChangesOf are the actions that made or updated an object, by its UID, oldest first; none where that is empty. The caller
// must not change them.
func (h *History) ChangesOf(uid string) []v1alpha1.AdmittedAction {
	var changes []v1alpha1.AdmittedAction
	for i := range h.entries {
		if entry := &h.entries[i]; uid != "" && entry.UID == uid && IsChange(entry.Operation, entry.Subresource) {
			changes = append(changes, *entry)
		}
	}
	return changes
}

// IsChange says whether an action makes or updates the object whose UID its entry has. What is created at a subresource,
// such as a token, is another object.
func IsChange(operation v1alpha1.Operation, subresource string) bool {
	return operation == v1alpha1.OperationUpdate || operation == v1alpha1.OperationCreate && subresource == ""
}

// AdmittedAt is an instant within the second in which an action was admitted: times of entries are rounded up.
func AdmittedAt(entry *v1alpha1.AdmittedAction) time.Time { return entry.Time.Add(-1) }

// within says that an entry is younger than a span. One whose time is yet to come, by another clock, is.
func within(entry *v1alpha1.AdmittedAction, now time.Time, span time.Duration) bool {
	return now.Before(entry.Time.Add(span))
}

package activity

import (
	"errors"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/action"
)

const (
	// retrySpan is how long reviews of one attempt cost nothing. Later ones move its entry to their own time: a write that
	// lands long after it was first admitted counts from then on.
	retrySpan = time.Minute
	// sessionSpan is how long one session may connect again: clients connect twice. After that it is another one.
	sessionSpan = 30 * time.Second

	// maxEntries is how many entries a status holds.
	maxEntries = 1000
	// keptEntries is how many are kept for people to look at, whether anything asks for them or not.
	keptEntries = 50
)

// MaxLookBack is how far back anybody may ask.
const MaxLookBack = 7 * 24 * time.Hour

// KeptUntil is until when an activity is kept: no longer can anybody ask for what it holds, and people have had a day more
// to look at it.
func KeptUntil(a *v1alpha1.AgentActivity) time.Time {
	last := a.CreationTimestamp.Time
	if a.Status.LastAdmittedAt != nil {
		last = a.Status.LastAdmittedAt.Time
	}
	return last.Add(MaxLookBack + 24*time.Hour)
}

// ErrFull means that there is no room for another action: all that is recorded may still be asked for.
var ErrFull = errors.New("recording an action: the history of the agent is full")

// Demand is what others may yet ask of a history.
type Demand struct {
	// LookBack is how far back nothing may be missing: what is younger is never lost.
	LookBack time.Duration
	// Wanted says of an older entry that it should be kept as long as there is room. Nil: none.
	Wanted func(*v1alpha1.AdmittedAction) bool
}

// needs says that an entry must not be lost.
func (d *Demand) needs(entry *v1alpha1.AdmittedAction, now time.Time) bool {
	return within(entry, now, d.LookBack)
}

// Attempt is an action that is to be admitted.
type Attempt struct {
	Action *action.Action
	// Key identifies what can be stored at most once: see approval.AttemptKey.
	Key string
	// Task that covers the action, as policy/task; empty where none does.
	Task string
	// Tried are tasks of policies that are only tried, which would cover it.
	Tried []string
}

// find is the index of the entry of the attempt, -1 where it has none.
func (a Attempt) find(entries []v1alpha1.AdmittedAction, now time.Time) int {
	for i := len(entries) - 1; i >= 0; i-- {
		if entries[i].Key == a.Key && (!a.isSession() || within(&entries[i], now, sessionSpan)) {
			return i
		}
	}
	return -1
}

func (a Attempt) isSession() bool { return a.Action.Operation == v1alpha1.OperationConnect }

// Record notes an attempt that is admitted now. Where it was noted a moment ago, that costs nothing, and the status is
// unchanged. Nothing is lost that must not be. The result is to be written with the resourceVersion from which the status
// was read; on conflict it is read, and everything decided, again.
func Record(
	status *v1alpha1.AgentActivityStatus, at Attempt, demand Demand, now time.Time,
) (next v1alpha1.AgentActivityStatus, already bool, err error) {
	own := at.find(status.Recent, now)
	if own >= 0 && within(&status.Recent[own], now, retrySpan) && status.Recent[own].Task == at.Task &&
		slices.Equal(status.Recent[own].Tried, at.Tried) {
		return *status, true, nil
	}
	next = *status.DeepCopy()
	if own >= 0 {
		next.Recent = slices.Delete(next.Recent, own, own+1)
	} else {
		next.Admitted++
	}
	next.Recent = makeRoom(next.Recent, demand, now)
	if len(next.Recent) >= maxEntries {
		return *status, false, ErrFull
	}
	entry := entryOf(at, now)
	next.Username = at.Action.Actor.Username
	next.Recent = append(next.Recent, entry)
	next.LastAdmittedAt = entry.Time.DeepCopy()
	next.Summary = summarise(next.Username, &entry)
	return next, false, nil
}

// Withdraw takes the entry of an attempt out that was never stored and can never be: it counts no more. That it was
// admitted stays counted. Done again it changes nothing, and says so. The result is to be written like that of Record.
func Withdraw(status *v1alpha1.AgentActivityStatus, key string) (next v1alpha1.AgentActivityStatus, changed bool) {
	next = *status.DeepCopy()
	next.Recent = slices.DeleteFunc(next.Recent, func(entry v1alpha1.AdmittedAction) bool { return entry.Key == key })
	return next, len(next.Recent) < len(status.Recent)
}

// makeRoom drops the oldest entries that nobody asks for any more, but for some that people may want to see, and then, where
// it must be, of those that are only wanted.
func makeRoom(entries []v1alpha1.AdmittedAction, demand Demand, now time.Time) []v1alpha1.AdmittedAction {
	entries = dropOldest(entries, len(entries)+1-keptEntries, func(entry *v1alpha1.AdmittedAction) bool {
		return !demand.needs(entry, now) && (demand.Wanted == nil || !demand.Wanted(entry))
	})
	return dropOldest(entries, len(entries)+1-maxEntries, func(entry *v1alpha1.AdmittedAction) bool { return !demand.needs(entry, now) })
}

// dropOldest drops up to so many of the entries that may go.
func dropOldest(entries []v1alpha1.AdmittedAction, excess int, may func(*v1alpha1.AdmittedAction) bool) []v1alpha1.AdmittedAction {
	return slices.DeleteFunc(entries, func(entry v1alpha1.AdmittedAction) bool {
		if excess < 1 || !may(&entry) {
			return false
		}
		excess--
		return true
	})
}

func entryOf(at Attempt, now time.Time) v1alpha1.AdmittedAction {
	a := at.Action
	entry := v1alpha1.AdmittedAction{
		Key: at.Key, Time: stamp(now), Operation: a.Operation, Group: a.Group, Resource: a.Resource, Subresource: a.Subresource,
		Namespace: a.Namespace, Name: a.Name, UID: a.UID, Task: at.Task, Tried: at.Tried,
	}
	if a.Operation == v1alpha1.OperationCreate && a.Subresource == "" { // the name may be a generated one
		metadata, _ := a.New["metadata"].(map[string]any)
		entry.Name, _ = metadata["name"].(string)
		entry.UID, _ = metadata["uid"].(string)
	}
	return entry
}

// stamp is an instant as it is stored: the next full second.
func stamp(now time.Time) metav1.Time {
	whole := now.Truncate(time.Second)
	if whole.Before(now) {
		whole = whole.Add(time.Second)
	}
	return metav1.NewTime(whole)
}

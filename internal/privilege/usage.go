package privilege

import (
	"slices"
	"time"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/activity"
	"github.com/countersign-dev/countersign/internal/approval"
	"github.com/countersign-dev/countersign/internal/policy"
)

// leastRecord is how long uses must have been recorded before a right is called unused.
const leastRecord = 24 * time.Hour

// lastKept is how many of the last actions are kept in an AgentActivity whether or not anything asks for them.
const lastKept = 50

// use is one use of a right that somebody has recorded.
type use struct {
	operation                    v1alpha1.Operation
	group, resource, subresource string
	namespace, name              string
	// task as policy/task, empty where none covered it.
	task string
	time time.Time
}

// indexUses collects what is recorded, by user name.
func (r *Review) indexUses() map[string][]use {
	uses := map[string][]use{}
	for username, a := range r.activities {
		for i := range a.Status.Recent {
			e := &a.Status.Recent[i]
			uses[username] = append(uses[username], use{
				e.Operation, e.Group, e.Resource, e.Subresource, e.Namespace, e.Name, e.Task, e.Time.Time,
			})
		}
	}
	for username, approvals := range r.approvals {
		for _, a := range approvals {
			uses[username] = append(uses[username], usesOf(a)...)
		}
	}
	return uses
}

// usesOf are the uses of an approval. Of a run of a task only the task is known.
func usesOf(a *v1alpha1.ActionApproval) []use {
	var uses []use
	for i := range a.Status.Uses {
		if a.Status.Uses[i].Outcome == v1alpha1.UseReturned {
			continue
		}
		u := use{time: a.Status.Uses[i].Time.Time}
		switch {
		case a.Spec.Action != nil:
			asked := a.Spec.Action
			u.operation, u.group, u.resource, u.subresource = asked.Operation, asked.Group, asked.Resource, asked.Subresource
			u.namespace, u.name = asked.Namespace, asked.Name
		case a.Spec.Task != nil:
			u.task = a.Spec.Task.Policy + "/" + a.Spec.Task.Name
		}
		uses = append(uses, u)
	}
	return uses
}

// recorded says what is known about what a subject did, and finds out since when.
func (j *judge) recorded(s Subject, naming []*policy.Policy, lookBack time.Duration) (Recorded, []string) {
	r := j.review
	username := s.Username()
	if username == "" {
		return Recorded{}, []string{"what the members of the group did: it is recorded by user name. Ask for each of them"}
	}
	var known Recorded
	var notKnown []string
	for i := range j.uses {
		if j.uses[i].time.After(known.Last) {
			known.Last = j.uses[i].time
		}
	}
	for _, a := range r.approvals[username] {
		known.Approvals += len(usesOf(a))
	}
	a := r.activities[username]
	switch {
	case r.Missing.Activities: // said once for the cluster
	case a != nil:
		known.Actions = len(a.Status.Recent)
		j.since = sinceOf(a, lookBack, r.Now)
	case lookBack > 0:
		j.since = r.Now.Add(-activity.MaxLookBack)
		notKnown = append(notKnown, "whether somebody has deleted its AgentActivity: there is none, so it did nothing that is recorded "+
			"in the last week, or the record is gone")
	}
	// Nothing was recorded before there were policies.
	var first time.Time
	for _, p := range naming {
		if first.IsZero() || p.CreatedAt.Before(first) {
			first = p.CreatedAt
		}
	}
	if !j.since.IsZero() && first.After(j.since) {
		j.since = first
	}
	known.Since = j.since
	return known, notKnown
}

// sinceOf is since when an activity holds all that is recorded.
func sinceOf(a *v1alpha1.AgentActivity, lookBack time.Duration, now time.Time) time.Time {
	since := now.Add(-lookBack)
	recent := a.Status.Recent
	if int64(len(recent)) >= a.Status.Admitted && a.CreationTimestamp.Time.Before(since) {
		return a.CreationTimestamp.Time // nothing was dropped yet
	}
	if len(recent) >= lastKept {
		if last := recent[len(recent)-lastKept].Time.Time; last.Before(since) {
			return last
		}
	}
	if a.CreationTimestamp.Time.After(since) {
		return a.CreationTimestamp.Time
	}
	return since
}

// use says whether a right was used lately.
func (j *judge) use(g *Grant, r *Right, v verdict) {
	r.Use = UseUnknown
	class := r.classes[0].class
	for i := range j.uses {
		u := &j.uses[i]
		if !class.is(u) || g.Namespace != "" && u.namespace != g.Namespace || len(r.Names) > 0 && !slices.Contains(r.Names, u.name) {
			continue
		}
		if class.scale {
			return // a scale and another update of the workload are recorded alike
		}
		r.Use = Used
		if !slices.Contains(r.usedIn, u.namespace) {
			r.usedIn = append(r.usedIn, u.namespace)
		}
		if u.time.After(r.LastUsed) {
			r.LastUsed = u.time
		}
	}
	since := j.recordedSince(v)
	if r.Use == UseUnknown && v.coverage == ByTask && v.recorded && !since.IsZero() && j.review.Now.Sub(since) >= leastRecord {
		r.Use, r.UnusedSince = Unused, since
	}
}

// recordedSince is since when uses under the tasks of a verdict are recorded: not before there were the policies.
func (j *judge) recordedSince(v verdict) time.Time {
	since := j.since
	for _, t := range v.tasks {
		if p := j.review.Set.Policy(t.Policy); p != nil && p.CreatedAt.After(since) && !since.IsZero() {
			since = p.CreatedAt
		}
	}
	return since
}

// is says whether a use was one of the class.
func (c *classOf) is(u *use) bool {
	return c.operation == u.operation && c.group == u.group && c.resource == u.resource && c.subresource == u.subresource
}

// stateOf is the state that is written in an approval and, where none is, what follows from the rest.
func (r *Review) stateOf(a *v1alpha1.ActionApproval) approval.State {
	return approval.Evaluate(a, r.Now)
}

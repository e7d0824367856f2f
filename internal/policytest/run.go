package policytest

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/action"
	"github.com/countersign-dev/countersign/internal/activity"
	"github.com/countersign-dev/countersign/internal/approval"
	"github.com/countersign-dev/countersign/internal/intake"
	"github.com/countersign-dev/countersign/internal/policy"
)

// Result is what became of a case.
type Result struct {
	// File and Suite hold the case, Name is its own.
	File, Suite, Name string
	// At is the instant of the decision.
	At time.Time
	// What says who does what; Text is the refusal, empty where there is none.
	What, Text string
	// Decision as the webhook would make it.
	Decision policy.Decision
	// Mismatches are what is not as expected. Without any the case passes.
	Mismatches []Mismatch
	// Error says why the case could not be tried at all. Nil where it was.
	Error error
}

// Mismatch is one thing that is not as expected.
type Mismatch struct {
	// Field of the expectation.
	Field string `json:"field"`
	Want  string `json:"want"`
	Got   string `json:"got"`
}

// Passed says that everything is as expected.
func (r *Result) Passed() bool { return r.Error == nil && len(r.Mismatches) == 0 }

// Coverage says which tasks of the policies of a suite were tried.
type Coverage struct {
	// Untried are tasks, as policy/task, that covered the action of no case.
	Untried []string
}

// suite is one that is ready to run.
type suite struct {
	*Suite
	file     string
	folder   folder
	policies *policy.Set
	custom   []map[string]any
	objects  []map[string]any
}

// Run tries the cases of a suite that are selected. An error says why none can be tried.
func (s *Suite) Run(ctx context.Context, file string, selected func(name string) bool) ([]Result, Coverage, error) {
	r := &suite{Suite: s, file: file, folder: folder(filepath.Dir(file))}
	var err error
	if r.policies, err = s.compile(r.folder); err != nil {
		return nil, Coverage{}, fmt.Errorf("%s: %w", file, err)
	}
	if r.objects, err = r.folder.all(s.Objects, "objects"); err != nil {
		return nil, Coverage{}, fmt.Errorf("%s: %w", file, err)
	}
	for _, k := range s.Kinds {
		r.custom = append(r.custom, definitionOf(k))
	}
	if _, err := r.world(nil); err != nil {
		return nil, Coverage{}, fmt.Errorf("%s: %w", file, err)
	}
	var results []Result
	for i := range s.Cases {
		if selected(s.Cases[i].Name) {
			results = append(results, r.try(ctx, &s.Cases[i]))
		}
	}
	return results, r.coverage(results), nil
}

func (s *suite) world(more []Manifest) (*world, error) {
	added, err := s.folder.all(more, "objects")
	if err != nil {
		return nil, err
	}
	objects := slices.DeleteFunc(slices.Concat(s.objects, added), func(o map[string]any) bool { return o["kind"] == Kind })
	kinds, err := kindsOf(s.Kinds, objects)
	if err != nil {
		return nil, err
	}
	return newWorld(kinds, slices.Concat(s.custom, objects))
}

// try runs one case.
func (s *suite) try(ctx context.Context, c *Case) Result {
	r := Result{File: s.file, Suite: s.Metadata.Name, Name: c.Name}
	at := c.At
	if at == nil {
		at = s.At
	}
	if at == nil {
		r.Error = errors.New("at: say when, in the case or for all of them")
		return r
	}
	r.At = at.Time
	w, err := s.world(c.Objects)
	if err != nil {
		r.Error = err
		return r
	}
	actor := c.Actor
	if actor == nil && c.Review == nil {
		actor = s.Actor
	}
	review, err := c.review(s.folder, w, actor, at.Time)
	if err != nil {
		r.Error = err
		return r
	}
	if r.Error = s.decide(ctx, &r, intake.RequestOf(review), w, c); r.Error == nil {
		r.Mismatches, r.Error = c.Expect.compare(&r)
	}
	return r
}

// hasher makes hashes that mean nothing outside of a test: refusals show none.
var hasher = action.Hasher{KeyID: "test", Key: []byte("test")}

// decide judges a request as the webhook of actions does.
func (s *suite) decide(ctx context.Context, r *Result, request action.Request, w *world, c *Case) error {
	cluster := &intake.Cluster{Kinds: w.kinds, Live: w}
	in, err := cluster.Input(ctx, request, r.At)
	if err != nil {
		r.Decision = policy.Failure(intake.ReasonOf(err), err.Error())
		r.refuse(&request, nil)
		return nil
	}
	past, err := c.past(w, request.Actor.Username, r.At)
	if err != nil {
		return err
	}
	if s.policies.NeedsHistory(in) != policy.NotNeeded {
		at := activity.Attempt{Action: in.Action}
		if at.Key, err = approval.AttemptKey(in.Action, hasher.Hash(in.Action), request.ID); err != nil {
			at.Key = "review." + request.ID
		}
		in.History = activity.Before(past, at, r.At)
	}
	r.Decision = s.policies.Decide(in)
	if r.Decision.Governed && r.Decision.Outcome == policy.Ask {
		r.Decision.Remedy.Ask = "people can approve this" // which request that would be, only a cluster says
	}
	r.refuse(&request, in.Action)
	return nil
}

// refuse writes what the actor would read.
func (r *Result) refuse(request *action.Request, a *action.Action) {
	headline := intake.Headline(request, a)
	r.What = strings.Replace(headline, " may not ", ": ", 1)
	if r.Decision.Outcome != policy.Allow {
		r.Text = policy.Refusal(headline, &r.Decision, "")
	}
}

// past is the activity of the actor.
func (c *Case) past(w *world, username string, now time.Time) (*v1alpha1.AgentActivityStatus, error) {
	status := &v1alpha1.AgentActivityStatus{Username: username}
	for i, p := range c.History {
		ago, err := time.ParseDuration(string(p.Ago))
		if err != nil || ago < 0 {
			return nil, fmt.Errorf("history[%d].ago: a duration such as 10m, not %q", i, p.Ago)
		}
		resource, subresource := parseResource(p.Resource)
		for n := range max(p.Count, 1) {
			status.Recent = append(status.Recent, v1alpha1.AdmittedAction{
				Key: fmt.Sprintf("past.%d.%d", i, n), Time: metav1.NewTime(now.Add(-ago)), Operation: p.Operation,
				Group: resource.Group, Resource: resource.Resource, Subresource: subresource,
				Namespace: p.Namespace, Name: p.Name, UID: w.uid(resource, p.Namespace, p.Name), Task: p.Task,
			})
		}
	}
	slices.SortStableFunc(status.Recent, func(a, b v1alpha1.AdmittedAction) int { return a.Time.Compare(b.Time.Time) })
	return status, nil
}

// coverage finds the tasks that no case reached.
func (s *suite) coverage(results []Result) Coverage {
	tried := map[string]bool{}
	for i := range results {
		tried[results[i].Decision.TaskName()] = true
		for j := range results[i].Decision.Shadows {
			tried[results[i].Decision.Shadows[j].Decision.TaskName()] = true
		}
	}
	var c Coverage
	for _, p := range s.policies.Policies() {
		for _, name := range p.TaskNames() {
			if task := p.Name + "/" + name; !tried[task] {
				c.Untried = append(c.Untried, task)
			}
		}
	}
	return c
}

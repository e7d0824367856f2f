package command

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/approval"
	"github.com/countersign-dev/countersign/internal/decisionlog"
	"github.com/countersign-dev/countersign/internal/policy"
	"github.com/countersign-dev/countersign/internal/policytest"
	"github.com/countersign-dev/countersign/internal/rehearsal"
)

// recorded is a refusal as it was recorded: by the approval that it opened, or by a line of the decision log.
type recorded struct {
	// title says where it is recorded, when and about whom.
	title string
	at    time.Time
	actor decisionlog.Actor
	// action is nil where a run of a task was asked for.
	action *decisionlog.Action
	task   *v1alpha1.RequestedTask
	// facts are what else is known, as labels and texts.
	facts [][2]string
	// namespace of the approval.
	namespace string
}

func (r *recorded) fact(label, format string, args ...any) {
	r.facts = append(r.facts, [2]string{label, fmt.Sprintf(format, args...)})
}

// recordedIn is what a line of the decision log says.
func recordedIn(e *decisionlog.Event) *recorded {
	r := &recorded{at: e.Time, actor: e.Data.Actor, action: &e.Data.Action}
	r.title = fmt.Sprintf("review %s, recorded by %s", e.ID, e.Source)
	r.fact("outcome", "%s", e.Data.Outcome)
	for _, o := range e.Data.Obstacles {
		r.fact("obstacle", "%s: %s", o.Reason, o.Detail)
	}
	for _, p := range e.Data.Policies {
		r.fact("policy", "%s, generation %d (window %s)", p.Name, p.Generation, p.Window)
	}
	if e.Data.Task != "" {
		r.fact("task", "%s", e.Data.Task)
	}
	if e.Data.Approval != "" {
		r.fact("approval", "%s", e.Data.Approval)
	}
	return r
}

// maxLine bounds a line of a log, in bytes.
const maxLine = 16 << 20

// findInLog reads a decision log and returns the last refusal, or the decision of a name: the UID of its review, the hash of
// its action, or its approval. Lines that are no decisions are passed over.
func (e *Environment) findInLog(path, name, username string) (*decisionlog.Event, error) {
	in := e.In
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer func() { _ = file.Close() }() // it was only read
		in = file
	}
	return lastIn(in, func(event *decisionlog.Event) bool {
		d := &event.Data
		if username != "" && event.Subject != username {
			return false
		}
		if name == lastRefusal {
			return d.Outcome != policy.Allow
		}
		return name == event.ID || name == d.Action.Hash || name == d.Approval || strings.HasSuffix(d.Approval, "/"+name)
	})
}

func lastIn(in io.Reader, fits func(*decisionlog.Event) bool) (*decisionlog.Event, error) {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxLine)
	var found *decisionlog.Event
	for lines.Scan() {
		event := &decisionlog.Event{}
		if json.Unmarshal(lines.Bytes(), event) == nil && event.Type == decisionlog.EventType && fits(event) {
			found = event
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("reading the log: %w", err)
	}
	if found == nil {
		return nil, errors.New("the log holds no such decision")
	}
	return found, nil
}

// again is the action as it would be tried now. An error says why it cannot be made again from what is recorded.
func (r *recorded) again(ctx context.Context, j *judge) (*rehearsal.Act, error) {
	a := r.action
	facts, err := j.cluster.Kinds.Facts(a.Group, a.Resource)
	if err != nil {
		return nil, err
	}
	act := &rehearsal.Act{
		Operation: v1alpha1.Operation(a.Operation), Resource: schema.GroupResource{Group: a.Group, Resource: a.Resource},
		Subresource: a.Subresource, Kind: facts, Namespace: a.Namespace, Name: a.Name, Options: map[string]any{},
	}
	t := &target{kind: schema.GroupVersionKind{Group: a.Group, Version: facts.PreferredVersion, Kind: facts.Kind}}
	switch act.Operation {
	case v1alpha1.OperationConnect:
		return act, nil
	case v1alpha1.OperationDelete:
		act.Options["propagationPolicy"] = string(metav1.DeletePropagationBackground)
		act.Old, err = j.live(ctx, act, t)
		return act, err
	case v1alpha1.OperationUpdate:
		if act.Old, err = j.live(ctx, act, t); err != nil {
			return nil, err
		}
		act.New, err = r.changed(act.Old)
		return act, err
	default:
		return nil, errors.New("the object that was to be created is not recorded: ask with can-i create -f")
	}
}

// changed is an object with the recorded changes.
func (r *recorded) changed(old map[string]any) (map[string]any, error) {
	if r.action.MoreChanges > 0 {
		return nil, fmt.Errorf("%d of its changes are not recorded", r.action.MoreChanges)
	}
	object := (&unstructured.Unstructured{Object: old}).DeepCopy().Object
	for _, c := range r.action.Changes {
		if strings.Contains(c.From+c.To, "***") {
			return nil, fmt.Errorf("it changes %s, whose value is secret and not recorded", c.Path)
		}
		var err error
		switch {
		case c.To == "":
			object, err = policytest.Edit(object, nil, []string{c.Path})
			if errors.Is(err, policytest.ErrAbsent) { // it is gone already
				err = nil
			}
		case !json.Valid([]byte(c.To)):
			return nil, fmt.Errorf("it changes %s to a value that is too long to be recorded", c.Path)
		default:
			object, err = policytest.Edit(object, map[string]json.RawMessage{c.Path: json.RawMessage(c.To)}, nil)
		}
		if err != nil {
			return nil, fmt.Errorf("making its changes again: %w", err)
		}
	}
	return object, nil
}

// approvalNamed reads one approval, or the latest request of a namespace.
func (j *judge) approvalNamed(ctx context.Context, namespace, name, username string) (*v1alpha1.ActionApproval, error) {
	if name != lastRefusal {
		a := &v1alpha1.ActionApproval{}
		if err := j.reader.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, a); err != nil {
			return nil, fmt.Errorf("reading approval %s/%s: %w", namespace, name, err)
		}
		return a, nil
	}
	var list v1alpha1.ActionApprovalList
	if err := j.reader.List(ctx, &list, client.InNamespace(namespace)); err != nil {
		return nil, fmt.Errorf("listing approvals: %w", err)
	}
	var latest *v1alpha1.ActionApproval
	for i := range list.Items {
		a := &list.Items[i]
		if username != "" && a.Spec.Requester.Username != username {
			continue
		}
		if latest == nil || isLater(a, latest) {
			latest = a
		}
	}
	if latest == nil {
		where := "in namespace " + namespace
		if namespace == "" {
			where = "in the cluster"
		}
		return nil, fmt.Errorf("there is no approval %s, so no refusal that asked for one: others stand in the decision log, see --log", where)
	}
	return latest, nil
}

// isLater says whether a was asked for after b. Of one second, it is the one that still waits: the other has been decided.
func isLater(a, b *v1alpha1.ActionApproval) bool {
	if !a.CreationTimestamp.Equal(&b.CreationTimestamp) {
		return b.CreationTimestamp.Before(&a.CreationTimestamp)
	}
	_, aEnded := approval.Ended(a)
	_, bEnded := approval.Ended(b)
	return bEnded && !aEnded
}

package approval

import (
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/action"
	"github.com/countersign-dev/countersign/internal/naming"
)

// Bounds of the custom resource.
const (
	maxChanges = 64
	maxPath    = 1024
)

// Request is what consent is asked for: one exact action, or one run of a task.
type Request struct {
	// Action with its Hash and, for an UPDATE or DELETE, Base; or Task.
	Action *action.Action
	Hash   string
	Base   Base
	Task   *Task
	// Requester is who asks.
	Requester action.Actor
	// Reasons are what consent would waive. Every policy they name must stand in Requirements.
	Reasons []v1alpha1.ApprovalReason
	// Requirements say whose consent is needed: at least one, each with approvals to give.
	Requirements []v1alpha1.StampedRequirement
	// ValidFor and RequestExpiresAfter are more than zero.
	ValidFor, RequestExpiresAfter time.Duration
	// BindTo is what of the requester must be the same later. Empty: BindToUser.
	BindTo v1alpha1.Binding
	// Follows names the earlier request for the same thing that has ended, if there is one.
	Follows string
	// OperatorNamespace is where requests for cluster-scoped targets go.
	OperatorNamespace string
}

// Task is one run of a task, in one namespace.
type Task struct {
	Policy, Name, Namespace string
	MaxActions              int32
}

// requester is the requester as it is recorded.
func requester(a *action.Actor) v1alpha1.Requester {
	return v1alpha1.Requester{
		Username: a.Username, UID: a.UID, PodName: a.PodName, PodUID: a.PodUID, CredentialID: a.CredentialID,
	}
}

// Namespace is where the approval is.
func (r *Request) Namespace() string {
	switch {
	case r.Task != nil:
		return r.Task.Namespace
	case r.Action != nil && r.Action.Namespaced:
		return r.Action.Namespace
	default:
		return r.OperatorNamespace
	}
}

// Name is the name of the approval. Its readable part is that of the target: who asks, and for what, stands beside it
// in tables, which would not fit on a screen with all of it.
func (r *Request) Name() string {
	who, to := requester(&r.Requester), r.bindTo()
	if t := r.Task; t != nil {
		return name(who, to, r.runSubject(), r.Follows, t.Name)
	}
	return name(who, to, r.Hash, r.Follows, targetName(r.Action))
}

// runSubject identifies what a request for a run is about. Runs that waive other reasons are other ones: one that has
// begun outside of a window does not cover the freeze that comes.
func (r *Request) runSubject() string {
	var b strings.Builder
	fmt.Fprintf(&b, "task %d:%s,%s/%s*%d", len(r.Task.Policy), r.Task.Policy, r.Task.Namespace, r.Task.Name, r.Task.MaxActions)
	for _, reason := range r.Reasons {
		for _, text := range []string{reason.Type, reason.Policy, reason.Task, reason.Name} {
			fmt.Fprintf(&b, ",%d:%s", len(text), text)
		}
	}
	return b.String()
}

// targetName is the name of what is acted upon, or the prefix of one that is generated.
func targetName(a *action.Action) string {
	if a.Name == "" {
		return a.GenerateName
	}
	return a.Name
}

func (r *Request) bindTo() v1alpha1.Binding {
	if r.BindTo == "" {
		return v1alpha1.BindToUser
	}
	return r.BindTo
}

// Build writes the approval, pending. Its status is that of StatusOf.
func (r *Request) Build(now time.Time) (*v1alpha1.ActionApproval, error) {
	if err := r.check(); err != nil {
		return nil, fmt.Errorf("building a request for approval: %w", err)
	}
	a := &v1alpha1.ActionApproval{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "ActionApproval"},
		ObjectMeta: metav1.ObjectMeta{Namespace: r.Namespace(), Name: r.Name()},
		Spec:       r.spec(now),
	}
	if r.Task != nil {
		a.Spec.Task = &v1alpha1.RequestedTask{
			Policy: r.Task.Policy, Name: r.Task.Name, MaxActions: r.Task.MaxActions, ValidFor: duration(r.ValidFor),
		}
	} else {
		a.Spec.Action = r.action()
	}
	if r.Base != "" {
		a.Annotations = map[string]string{BaseAnnotation: string(r.Base)}
	}
	return a, nil
}

func (r *Request) spec(now time.Time) v1alpha1.ActionApprovalSpec {
	expires := stamp(now.Add(r.RequestExpiresAfter))
	return v1alpha1.ActionApprovalSpec{
		Requester:        requester(&r.Requester),
		Reasons:          slices.Clone(r.Reasons),
		Requirements:     slices.Clone(r.Requirements),
		Follows:          r.Follows,
		RequestExpiresAt: &expires,
		ValidFor:         duration(r.ValidFor),
		BindTo:           r.bindTo(),
	}
}

// action writes the action for people, and its hash.
func (r *Request) action() *v1alpha1.RequestedAction {
	a := r.Action
	return &v1alpha1.RequestedAction{
		Operation: a.Operation, Group: a.Group, Version: a.Version, Resource: a.Resource, Subresource: a.Subresource,
		Namespace: a.Namespace, Name: targetName(a), UID: a.UID, Hash: r.Hash,
		Changes: changes(a), Diff: Diff(a),
	}
}

// changes are the first changes of an action, without secret values.
func changes(a *action.Action) []v1alpha1.FieldChange {
	var all []v1alpha1.FieldChange
	for _, c := range a.Changes[:min(len(a.Changes), maxChanges)] {
		from, to := a.Render(c)
		all = append(all, v1alpha1.FieldChange{Path: shown(c.Path), From: from, To: to})
	}
	return all
}

// shown is a path for people, cut where it is too long.
func shown(p action.Path) string {
	return naming.Cut(p.String(), maxPath)
}

package approval

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/action"
)

// Terms are what the policy says about a run of a task, for a requester who asks for it before acting.
type Terms struct {
	// Governed says that the policy and task exist, that the task takes consent to whole runs, and that the requester
	// is one of the policy's subjects. Nothing else counts where it does not hold, but Why, which says so in words.
	Governed bool
	Why      string
	// Reasons are all that consent to a run of the task would waive.
	Reasons []v1alpha1.ApprovalReason
	// Requirements say whose consent is needed.
	Requirements []v1alpha1.StampedRequirement
	// MaxActions and ValidFor are the most that may be asked for.
	MaxActions int32
	ValidFor   time.Duration
	// RequestExpiresAfter is how long the request waits for people.
	RequestExpiresAfter time.Duration
	// BindTo is what of the requester must be the same later.
	BindTo v1alpha1.Binding
}

// StampCreate does what the mutating webhook does to an approval that somebody else than the operator creates: it
// writes everything but what the requester may say, which is the task, how much of it, and why. It judges nothing:
// ValidateCreate does.
func StampCreate(created *v1alpha1.ActionApproval, caller Caller, terms Terms, now time.Time) {
	spec := &created.Spec
	if spec.Task == nil {
		return
	}
	if spec.Task.MaxActions == 0 {
		spec.Task.MaxActions = terms.MaxActions
	}
	if spec.Task.ValidFor == "" {
		spec.Task.ValidFor = duration(terms.ValidFor)
	}
	expires := stamp(now.Add(terms.RequestExpiresAfter))
	created.Spec = v1alpha1.ActionApprovalSpec{
		Task: spec.Task, Justification: spec.Justification, Action: spec.Action,
		Decision: spec.Decision, Decisions: spec.Decisions, // for ValidateCreate to refuse
		Requester:        requester(&caller.Actor),
		Reasons:          slices.Clone(terms.Reasons),
		Requirements:     slices.Clone(terms.Requirements),
		RequestExpiresAt: &expires,
		ValidFor:         duration(terms.ValidFor),
		BindTo:           terms.BindTo,
	}
}

// ValidateCreate says what is wrong with an approval that somebody else than the operator creates: only a requester's
// own request for a run of a task is right, under a name of their own or the one that Countersign would give, with
// everything else as StampCreate writes it.
func ValidateCreate(
	created *v1alpha1.ActionApproval, caller Caller, terms Terms, now time.Time, tolerance time.Duration,
) field.ErrorList {
	v := judge{old: &v1alpha1.ActionApproval{}, updated: created, caller: caller, now: now, tolerance: tolerance}
	v.metadata()
	v.legible(created.Spec.Justification, specPath.Child("justification"))
	if IsReserved(created.Name) && !terms.names(created, &caller) {
		v.forbid(field.NewPath("metadata", "name"), "names that end in a hash are given by Countersign")
	}
	if len(created.Spec.Decisions) > 0 || created.Spec.Decision != nil {
		v.forbid(specPath.Child("decisions"), "nobody can have decided yet")
	}
	if created.Spec.Task == nil || created.Spec.Action != nil {
		v.forbid(specPath, "requests for actions are opened by Countersign when it refuses them; create one for a task")
		return v.errs
	}
	v.run(terms)
	return v.errs
}

// run checks a request for a run of a task against the terms of the policy.
func (v *judge) run(terms Terms) {
	spec, at := &v.updated.Spec, specPath.Child("task")
	if err := terms.check(&v.caller, spec.Task); err != nil {
		v.forbid(at, "%v", err)
		return
	}
	if n := spec.Task.MaxActions; n < 1 || n > terms.MaxActions {
		v.forbid(at.Child("maxActions"), "at most %d", terms.MaxActions)
	}
	if length := parsed(spec.Task.ValidFor); length <= 0 || length > terms.ValidFor {
		v.forbid(at.Child("validFor"), "more than zero and at most %s", duration(terms.ValidFor))
	}
	want := v.updated.DeepCopy()
	StampCreate(want, v.caller, terms, v.now)
	if v.near(spec.RequestExpiresAt, want.Spec.RequestExpiresAt) {
		want.Spec.RequestExpiresAt = spec.RequestExpiresAt
	}
	if !equality.Semantic.DeepEqual(*spec, want.Spec) {
		v.forbid(specPath, "not as Countersign writes it: a requester says only task and justification")
	}
}

// Request is the request that an approval with a task amounts to under the terms, as Countersign would open it.
func (t *Terms) Request(created *v1alpha1.ActionApproval, who action.Actor) *Request {
	asked := created.Spec.Task
	return &Request{
		Task:      &Task{Policy: asked.Policy, Name: asked.Name, Namespace: created.Namespace, MaxActions: asked.MaxActions},
		Requester: who, Reasons: t.Reasons, Requirements: t.Requirements, ValidFor: t.ValidFor,
		RequestExpiresAfter: t.RequestExpiresAfter, BindTo: t.BindTo,
	}
}

// names says whether an approval has the name that Countersign would give it.
func (t *Terms) names(created *v1alpha1.ActionApproval, caller *Caller) bool {
	return created.Spec.Task != nil && t.Governed && t.Request(created, caller.Actor).Name() == created.Name
}

// near says whether two instants are the same within the tolerance.
func (v *judge) near(a, b *metav1.Time) bool {
	return a != nil && b != nil && a.Sub(b.Time).Abs() <= v.tolerance
}

// check says why nobody could use or grant a request for a run.
func (t *Terms) check(caller *Caller, task *v1alpha1.RequestedTask) error {
	who := requester(&caller.Actor)
	switch {
	case !t.Governed && t.Why != "":
		return errors.New(t.Why)
	case !caller.Governed || !t.Governed:
		return fmt.Errorf("policy %s lets this user not ask for runs of task %s", task.Policy, task.Name)
	case len(t.Requirements) == 0:
		return errors.New("the policy says not who consents")
	default:
		return bindable(who, t.BindTo)
	}
}

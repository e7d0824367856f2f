package webhooks

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/action"
	"github.com/countersign-dev/countersign/internal/approval"
	"github.com/countersign-dev/countersign/internal/intake"
	"github.com/countersign-dev/countersign/internal/policy"
)

// concerns says whether an approval, as the cache shows it, may be one for the action: then it is read live.
func (p *plea) concerns(candidate *v1alpha1.ActionApproval, now time.Time) bool {
	act, ended := p.in.Action, approval.Evaluate(candidate, now).Terminal()
	if asked := candidate.Spec.Action; asked != nil {
		// What follows a deletion that was admitted shows another object, and comes when the approval is spent.
		return act.Operation == v1alpha1.OperationDelete && asked.UID == act.UID || asked.Hash == p.v.hash && !ended
	}
	if isBeingDeleted(act) && (approval.Continuation(candidate, act, now) || !endedLongAgo(candidate, now)) {
		return true // whatever is asked by now: the deletion has begun
	}
	asked, run := candidate.Spec.Task, p.request.Task
	return !ended && asked != nil && run != nil && asked.Policy == run.Policy && asked.Name == run.Name
}

// endedLongAgo says whether the use of a deletion that goes on would be in the cache, if the approval had one: it may
// have run out since, while the cache does not show the use yet.
func endedLongAgo(candidate *v1alpha1.ActionApproval, now time.Time) bool {
	return approval.Evaluate(candidate, now.Add(-time.Minute)).Terminal()
}

func isBeingDeleted(a *action.Action) bool {
	metadata, _ := a.Old["metadata"].(map[string]any)
	return a.Operation == v1alpha1.OperationDelete && metadata["deletionTimestamp"] != nil
}

// exhausted notes an approval whose uses are all made, where the new request is for the same.
func (p *plea) exhausted(live *v1alpha1.ActionApproval) {
	if (live.Spec.Task == nil) == (p.request.Task == nil) {
		p.usedUp = append(p.usedUp, live.Name)
	}
}

var taskPath = field.NewPath("spec", "task")

// stampCreate writes what somebody may not say who asks for a run of a task. What is wrong with it is said here
// already: the schema, which is looked at next, knows nothing about policies.
func (w *ApprovalWebhook) stampCreate(
	ctx context.Context, r *admission.Request, created *v1alpha1.ActionApproval, caller approval.Caller,
) (field.ErrorList, error) {
	terms, err := w.terms(ctx, r.Namespace, created, caller.Actor)
	if err != nil {
		return nil, err
	}
	now := w.Approvals.Clock.Now()
	approval.StampCreate(created, caller, terms, now)
	return approval.ValidateCreate(created, caller, terms, now, clockTolerance), nil
}

// validateCreate judges a request that somebody else than the operator creates.
func (w *ApprovalWebhook) validateCreate(
	ctx context.Context, r *admission.Request, created *v1alpha1.ActionApproval, caller approval.Caller,
) (field.ErrorList, error) {
	terms, err := w.terms(ctx, r.Namespace, created, caller.Actor)
	if err != nil {
		return nil, err
	}
	errs := approval.ValidateCreate(created, caller, terms, w.Approvals.Clock.Now(), clockTolerance)
	if len(errs) > 0 {
		return errs, nil
	}
	why, err := w.Approvals.untimely(ctx, terms.Request(created, caller.Actor), created.Name, r.DryRun != nil && *r.DryRun)
	if why != "" {
		errs = append(errs, field.Forbidden(taskPath, why))
	}
	return errs, err
}

// terms are what the policies say about the run that an approval asks for.
func (w *ApprovalWebhook) terms(
	ctx context.Context, namespace string, created *v1alpha1.ActionApproval, who action.Actor,
) (approval.Terms, error) {
	asked, set := created.Spec.Task, w.Approvals.Registry.Set()
	switch {
	case asked == nil:
		return approval.Terms{}, nil
	case set == nil:
		return approval.Terms{Why: "Countersign has not read its policies yet: repeat the request later"}, nil
	}
	labels, err := w.Cluster.NamespaceLabels(ctx, &action.Action{Namespaced: true, Namespace: namespace})
	if err != nil {
		return approval.Terms{}, err
	}
	consent, err := set.Terms(asked.Policy, asked.Name, policy.Place{Actor: who, Namespace: namespace, NamespaceLabels: labels})
	if err != nil {
		return approval.Terms{Why: err.Error()}, nil //nolint:nilerr // it is answered
	}
	return approval.Terms{
		Governed: true, Reasons: intake.ApprovalReasons(&consent), Requirements: intake.ApprovalRequirements(&consent),
		MaxActions: consent.Run.MaxActions, ValidFor: consent.ValidFor,
		RequestExpiresAfter: consent.RequestExpiresAfter, BindTo: consent.BindTo,
	}, nil
}

// untimely says why a run cannot be asked for now, empty where it can. It counts as an opened request, as those do that
// follow from refusals.
func (a *Approvals) untimely(ctx context.Context, asked *approval.Request, name string, dryRun bool) (string, error) {
	known, err := a.ofRequester(ctx, asked.Requester.Username)
	if err != nil {
		return "", err
	}
	now := a.Clock.Now()
	if denied, until := approval.Cooling(known, asked, now); denied != nil {
		return fmt.Sprintf("people refused this in approval %s; it cannot be asked for again before %s",
			nameOf(denied), until.UTC().Format(time.RFC3339)), nil
	}
	for _, k := range known {
		if approval.Covers(k, asked) && approval.Evaluate(k, now) == approval.Pending {
			return "approval " + nameOf(k) + " asks for a run of this task already: wait until it is approved, and act then", nil
		}
	}
	if dryRun {
		return "", nil
	}
	return a.bounded(ctx, asked.Requester.Username, client.ObjectKey{Namespace: asked.Namespace(), Name: name}, known, now), nil
}

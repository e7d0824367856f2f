package webhooks

import (
	"context"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/approval"
	"github.com/countersign-dev/countersign/internal/policy"
)

// open finds or opens the request for an action that no approval lets pass.
func (a *Approvals) open(ctx context.Context, p *plea, known []*v1alpha1.ActionApproval) error {
	now := a.Clock.Now()
	if denied, until := approval.Cooling(known, &p.request, now); denied != nil {
		p.refuse(denied, "people refused this; it cannot be asked for again before "+until.UTC().Format(time.RFC3339))
		return nil
	}
	if p.in.Action.DryRun {
		p.v.decision.Remedy.Ask = "the same command without dry run opens a request for approval"
		return nil
	}
	switch current, err := a.current(ctx, p); {
	case err != nil:
		return err
	case !current:
		p.v.decision.Remedy.Ask = staleAdvice
		return nil
	}
	if err := a.supersede(ctx, p, known, now); err != nil {
		return err
	}
	found, err := a.locate(ctx, p, known, now)
	if err != nil {
		return err
	}
	if found != nil {
		p.standing(found, now)
		return nil
	}
	request := client.ObjectKey{Namespace: p.request.Namespace(), Name: p.request.Name()}
	if why := a.bounded(ctx, p.in.Action.Actor.Username, request, known, now); why != "" {
		p.v.decision.Remedy.Ask = why
		return nil
	}
	return a.create(ctx, p, now)
}

// current says whether what people would be asked about is so: who asks is whom the review says, and the object is as it
// shows, where the operator may look.
func (a *Approvals) current(ctx context.Context, p *plea) (bool, error) {
	seen, err := a.compare(ctx, p.in.Action, p.request.Task != nil)
	if err != nil || seen == objectStale {
		return false, err
	}
	return possibleAccount(ctx, a.Live, p.in.Action.Actor)
}

// supersede ends the approvals for the same change from where the object does not start any more.
func (a *Approvals) supersede(ctx context.Context, p *plea, known []*v1alpha1.ActionApproval, now time.Time) error {
	for _, k := range known {
		if !usable(k, now) {
			continue
		}
		reason, gone := approval.Superseded(k, &p.request, p.request.Base)
		if !gone {
			continue
		}
		if err := a.end(ctx, client.ObjectKeyFromObject(k), "Void: "+reason); err != nil {
			return fmt.Errorf("ending approval %s: %w", nameOf(k), err)
		}
		p.void(k, reason)
	}
	return nil
}

// standing says what an approval means that the cache did not show yet.
func (p *plea) standing(found *v1alpha1.ActionApproval, now time.Time) {
	switch state := approval.Evaluate(found, now); state {
	case approval.Pending:
		p.wait(found)
	case approval.Approved:
		p.v.decision.Approval = nameOf(found)
		p.v.decision.Remedy.Ask = "approval " + nameOf(found) + " is granted, repeat the same command"
	default:
		p.refuse(found, string(state))
	}
}

// locate follows the chain of earlier requests for the same thing to the one that waits; nil where none does.
func (a *Approvals) locate(
	ctx context.Context, p *plea, known []*v1alpha1.ActionApproval, now time.Time,
) (found *v1alpha1.ActionApproval, failure error) {
	get := func(name string) *v1alpha1.ActionApproval {
		found, err := a.find(ctx, client.ObjectKey{Namespace: p.request.Namespace(), Name: name})
		if err != nil {
			failure = err
		}
		return found
	}
	p.request.Begin(slices.Concat(known, p.ended), now)
	if len(p.usedUp) > 0 {
		p.request.Follows = p.usedUp[0]
	}
	for {
		found = p.request.Locate(get, now)
		if found == nil || !slices.Contains(p.usedUp, found.Name) {
			return found, failure
		}
		p.request.Follows = found.Name
	}
}

// find reads one approval, nil where there is none. One that has ended stays as it is, so that the cache will do: chains
// of those may be long.
func (a *Approvals) find(ctx context.Context, key client.ObjectKey) (*v1alpha1.ActionApproval, error) {
	found := &v1alpha1.ActionApproval{}
	if err := a.Cached.Get(ctx, key, found); err == nil {
		if _, ended := approval.Ended(found); ended {
			return found, nil
		}
	}
	if err := a.Live.Get(ctx, key, found); err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	return found, nil
}

// create opens the request. Where another replica was first, that one is it.
func (a *Approvals) create(ctx context.Context, p *plea, now time.Time) error {
	opened, err := p.request.Build(now)
	if err != nil { // this can never be asked for: the requester or the policy lacks what it takes
		p.v.decision.Obstacles = append(p.v.decision.Obstacles, policy.Obstacle{
			Reason: policy.ApprovalUnusable, Verdict: v1alpha1.Deny, Detail: err.Error(),
		})
		p.v.decision.Outcome = policy.Deny
		return nil //nolint:nilerr // it is answered
	}
	err = a.Client.Create(ctx, opened)
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("opening a request for approval: %w", err)
	}
	if err == nil {
		a.event(opened, "Opened", "waiting for people to decide about what "+opened.Spec.Requester.Username+" asks for")
	}
	p.wait(opened)
	return nil
}

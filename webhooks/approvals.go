package webhooks

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/flowcontrol"
	"k8s.io/client-go/util/retry"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/action"
	"github.com/countersign-dev/countersign/internal/approval"
	"github.com/countersign-dev/countersign/internal/policy"
	"github.com/countersign-dev/countersign/internal/registry"
)

// Approvals finds, opens and redeems the approvals of actions that need consent.
type Approvals struct {
	// Client writes, Live reads from the API server, Cached from informers with the index RequesterIndex.
	Client       client.Client
	Live, Cached client.Reader
	// Registry tells who is governed.
	Registry *registry.Registry
	// OperatorNamespace is where requests for cluster-scoped targets go.
	OperatorNamespace string
	Recorder          events.EventRecorder
	Clock             clock.PassiveClock

	// mu guards limiters.
	mu       sync.Mutex
	limiters map[string]flowcontrol.PassiveRateLimiter
}

// RequesterIndex is the name of the cache's index of approvals by the user name of their requester.
const RequesterIndex = "requester"

// TargetIndex is the name of the cache's index of approvals by the UID of the object they are about.
const TargetIndex = "target"

// ByTarget is the function of that index.
func ByTarget(o client.Object) []string {
	a, ok := o.(*v1alpha1.ActionApproval)
	if !ok || a.Spec.Action == nil || a.Spec.Action.UID == "" {
		return nil
	}
	return []string{a.Spec.Action.UID}
}

// ByRequester is the function of that index.
func ByRequester(o client.Object) []string {
	a, ok := o.(*v1alpha1.ActionApproval)
	if !ok {
		return nil
	}
	return []string{a.Spec.Requester.Username}
}

const (
	// maxPending is how many requests of one requester may wait for people.
	maxPending = 20
	// openingRate and openingBurst bound how fast one requester opens requests, a second.
	openingRate, openingBurst = 0.2, 5
	// maxLimiters bounds the memory for limiters; beyond it all begin anew.
	maxLimiters = 10_000
	// maxConflicts is how often a use is tried again that others came before.
	maxConflicts = 8
)

// plea is an action that needs consent, on its way through the approvals.
type plea struct {
	in      policy.Input
	v       *verdict
	hasher  action.Hasher
	consent policy.Consent
	request approval.Request
	// usedUp names the last approval for the action that has no use left: a new request follows it.
	usedUp string
}

// Consult looks for an approval of an action whose decision asks for one, and changes the decision accordingly: it
// passes, or says what to wait for.
func (a *Approvals) Consult(ctx context.Context, in policy.Input, v *verdict, hasher action.Hasher) error {
	p := &plea{in: in, v: v, hasher: hasher, consent: v.decision.Consent()}
	p.request = a.requestFor(p)
	known, err := a.ofRequester(ctx, p)
	if err != nil {
		return err
	}
	for _, candidate := range known {
		done, err := a.try(ctx, p, candidate)
		if done || err != nil {
			return err
		}
	}
	return a.open(ctx, p, known)
}

// requestFor is what people are asked.
func (a *Approvals) requestFor(p *plea) approval.Request {
	r := approval.Request{
		Action: p.in.Action, Hash: p.v.hash, Base: approval.BaseOf(p.in.Action, p.hasher), Requester: p.in.Action.Actor,
		ValidFor: p.consent.ValidFor, RequestExpiresAfter: p.consent.RequestExpiresAfter, BindTo: p.consent.BindTo,
		OperatorNamespace: a.OperatorNamespace,
	}
	for _, reason := range p.consent.Reasons {
		r.Reasons = append(r.Reasons, v1alpha1.ApprovalReason{
			Type: string(reason.Type), Policy: reason.Policy, Task: reason.Task, Name: reason.Name,
		})
	}
	for _, q := range p.consent.Requirements {
		r.Requirements = append(r.Requirements, v1alpha1.StampedRequirement{
			Policy: v1alpha1.PolicyReference{Name: q.Policy, UID: q.PolicyUID, Hash: q.Hash},
			Name:   q.Name, Approvers: q.Approvers, MinApprovals: q.MinApprovals,
		})
	}
	return r
}

// ofRequester lists the requester's approvals in all namespaces, as the cache knows them: those that expire first come
// first, then by name, so that every replica takes the same one.
func (a *Approvals) ofRequester(ctx context.Context, p *plea) ([]*v1alpha1.ActionApproval, error) {
	var list v1alpha1.ActionApprovalList
	err := a.Cached.List(ctx, &list, client.MatchingFields{RequesterIndex: p.in.Action.Actor.Username})
	if err != nil {
		return nil, fmt.Errorf("listing approvals: %w", err)
	}
	all := make([]*v1alpha1.ActionApproval, len(list.Items))
	for i := range list.Items {
		all[i] = &list.Items[i]
	}
	slices.SortFunc(all, func(x, y *v1alpha1.ActionApproval) int {
		return cmp.Or(expiry(x).Compare(expiry(y)), cmp.Compare(x.Name, y.Name))
	})
	return all, nil
}

func expiry(a *v1alpha1.ActionApproval) time.Time {
	if a.Spec.RequestExpiresAt == nil {
		return time.Time{}
	}
	return a.Spec.RequestExpiresAt.Time
}

// try asks one approval, read live. It says whether the decision is made.
func (a *Approvals) try(ctx context.Context, p *plea, candidate *v1alpha1.ActionApproval) (bool, error) {
	now := a.Clock.Now()
	asked := candidate.Spec.Action
	// What follows a deletion that was admitted shows another object, and comes when the approval is spent.
	if candidate.Namespace != p.request.Namespace() {
		return false, nil
	}
	follows := asked != nil && p.in.Action.Operation == v1alpha1.OperationDelete && asked.UID == p.in.Action.UID
	if !follows && (asked == nil || asked.Hash != p.v.hash || approval.Evaluate(candidate, now).Terminal()) {
		return false, nil
	}
	for range maxConflicts {
		live := &v1alpha1.ActionApproval{}
		if err := a.Live.Get(ctx, client.ObjectKeyFromObject(candidate), live); err != nil {
			return false, client.IgnoreNotFound(err)
		}
		done, err := a.judge(ctx, p, live)
		if !apierrors.IsConflict(err) {
			return done, err
		}
	}
	return false, errors.New("redeeming an approval: too many others use it at once, repeat the request")
}

// judge applies one approval to the action.
func (a *Approvals) judge(ctx context.Context, p *plea, live *v1alpha1.ActionApproval) (bool, error) {
	now := a.Clock.Now()
	if approval.Continuation(live, p.in.Action, now) {
		p.admit(live)
		return true, nil
	}
	attempt, err := a.attempt(ctx, p, live)
	if err != nil {
		return false, err
	}
	switch verdict := approval.Check(live, attempt, now); verdict.Outcome {
	case approval.Admit:
		return true, a.spend(ctx, p, live, verdict)
	case approval.Ends:
		return a.void(ctx, p, live, verdict.Reason)
	case approval.Foreign:
		return false, nil
	default:
		if verdict.State == approval.Pending {
			p.wait(live)
			return true, nil
		}
		if verdict.State == approval.Approved { // every use is made
			p.usedUp = live.Name
		}
		return false, nil
	}
}

func (a *Approvals) attempt(ctx context.Context, p *plea, live *v1alpha1.ActionApproval) (approval.Attempt, error) {
	at := approval.Attempt{
		Action: p.in.Action, Hash: p.v.hash, RequestID: p.v.request.ID, Reasons: p.request.Reasons,
		TaskPolicy: p.v.decision.Policy, Task: p.v.decision.Task, Base: p.request.Base,
	}
	for _, q := range p.request.Requirements {
		at.Policies = append(at.Policies, q.Policy)
	}
	if approval.Evaluate(live, a.Clock.Now()) != approval.Approved {
		return at, nil // whether approvers have kept their rights matters only then
	}
	for i := range live.Spec.Decisions {
		d := &live.Spec.Decisions[i]
		if d.Verdict != v1alpha1.VerdictApprove {
			continue
		}
		may, err := a.mayApprove(ctx, live.Namespace, action.Actor{Username: d.Approver.Username, UID: d.Approver.UID, Groups: d.Approver.Groups})
		if err != nil {
			return at, err
		}
		if !may {
			at.LostApprovers = append(at.LostApprovers, d.Approver.Username)
		}
	}
	return at, nil
}

// mayApprove says whether somebody has the verb approve in a namespace, and is not governed.
func (a *Approvals) mayApprove(ctx context.Context, namespace string, who action.Actor) (bool, error) {
	if set := a.Registry.Set(); set == nil || set.Governs(who) {
		return false, nil
	}
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: who.Username, UID: who.UID, Groups: who.Groups,
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Namespace: namespace, Verb: "approve", Group: v1alpha1.GroupName, Resource: "actionapprovals",
		},
	}}
	if err := a.Client.Create(ctx, review); err != nil {
		return false, fmt.Errorf("asking whether somebody may approve: %w", err)
	}
	return review.Status.Allowed && !review.Status.Denied, nil
}

// spend records the use, unless nothing will be stored or it is recorded already, and lets the action pass.
func (a *Approvals) spend(ctx context.Context, p *plea, live *v1alpha1.ActionApproval, verdict approval.Verdict) error {
	if p.in.Action.DryRun && p.in.Action.Subresource != "token" {
		p.admit(live)
		return nil
	}
	next, already, err := approval.Spend(live, verdict.Key, a.Clock.Now(), usedObject(p.in.Action))
	if err != nil {
		return err
	}
	if !already {
		live.Status = next
		if err := a.Client.Status().Update(ctx, live); err != nil {
			return err // unwrapped: a conflict is tried again
		}
	}
	p.admit(live)
	return nil
}

func usedObject(a *action.Action) v1alpha1.UsedObject {
	version := ""
	if metadata, ok := a.Old["metadata"].(map[string]any); ok {
		version, _ = metadata["resourceVersion"].(string)
	}
	return v1alpha1.UsedObject{UID: a.UID, ResourceVersion: version}
}

// void ends an approval whose action would not be what was approved, unless the review itself is stale: then the API
// server comes again.
func (a *Approvals) void(ctx context.Context, p *plea, live *v1alpha1.ActionApproval, reason string) (bool, error) {
	switch seen, err := a.compare(ctx, p); {
	case err != nil:
		return true, err
	case seen == objectUnknown:
		p.refuse(live, reason)
		return true, nil
	case seen == objectStale:
		p.refuse(live, staleAdvice)
		return true, nil
	}
	if p.in.Action.DryRun {
		return false, nil
	}
	live.Status = approval.End(live, approval.Void, "Void: "+reason, a.Clock.Now())
	if err := a.Client.Status().Update(ctx, live); err != nil {
		return false, err // unwrapped: a conflict is tried again
	}
	p.void(live, reason)
	return false, nil
}

// void says that an approval has ended, and why.
func (p *plea) void(ended *v1alpha1.ActionApproval, reason string) {
	p.v.decision.Obstacles = append(p.v.decision.Obstacles, policy.Obstacle{
		Reason: policy.ApprovalUnusable, Verdict: v1alpha1.RequireApproval,
		Detail: "approval " + nameOf(ended) + " is void: " + reason,
	})
}

// How the object of a review compares with the live one.
const (
	objectCurrent = iota
	objectStale
	// objectUnknown means that the operator may not read objects of this kind.
	objectUnknown
)

const staleAdvice = "the object changed while it was reviewed, repeat the same command"

// compare reads whether the object is by now another one than the review shows: the API server reviews a copy first
// that may be old. What is read live already is current.
func (a *Approvals) compare(ctx context.Context, p *plea) (int, error) {
	act := p.in.Action
	if act.Operation != v1alpha1.OperationUpdate && act.Operation != v1alpha1.OperationDelete || act.Target != nil {
		return objectCurrent, nil
	}
	live, err := liveVersion(ctx, a.Live, act)
	switch {
	case apierrors.IsForbidden(err):
		return objectUnknown, nil
	case client.IgnoreNotFound(err) != nil:
		return objectUnknown, err
	case live != usedObject(act).ResourceVersion:
		return objectStale, nil
	}
	return objectCurrent, nil
}

// Disturb ends the approvals for other changes of an object that an agent is about to change: what people saw is not
// what would happen any more.
func (a *Approvals) Disturb(ctx context.Context, v *verdict) error {
	if v.action.UID == "" || v.action.DryRun {
		return nil
	}
	var list v1alpha1.ActionApprovalList
	if err := a.Cached.List(ctx, &list, client.MatchingFields{TargetIndex: v.action.UID}); err != nil {
		return fmt.Errorf("listing approvals: %w", err)
	}
	for i := range list.Items {
		if usable(&list.Items[i], a.Clock.Now()) && approval.Disturbs(&list.Items[i], v.action, v.hash) {
			if err := a.end(ctx, client.ObjectKeyFromObject(&list.Items[i]), "Void: an agent has changed the object since"); err != nil {
				return err
			}
		}
	}
	return nil
}

// usable says whether an approval may still let something pass: what was used up has served, and is not void.
func usable(a *v1alpha1.ActionApproval, now time.Time) bool {
	return !approval.Evaluate(a, now).Terminal() && (a.Status.Remaining == nil || *a.Status.Remaining > 0)
}

func (a *Approvals) end(ctx context.Context, key client.ObjectKey, message string) error {
	return retry.RetryOnConflict(retry.DefaultRetry, func() error {
		live := &v1alpha1.ActionApproval{}
		if err := a.Live.Get(ctx, key, live); err != nil {
			return client.IgnoreNotFound(err)
		}
		live.Status = approval.End(live, approval.Void, message, a.Clock.Now())
		return a.Client.Status().Update(ctx, live)
	})
}

func (a *Approvals) event(o *v1alpha1.ActionApproval, reason, note string) {
	a.Recorder.Eventf(o, nil, corev1.EventTypeNormal, reason, "Request", "%s", note)
}

func nameOf(a *v1alpha1.ActionApproval) string { return a.Namespace + "/" + a.Name }

// admit lets the action pass under an approval.
func (p *plea) admit(under *v1alpha1.ActionApproval) {
	d := &p.v.decision
	d.Outcome, d.Approval, d.Remedy = policy.Allow, nameOf(under), policy.Remedy{}
}

// wait says which request waits for people.
func (p *plea) wait(pending *v1alpha1.ActionApproval) {
	p.v.decision.Approval = nameOf(pending)
	p.v.decision.Remedy.Ask = "approval " + nameOf(pending) + " is pending, repeat the same command once approved"
}

// refuse says why an approval does not help.
func (p *plea) refuse(under *v1alpha1.ActionApproval, why string) {
	p.v.decision.Approval = nameOf(under)
	p.v.decision.Obstacles = append(p.v.decision.Obstacles, policy.Obstacle{
		Reason: policy.ApprovalUnusable, Verdict: v1alpha1.RequireApproval, Detail: "approval " + nameOf(under) + " cannot be used: " + why,
	})
}

package webhooks

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/action"
	"github.com/countersign-dev/countersign/internal/approval"
	"github.com/countersign-dev/countersign/internal/intake"
	"github.com/countersign-dev/countersign/internal/policy"
	"github.com/countersign-dev/countersign/internal/registry"
	"github.com/countersign-dev/countersign/internal/settlement"
)

// Approvals finds, opens and redeems the approvals of actions that need consent.
type Approvals struct {
	// Client writes, Live reads from the API server, Cached from informers with indexes of RequesterField and TargetField.
	Client       client.Client
	Live, Cached client.Reader
	// MayBeAbout says whether any approval may be about the object of a UID. Nil: any may.
	MayBeAbout func(uid string) bool
	// Registry tells who is governed.
	Registry *registry.Registry
	// OperatorNamespace is where requests for cluster-scoped targets go.
	OperatorNamespace string
	// Settler finds out at once what became of a use that is in the way. Nil: that is left to whoever settles all.
	Settler *settlement.Settler
	// Revision is the latest resourceVersion that was seen of approvals. Nil: none is known but that of each.
	Revision func() string
	Recorder events.EventRecorder
	Clock    clock.PassiveClock

	// turns of approvals that are being used, and reads of those that are waited for.
	turns turns
	reads sharedReads
	// mu guards paces.
	mu sync.Mutex
	// paces of requesters, by user name.
	paces map[string]*pace
}

// Fields by which approvals are found. The API server selects by them, too; a cache needs indexes of these names.
const (
	// RequesterField is the user name of the requester.
	RequesterField = "spec.requester.username"
	// TargetField is the UID of the object that an approval is about.
	TargetField = "spec.action.uid"
)

// ByTarget is the function of the index of TargetField. Of those that have ended it finds the ones under which a deletion
// was admitted, by the objects of these.
func ByTarget(a *v1alpha1.ActionApproval) []string {
	if _, ended := approval.Ended(a); ended {
		return approval.Deleted(a)
	}
	if a.Spec.Action == nil || a.Spec.Action.UID == "" {
		return nil
	}
	return []string{a.Spec.Action.UID}
}

// ByRequester is the function of the index of RequesterField. Those that have ended are left out where no later request
// depends on them, or only by name: of these there may be very many.
func ByRequester(a *v1alpha1.ActionApproval) []string {
	if _, ended := approval.Ended(a); ended && !approval.Recalled(a) {
		return nil
	}
	return []string{a.Spec.Requester.Username}
}

// plea is an action that needs consent, on its way through the approvals.
type plea struct {
	in      policy.Input
	v       *verdict
	attempt approval.Attempt
	request approval.Request
	// pending is the first request found that waits for people, settling the first approval whose uses are made, though
	// one may come back in a moment.
	pending, settling *v1alpha1.ActionApproval
	// ended are those that have, though the cache may not show it yet.
	ended []*v1alpha1.ActionApproval
	// usedUp names the approvals for the same that have no use left: a new request follows the last of them.
	usedUp []string
}

// Consult looks for an approval of an action whose decision asks for one, and changes the decision accordingly: it
// passes, or says what to wait for.
func (a *Approvals) Consult(ctx context.Context, in policy.Input, v *verdict) error {
	known, err := a.ofRequester(ctx, in.Action.Actor.Username)
	if err != nil {
		return err
	}
	if known, err = a.withDeletions(ctx, known, in.Action); err != nil {
		return err
	}
	v.rekey(known)
	p := &plea{in: in, v: v}
	p.attempt = intake.Attempt(v.request.ID, v.hash, in.Action, &v.decision, v.hasher)
	p.request = intake.ApprovalRequest(&p.attempt, &v.decision, a.OperatorNamespace)
	for _, candidate := range known {
		done, err := a.try(ctx, p, candidate)
		if done || err != nil {
			return err
		}
	}
	if p.settling != nil && a.Settler != nil {
		done, err := a.trySettled(ctx, p)
		if done || err != nil {
			return err
		}
	}
	switch {
	case p.pending != nil:
		p.wait(p.pending)
		return nil
	case p.settling != nil:
		p.settle(p.settling)
		return nil
	default:
		return a.open(ctx, p, known)
	}
}

// ofRequester lists a requester's approvals in all namespaces, as the cache knows them: those for exact actions come
// before those for runs, then those that expire first, then by name, so that every replica takes the same one.
func (a *Approvals) ofRequester(ctx context.Context, username string) ([]*v1alpha1.ActionApproval, error) {
	var list v1alpha1.ActionApprovalList
	// They are only read here: what is to be written is read live.
	err := a.Cached.List(ctx, &list, client.MatchingFields{RequesterField: username}, client.UnsafeDisableDeepCopy)
	if err != nil {
		return nil, fmt.Errorf("listing approvals: %w", err)
	}
	all := make([]*v1alpha1.ActionApproval, len(list.Items))
	for i := range list.Items {
		all[i] = &list.Items[i]
	}
	slices.SortFunc(all, func(x, y *v1alpha1.ActionApproval) int {
		return cmp.Or(compareScopes(x, y), expiry(x).Compare(expiry(y)), cmp.Compare(x.Name, y.Name))
	})
	return all, nil
}

// withDeletions adds those approvals of the requester that have ended and under which the deletion of an object was
// admitted, if that is what is asked for again.
func (a *Approvals) withDeletions(
	ctx context.Context, known []*v1alpha1.ActionApproval, act *action.Action,
) ([]*v1alpha1.ActionApproval, error) {
	if act.Operation != v1alpha1.OperationDelete || act.UID == "" {
		return known, nil
	}
	var list v1alpha1.ActionApprovalList
	err := a.Cached.List(ctx, &list, client.MatchingFields{TargetField: act.UID}, client.UnsafeDisableDeepCopy)
	if err != nil {
		return nil, fmt.Errorf("listing approvals: %w", err)
	}
	for i := range list.Items {
		k := &list.Items[i]
		same := func(o *v1alpha1.ActionApproval) bool { return o.UID == k.UID }
		if k.Spec.Requester.Username == act.Actor.Username && !slices.ContainsFunc(known, same) {
			known = append(known, k)
		}
	}
	return known, nil
}

// compareScopes puts what is for one action before what is for a run.
func compareScopes(x, y *v1alpha1.ActionApproval) int {
	switch forRun := x.Spec.Task != nil; {
	case forRun == (y.Spec.Task != nil):
		return 0
	case forRun:
		return 1
	default:
		return -1
	}
}

// expiry is until when an approval can be used or, while it is pending, decided.
func expiry(a *v1alpha1.ActionApproval) time.Time {
	if a.Status.ExpiresAt != nil {
		return a.Status.ExpiresAt.Time
	}
	if a.Spec.RequestExpiresAt == nil {
		return time.Time{}
	}
	return a.Spec.RequestExpiresAt.Time
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

// void says that an approval has ended, and why.
func (p *plea) void(ended *v1alpha1.ActionApproval, reason string) {
	p.v.decision.Obstacles = append(p.v.decision.Obstacles, policy.Obstacle{
		Reason: policy.ApprovalUnusable, Verdict: v1alpha1.RequireApproval,
		Detail: "approval " + nameOf(ended) + " is void: " + reason,
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

// settle says that the use of an approval is not settled yet.
func (p *plea) settle(used *v1alpha1.ActionApproval) {
	p.v.decision.Approval = nameOf(used)
	p.v.decision.Remedy.Ask = "approval " + nameOf(used) + " is being used, repeat the same command in some seconds"
}

// refuse says why an approval does not help.
func (p *plea) refuse(under *v1alpha1.ActionApproval, why string) {
	p.v.decision.Approval = nameOf(under)
	p.v.decision.Obstacles = append(p.v.decision.Obstacles, policy.Obstacle{
		Reason: policy.ApprovalUnusable, Verdict: v1alpha1.RequireApproval, Detail: "approval " + nameOf(under) + " cannot be used: " + why,
	})
}

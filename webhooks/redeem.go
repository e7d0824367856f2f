package webhooks

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/action"
	"github.com/countersign-dev/countersign/internal/approval"
)

// try asks one approval, read live. It says whether the decision is made.
func (a *Approvals) try(ctx context.Context, p *plea, candidate *v1alpha1.ActionApproval) (bool, error) {
	if candidate.Namespace != p.request.Namespace() || !p.concerns(candidate, a.Clock.Now()) {
		return false, nil
	}
	if a.awaits(ctx, p, candidate) {
		return false, nil
	}
	done, err := a.turns.take(ctx, nameOf(candidate))
	if err != nil {
		return false, fmt.Errorf("waiting for others who use approval %s: %w", nameOf(candidate), err)
	}
	defer done()
	decided, overtaken := false, 0
	err = wait.ExponentialBackoffWithContext(ctx, betweenReplicas, func(ctx context.Context) (bool, error) {
		live, unknown, err := a.read(ctx, client.ObjectKeyFromObject(candidate))
		switch {
		case err != nil:
			return true, client.IgnoreNotFound(err)
		case len(unknown) > 0:
			decided = true
			p.refuse(live, "this version of Countersign does not know its field "+unknown[0]+
				", repeat the same command when all replicas are of the version that does")
			return true, nil
		}
		decided, err = a.judge(ctx, p, live)
		if apierrors.IsConflict(err) {
			overtaken++
			return false, nil
		}
		return true, err
	})
	switch {
	case !wait.Interrupted(err):
		return decided, err
	case overtaken > 0:
		return false, fmt.Errorf("redeeming approval %s: others came first %s until the time was up, repeat the command",
			nameOf(candidate), times(overtaken))
	default:
		return false, fmt.Errorf("redeeming approval %s: the API server did not answer in time, repeat the command", nameOf(candidate))
	}
}

// times says how often.
func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// betweenReplicas is how a use is tried again that another replica came before: until the decision must be made.
var betweenReplicas = wait.Backoff{Duration: 5 * time.Millisecond, Factor: 1, Jitter: 3, Steps: 1000}

// trySettled asks the approval once more whose uses are made, after it was found out what became of them: the API server
// reviews an update again that came too late for the object from which it started, and then its first use is free.
func (a *Approvals) trySettled(ctx context.Context, p *plea) (bool, error) {
	live := p.settling.DeepCopy()
	settled, _, err := a.Settler.Settle(ctx, live, approval.ByVersions)
	if err != nil {
		return false, err
	}
	if settled {
		if err := a.Client.Status().Update(ctx, live); err != nil && !apierrors.IsConflict(err) {
			return false, fmt.Errorf("settling uses of approval %s: %w", nameOf(live), err)
		} // on conflict somebody else has settled or used it
	}
	p.settling = nil
	if approval.Evaluate(live, a.Clock.Now()).Terminal() {
		p.ended = append(p.ended, live)
		return false, nil
	}
	return a.try(ctx, p, live)
}

// judge applies one approval to the action.
func (a *Approvals) judge(ctx context.Context, p *plea, live *v1alpha1.ActionApproval) (bool, error) {
	now := a.Clock.Now()
	if approval.Continuation(live, p.in.Action, now) {
		p.admit(live)
		return true, nil
	}
	attempt := p.attempt
	verdict := approval.Check(live, attempt, now)
	if verdict.Outcome == approval.Admit {
		grounds, err := a.grounds(ctx, p, live)
		if err != nil {
			return false, err
		}
		if !grounds.possible {
			p.refuse(live, staleAdvice)
			return true, nil
		}
		if grounds.movedPolicy != "" {
			p.refuse(live, "policy "+grounds.movedPolicy+" changes at this moment, repeat the same command")
			return true, nil
		}
		attempt.LostApprovers = grounds.lostApprovers
		verdict = approval.Check(live, attempt, now)
	}
	switch verdict.Outcome {
	case approval.Admit:
		return true, a.spend(ctx, p, live, verdict)
	case approval.Ends:
		return a.void(ctx, p, live, verdict.Reason)
	case approval.Foreign:
		return false, nil
	default:
		p.unusable(live, verdict, now)
		return false, nil
	}
}

// unusable notes an approval that is for the action and does not let it pass: another one may.
func (p *plea) unusable(live *v1alpha1.ActionApproval, verdict approval.Verdict, now time.Time) {
	switch {
	case verdict.State == approval.Pending:
		p.pending = cmp.Or(p.pending, live)
	case verdict.State != approval.Approved:
		p.ended = append(p.ended, live)
	case approval.Settling(live, now):
		p.settling = cmp.Or(p.settling, live)
	default: // every use is made
		p.exhausted(live)
	}
}

// spend records the use, unless nothing will be stored or it is recorded already, and lets the action pass.
func (a *Approvals) spend(ctx context.Context, p *plea, live *v1alpha1.ActionApproval, verdict approval.Verdict) error {
	if p.in.Action.Trial() {
		p.admit(live)
		return nil
	}
	next, already, err := approval.Spend(live, verdict.Key, a.Clock.Now(), approval.UsedBy(p.in.Action), a.since(live))
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

// since is the latest revision of the storage that this process knows of. Of the approval itself it knows only when that
// changed last, which may be long ago, and not be kept any more.
func (a *Approvals) since(live *v1alpha1.ActionApproval) string {
	if a.Revision == nil {
		return live.ResourceVersion
	}
	return approval.Later(live.ResourceVersion, a.Revision())
}

// void ends an approval whose action would not be what was approved, unless the review itself is stale: then the API
// server comes again.
func (a *Approvals) void(ctx context.Context, p *plea, live *v1alpha1.ActionApproval, reason string) (bool, error) {
	switch seen, err := a.compare(ctx, p.in.Action, live.Spec.Task != nil); {
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

// How the object of a review compares with the live one.
const (
	objectCurrent = iota
	objectStale
	// objectUnknown means that the operator may not read objects of this kind.
	objectUnknown
)

const staleAdvice = "the object changed while it was reviewed, repeat the same command"

// compare reads whether the object is by now another one than the review shows: the API server reviews a copy first
// that may be old, and others than the API server may say anything. What is read live already is current, and so is what a
// run of a task is about: no object.
func (a *Approvals) compare(ctx context.Context, act *action.Action, run bool) (int, error) {
	if run || !showsObject(act) {
		return objectCurrent, nil
	}
	stored, err := storedObject(ctx, a.Live, act)
	switch {
	case apierrors.IsForbidden(err):
		return objectUnknown, nil
	case err != nil:
		return objectUnknown, err
	case !approval.SameVersion(act.Old, stored) || !approval.SameContent(act.Old, stored):
		return objectStale, nil
	}
	return objectCurrent, nil
}

// Disturb ends the approvals for other changes of an object that an agent is about to change: what people saw is not
// what would happen any more.
func (a *Approvals) Disturb(ctx context.Context, v *verdict) error {
	if v.action.UID == "" || v.action.DryRun || a.MayBeAbout != nil && !a.MayBeAbout(v.action.UID) {
		return nil
	}
	var list v1alpha1.ActionApprovalList
	if err := a.Cached.List(ctx, &list, client.MatchingFields{TargetField: v.action.UID}, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("listing approvals: %w", err)
	}
	hashes := v.hashes()
	disturbed := slices.DeleteFunc(list.Items, func(k v1alpha1.ActionApproval) bool {
		return !usable(&k, a.Clock.Now()) || !approval.Disturbs(&k, v.action, hashes...)
	})
	if len(disturbed) == 0 {
		return nil
	}
	// From an old copy nothing is stored: the API server comes again, with the object as it is.
	if seen, err := a.compare(ctx, v.action, false); err != nil || seen == objectStale {
		return err
	}
	for i := range disturbed {
		if err := a.end(ctx, client.ObjectKeyFromObject(&disturbed[i]), "Void: an agent has changed the object since"); err != nil {
			return err
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

package command

import (
	"context"
	"fmt"
	"strings"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/fields"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/action"
	"github.com/countersign-dev/countersign/internal/activity"
	"github.com/countersign-dev/countersign/internal/approval"
	"github.com/countersign-dev/countersign/internal/intake"
	"github.com/countersign-dev/countersign/internal/policy"
)

// requesterField selects approvals by who asks.
const requesterField = "spec.requester.username"

// unknownKey stands for the key of the installation, which only the operator has. Actions without secret values have the
// same hash under every key.
var unknownKey = action.Hasher{KeyID: "unknown", Key: []byte("unknown")}

// forecast is what would become of an action.
type forecast struct {
	request  action.Request
	in       policy.Input
	decision policy.Decision
	at       time.Time
	hash     string
	// approvals are those for this very action.
	approvals []standingApproval
	// redeemed names the approval under which it would pass, empty for none.
	redeemed string
	notes    []string
}

// standingApproval is an approval for an action, and what it means for it.
type standingApproval struct {
	name  string
	state approval.State
	// usable says that it would be redeemed; reason says why not.
	usable bool
	reason string
	until  *time.Time
}

// outcome is what would happen, approvals included.
func (f *forecast) outcome() policy.Outcome {
	if f.redeemed != "" {
		return policy.Allow
	}
	return f.decision.Outcome
}

// decide judges a review at an instant, with the policies and objects of now.
func (j *judge) decide(ctx context.Context, review *admissionv1.AdmissionRequest, at time.Time) (*forecast, error) {
	f := &forecast{request: intake.RequestOf(review), at: at}
	in, err := j.cluster.Input(ctx, f.request, at)
	if err != nil {
		if apierrors.IsForbidden(err) {
			return nil, fmt.Errorf("you may not read what the decision depends on: %w", err)
		}
		f.decision = policy.Failure(intake.ReasonOf(err), err.Error())
		f.decision.Governed = j.set.Governs(f.request.Actor)
		if !f.decision.Governed {
			f.decision = policy.Decision{Outcome: policy.Allow}
		}
		return f, nil
	}
	f.hash = unknownKey.Hash(in.Action)
	if j.set.NeedsHistory(in) != policy.NotNeeded {
		if err := j.readHistory(ctx, f, &in); err != nil {
			return nil, err
		}
	}
	f.in, f.decision = in, j.set.Decide(in)
	if f.decision.Governed && f.decision.Outcome == policy.Ask {
		if err := j.consult(ctx, f); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// readHistory reads what the agent did before.
func (j *judge) readHistory(ctx context.Context, f *forecast, in *policy.Input) error {
	username := in.Action.Actor.Username
	known := &v1alpha1.AgentActivity{}
	switch err := j.reader.Get(ctx, client.ObjectKey{Name: activity.Name(username)}, known); {
	case apierrors.IsForbidden(err):
		f.note("you may not read what the agent did before (agentactivities): what needs that is shown as refused")
		return nil
	case client.IgnoreNotFound(err) != nil:
		return fmt.Errorf("reading what the agent did before: %w", err)
	}
	key, err := approval.AttemptKey(in.Action, f.hash, f.request.ID)
	if err != nil {
		key = "review." + f.request.ID
	}
	in.History = activity.Before(&known.Status, activity.Attempt{Action: in.Action, Key: key}, in.Now)
	return nil
}

func (f *forecast) note(format string, args ...any) {
	f.notes = append(f.notes, fmt.Sprintf(format, args...))
}

// consult looks for approvals of the action.
func (j *judge) consult(ctx context.Context, f *forecast) error {
	attempt := intake.Attempt(f.request.ID, f.hash, f.in.Action, &f.decision, unknownKey)
	request := intake.ApprovalRequest(&attempt, &f.decision, j.operator.Namespace)
	f.decision.Remedy.Ask = "people can approve this once it is tried"
	if request.Task == nil && !strings.HasPrefix(f.hash, "v1:") {
		f.note("the action holds secret values: whether an approval is for it only the operator can tell")
	}
	var list v1alpha1.ActionApprovalList
	err := j.reader.List(ctx, &list, client.InNamespace(request.Namespace()),
		client.MatchingFieldsSelector{Selector: fields.OneTermEqualSelector(requesterField, f.in.Action.Actor.Username)})
	switch {
	case apierrors.IsForbidden(err):
		f.note("you may not list approvals in namespace %s: whether there is one is not known", request.Namespace())
		return nil
	case err != nil:
		return fmt.Errorf("listing approvals: %w", err)
	}
	for i := range list.Items {
		f.weigh(&list.Items[i], attempt)
	}
	return nil
}

// weigh says what one approval means for the action.
func (f *forecast) weigh(a *v1alpha1.ActionApproval, at approval.Attempt) {
	at.Base = approval.Base(a.Annotations[approval.BaseAnnotation]) // whether the object is as it was then, only the operator can tell
	// Neither the pod nor the credential of the agent is known: whatever is bound to them is taken to be right.
	who := *at.Action
	who.Actor.PodUID, who.Actor.CredentialID = a.Spec.Requester.PodUID, a.Spec.Requester.CredentialID
	at.Action = &who
	verdict := approval.Check(a, at, f.at)
	if verdict.Outcome == approval.Foreign {
		return
	}
	s := standingApproval{
		name: a.Namespace + "/" + a.Name, state: verdict.State, usable: verdict.Outcome == approval.Admit, reason: verdict.Reason,
	}
	if a.Status.ExpiresAt != nil {
		s.until = &a.Status.ExpiresAt.Time
	}
	f.approvals = append(f.approvals, s)
	switch {
	case s.usable && f.redeemed == "":
		f.redeemed, f.decision.Approval, f.decision.Remedy = s.name, s.name, policy.Remedy{}
		f.note("approval %s is looked at as it stands: the operator also asks whether the object has changed around, and whether "+
			"its approvers still may approve", s.name)
	case s.state == approval.Pending && f.redeemed == "":
		f.decision.Approval = s.name
		f.decision.Remedy.Ask = "approval " + s.name + " is pending, repeat the same command once approved"
	}
}

// refusal is what the agent would read, empty where the action passes.
func (f *forecast) refusal() string {
	if f.outcome() == policy.Allow {
		return ""
	}
	return policy.Refusal(intake.Headline(&f.request, f.in.Action), &f.decision, "")
}

// what says who would do what.
func (f *forecast) what() string {
	return strings.Replace(intake.Headline(&f.request, f.in.Action), " may not ", ": ", 1)
}

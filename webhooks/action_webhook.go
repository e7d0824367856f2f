package webhooks

import (
	"context"
	"errors"
	"time"

	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/action"
	"github.com/countersign-dev/countersign/internal/activity"
	"github.com/countersign-dev/countersign/internal/definitions"
	"github.com/countersign-dev/countersign/internal/heartbeat"
	"github.com/countersign-dev/countersign/internal/intake"
	"github.com/countersign-dev/countersign/internal/policy"
	"github.com/countersign-dev/countersign/internal/registry"
)

// decisionDeadline bounds one decision. It is shorter than the webhook's timeout, so that a decision that takes
// too long is refused with its reason rather than failed without one.
const decisionDeadline = 3 * time.Second

// usefulDeadline bounds how long is waited for what the agent did before where it can be done without.
const usefulDeadline = time.Second

// ActionWebhook judges the actions of governed subjects. It handles every operation, CONNECT included.
type ActionWebhook struct {
	// Registry holds the policies.
	Registry *registry.Registry
	// Cluster reads facts.
	Cluster *intake.Cluster
	// Hasher gives the keys under which actions are hashed; an error means that there is none yet.
	Hasher func() (action.Hasher, error)
	// Approvals are asked where a decision needs consent.
	Approvals *Approvals
	// Trust says what this process must not rely on now.
	Trust Trust
	// Activities hold what agents did before.
	Activities *Activities
	// Recorder keeps every decision on a governed action.
	Recorder *Recorder
	// Clock tells the instant of a decision.
	Clock clock.PassiveClock
	// Canary is the user name of the canary, whose attempts are not agents' actions. Empty: there is none.
	Canary string
	// ObserveOnly is the entry for subjects of Warn and Audit policies: what cannot be judged passes there, as it
	// does when the webhook is down. An Enforce policy is enforced on either entry.
	ObserveOnly bool
}

// Trust says why something is not to be relied on now, as an error, nil where it is.
type Trust struct {
	// Decide is for any decision, Approvals for one that needs consent, and Activities for one that needs to know what an
	// agent did before.
	Decide, Approvals, Activities func() error
}

// verdict is everything that is known about one decided request.
type verdict struct {
	request  action.Request
	action   *action.Action // nil where the request has no normal form
	decision policy.Decision
	// hash is that of the action by the hasher.
	hash   string
	hasher action.Hasher
	now    time.Time
}

// Handle implements admission.Handler.
func (w *ActionWebhook) Handle(ctx context.Context, r admission.Request) admission.Response {
	response, then := w.Review(ctx, r, action.Decoded{})
	then()
	return response
}

// Review implements Reviewer. Decisions are counted when their answers are on their way.
func (w *ActionWebhook) Review(ctx context.Context, r admission.Request, objects action.Decoded) (admission.Response, func()) {
	began := w.Clock.Now()
	patience := patient(ctx, decisionDeadline)
	defer patience.stop()
	request := intake.RequestOf(&r.AdmissionRequest)
	request.Decoded = objects
	v := w.judge(patience, request, began)
	if w.isCanary(&v) {
		return respond(&v), func() {}
	}
	took := w.Clock.Since(began)
	if err := w.Recorder.Record(&v); err != nil {
		// What cannot be recorded must not happen.
		v.decision = w.failure(policy.InternalError, "the decision cannot be recorded: "+err.Error())
	}
	return respond(&v), func() { observe(&v, took) }
}

// isCanary says whether a verdict is about the canary's question, and is the refusal that it asks for. That says nothing
// about agents, so it is neither recorded nor counted as a decision; what else the canary may come to do, is.
func (w *ActionWebhook) isCanary(v *verdict) bool {
	return w.Canary != "" && v.request.Actor.Username == w.Canary && v.decision.Outcome == policy.Deny &&
		v.request.DryRun && v.request.Group == "" && v.request.Resource == "configmaps"
}

// judge decides one request. Whatever goes wrong is a refusal with its reason.
func (w *ActionWebhook) judge(ctx context.Context, r action.Request, now time.Time) verdict {
	v := verdict{request: r, now: now}
	state := w.Registry.State()
	if state.Set == nil {
		v.decision = w.failure(policy.NotReady, "Countersign has not read its policies yet")
		return v
	}
	if err := w.Trust.Decide(); err != nil {
		v.decision = w.failure(reasonOf(err), err.Error())
		return v
	}
	hasher, err := w.Hasher()
	if err != nil {
		v.decision = w.failure(policy.NotReady, err.Error())
		return v
	}
	in, err := w.Cluster.Input(ctx, r, now)
	if err != nil {
		v.decision = w.failure(intake.ReasonOf(err), err.Error())
		return v
	}
	v.action, v.hasher = in.Action, hasher
	v.hash = hasher.Hash(in.Action)
	if err := w.decide(ctx, state.Set, in, &v); err != nil {
		v.decision = w.failure(reasonOf(err), err.Error())
	}
	if state.Orphans && !v.decision.Governed {
		v.decision = w.failure(policy.DefinitionsChanged, orphan)
	}
	return v
}

// orphan is what those are told whose policies have vanished with their definition.
const orphan = "the policies of this account have vanished with the resource definition of policies: it is refused until " +
	"they are restored"

// decide decides on what the agent did before, where a policy wants to know that.
func (w *ActionWebhook) decide(ctx context.Context, set *policy.Set, in policy.Input, v *verdict) error {
	once := func() error {
		v.decision = set.Decide(in)
		return w.consent(ctx, in, v)
	}
	onHistory := func(h *activity.History, now time.Time) error {
		in.History, in.Now, v.now = h, now, now
		return once()
	}
	need := set.NeedsHistory(in)
	err := w.Trust.Activities()
	switch {
	case w.ObserveOnly || need == policy.NotNeeded:
		err = once()
	case err != nil && need == policy.Useful:
		err = once()
	case err != nil: // what an agent did before was written by nobody knows whom
	case need == policy.Useful:
		err = w.decideAnyway(ctx, v, onHistory)
	default:
		err = w.Activities.Decide(ctx, v, onHistory)
	}
	if err != nil {
		return err
	}
	return w.disturb(ctx, in, v)
}

// decideAnyway decides without what the agent did before, where that cannot be known or kept soon.
func (w *ActionWebhook) decideAnyway(ctx context.Context, v *verdict, decide func(*activity.History, time.Time) error) error {
	soon, cancel := context.WithTimeout(ctx, usefulDeadline)
	defer cancel()
	err := w.Activities.Decide(soon, v, decide)
	if unknown := (*historyError)(nil); !errors.As(err, &unknown) {
		return err
	}
	ctrl.LoggerFrom(ctx).Info("An action is decided without what the agent did before",
		"review", v.request.ID, "agent", v.action.Actor.Username, "cause", err.Error())
	return decide(nil, w.Clock.Now())
}

// reasonOf finds the published reason for an error on the way from the action to its decision.
func reasonOf(err error) policy.Reason {
	var history *historyError
	var lost *heartbeat.LostError
	var changed *definitions.ChangedError
	switch {
	case errors.As(err, &history):
		return policy.HistoryUnknown
	case errors.As(err, &lost):
		return policy.Disconnected
	case errors.As(err, &changed) && changed.Unread():
		return policy.NotReady
	case errors.As(err, &changed):
		return policy.DefinitionsChanged
	}
	return policy.InternalError
}

// consent asks the approvals where the decision does.
func (w *ActionWebhook) consent(ctx context.Context, in policy.Input, v *verdict) error {
	if w.ObserveOnly || !v.decision.Governed || v.decision.Outcome != policy.Ask {
		return nil
	}
	if err := w.Trust.Approvals(); err != nil {
		return err
	}
	return w.Approvals.Consult(ctx, in, v)
}

// disturb ends the approvals that an action which passes takes the ground from.
func (w *ActionWebhook) disturb(ctx context.Context, in policy.Input, v *verdict) error {
	if w.ObserveOnly || !v.decision.Governed || v.decision.Outcome != policy.Allow ||
		in.Action.Operation != v1alpha1.OperationUpdate || in.Action.Empty() {
		return nil
	}
	return w.Approvals.Disturb(ctx, v)
}

// failure is the decision for what cannot be judged.
func (w *ActionWebhook) failure(reason policy.Reason, detail string) policy.Decision {
	d := policy.Failure(reason, detail)
	if w.ObserveOnly {
		d.Outcome, d.Governed = policy.Allow, false
	}
	return d
}

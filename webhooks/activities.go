package webhooks

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/activity"
	"github.com/countersign-dev/countersign/internal/approval"
	"github.com/countersign-dev/countersign/internal/policy"
)

// Activities keep what agents did, for policies that want to know. They are safe for concurrent use.
type Activities struct {
	// Client writes, Live reads from the API server.
	Client client.Client
	Live   client.Reader
	Clock  clock.PassiveClock

	// turns of agents with actions under way, by user name.
	turns turns
}

// historyError says that the history of an agent cannot be read or kept.
type historyError struct{ cause error }

func (e *historyError) Error() string {
	return "what the agent did before cannot be read or kept: " + e.cause.Error()
}
func (e *historyError) Unwrap() error { return e.cause }

// maxPause bounds the time until an action is decided again that another replica came before.
const maxPause = 20 * time.Millisecond

// Decide has an action decided on what its agent did before and, where it passes, notes it. Where something else was noted
// in between, that is done again, guards and approvals included: so what passes was judged by all that passed before it,
// whatever the number of replicas. An action that must be noted and cannot be in time is refused.
func (a *Activities) Decide(ctx context.Context, v *verdict, decide func(*activity.History, time.Time) error) error {
	done, err := a.turns.take(ctx, v.action.Actor.Username)
	if err != nil {
		return tooMany(ctx)
	}
	defer done()
	for {
		raced, err := a.decideOnce(ctx, v, decide)
		if err != nil || !raced {
			return err
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
}

// decideOnce says whether somebody else was faster.
func (a *Activities) decideOnce(ctx context.Context, v *verdict, decide func(*activity.History, time.Time) error) (raced bool, err error) {
	known, err := a.read(ctx, v.action.Actor.Username)
	if err != nil {
		return false, err
	}
	at := activity.Attempt{Action: v.action, Key: attemptKey(v)}
	now := a.Clock.Now()
	if err := decide(activity.Before(&known.Status, at, now), now); err != nil {
		return false, err
	}
	d := &v.decision
	if d.Outcome != policy.Allow || d.Memory.Note == policy.NotNeeded || v.action.Trial() {
		return false, nil
	}
	at.Task, at.Tried = d.TaskName(), d.Tried
	raced, err = a.note(ctx, known, at, d.Memory.Demand(now), now)
	if err != nil && d.Memory.Note == policy.Useful {
		// What is not noted loses its grace, and is no reason to refuse.
		ctrl.LoggerFrom(ctx).Info("An action passes without being noted",
			"review", v.request.ID, "agent", at.Action.Actor.Username, "cause", err.Error())
		return false, nil
	}
	return raced, err
}

// note stores an attempt that passes, and says whether somebody else was faster.
func (a *Activities) note(
	ctx context.Context, known *v1alpha1.AgentActivity, at activity.Attempt, demand activity.Demand, now time.Time,
) (raced bool, err error) {
	next, already, err := activity.Record(&known.Status, at, demand, now)
	switch {
	case err != nil:
		return false, &historyError{err}
	case already:
		return false, nil
	}
	switch may, err := possible(ctx, a.Live, at.Action); {
	case err != nil:
		return false, &historyError{err}
	case !may:
		return false, &historyError{errors.New(staleAdvice)}
	}
	known.Status = next
	return a.write(ctx, known)
}

// attemptKey identifies the attempt or, where nothing does, the review: then every review counts.
func attemptKey(v *verdict) string {
	key, err := approval.AttemptKey(v.action, v.hash, v.request.ID)
	if err != nil {
		return "review." + v.request.ID
	}
	return key
}

// read gives the activity of a user, one that is not stored yet where there is none.
func (a *Activities) read(ctx context.Context, username string) (*v1alpha1.AgentActivity, error) {
	known := &v1alpha1.AgentActivity{}
	name := activity.Name(username)
	switch err := a.Live.Get(ctx, client.ObjectKey{Name: name}, known); {
	case apierrors.IsNotFound(err):
		return &v1alpha1.AgentActivity{ObjectMeta: metav1.ObjectMeta{Name: name}}, nil
	case err != nil:
		return nil, &historyError{err}
	case known.Status.Username != "" && known.Status.Username != username:
		return nil, &historyError{fmt.Errorf("%s is somebody else's", name)}
	}
	return known, nil
}

// write stores an activity unless it has changed since it was read, and says whether it has.
func (a *Activities) write(ctx context.Context, known *v1alpha1.AgentActivity) (raced bool, err error) {
	if known.ResourceVersion == "" {
		status := known.Status
		if err := a.Client.Create(ctx, known); err != nil {
			return raceOr(err)
		}
		known.Status = status
	}
	return raceOr(a.Client.Status().Update(ctx, known))
}

// raceOr says that somebody else was faster, where that is the error: they have made, changed or removed the object.
func raceOr(err error) (bool, error) {
	switch {
	case err == nil:
		return false, nil
	case apierrors.IsConflict(err), apierrors.IsAlreadyExists(err), apierrors.IsNotFound(err):
		return true, nil
	}
	return false, &historyError{err}
}

// pause waits for a moment of a length that differs, so that replicas do not race each other forever.
func pause(ctx context.Context) error {
	timer := time.NewTimer(rand.N(maxPause)) //nolint:gosec // no secret
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return tooMany(ctx)
	}
}

func tooMany(ctx context.Context) error {
	return &historyError{fmt.Errorf("too many actions of the agent at once: %w", context.Cause(ctx))}
}

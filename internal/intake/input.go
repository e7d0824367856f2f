package intake

import (
	"context"
	"errors"
	"time"

	"github.com/countersign-dev/countersign/internal/action"
	"github.com/countersign-dev/countersign/internal/policy"
)

// Input collects what a decision depends on, but for the history of the actor. An error means that the request cannot be
// judged: ReasonOf says in one word why.
func (c *Cluster) Input(ctx context.Context, r action.Request, now time.Time) (policy.Input, error) {
	facts, err := c.Facts(ctx, r)
	if err != nil {
		return policy.Input{}, &targetError{err}
	}
	a, err := action.Normalise(r, facts)
	if err != nil {
		return policy.Input{}, err
	}
	labels, err := c.NamespaceLabels(ctx, a)
	if err != nil {
		return policy.Input{}, &targetError{err}
	}
	scaled, err := c.Scaled(ctx, a)
	if err != nil {
		return policy.Input{}, &targetError{err}
	}
	role, err := c.BoundRole(ctx, a)
	if err != nil {
		return policy.Input{}, &targetError{err}
	}
	return policy.Input{Action: a, Now: now, NamespaceLabels: labels, Scaled: scaled, Role: role, Done: ctx.Done}, nil
}

// targetError says that something in the cluster could not be read.
type targetError struct{ cause error }

func (e *targetError) Error() string { return e.cause.Error() }
func (e *targetError) Unwrap() error { return e.cause }

// ReasonOf finds the published reason for an error of Input.
func ReasonOf(err error) policy.Reason {
	var version *action.VersionError
	var target *action.TargetError
	var read *targetError
	switch {
	case errors.As(err, &version):
		return policy.VersionNotPreferred
	case errors.As(err, &target), errors.As(err, &read):
		return policy.TargetUnknown
	}
	return policy.RequestUnreadable
}

// Headline says who is refused what, in the normal form where there is one: the action may be nil.
func Headline(r *action.Request, a *action.Action) string {
	if a != nil {
		return policy.Headline(a)
	}
	return policy.Who(r.Actor.Username) + " may not " + policy.Raw(r)
}

package settlement

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/action"
	"github.com/countersign-dev/countersign/internal/approval"
	"github.com/countersign-dev/countersign/internal/history"
)

const (
	// firstLook and lastLook bound the time from one look at a use to the next. The API server's caches hold what
	// happened for more than a minute, and its storage for five.
	firstLook, lastLook = 50 * time.Millisecond, 30 * time.Second
	// blindLook is when a use is looked at again whose object may not be read: rights may come.
	blindLook = 5 * time.Minute
)

// closeAfter is how long a creation may take: no request to the API server lives longer. Its attempt is closed then.
const closeAfter = time.Minute

// finding is what a look at a use gave: an outcome, or none yet, and when to look again; zero for never.
type finding struct {
	outcome v1alpha1.UseOutcome
	again   time.Duration
}

// inquiry is a look at one use.
type inquiry struct {
	*Settler
	approval *v1alpha1.ActionApproval
	use      *v1alpha1.ApprovalUse
	object   history.Object
	kind     action.KindFacts
}

// investigate looks at one use. What cannot be known stays as it is: the use counts.
func (s *Settler) investigate(ctx context.Context, a *v1alpha1.ActionApproval, use *v1alpha1.ApprovalUse) (finding, error) {
	o := use.Object
	kind, err := s.Catalogue.Facts(o.Group, o.Resource)
	if err != nil {
		return finding{again: blindLook}, nil //nolint:nilerr // the kind is gone, or comes back
	}
	step := approval.Step(a, o)
	q := inquiry{Settler: s, approval: a, use: use, kind: kind, object: history.Object{
		Group: o.Group, Version: o.Version, Resource: o.Resource, Kind: kind.Kind, Namespace: step.Namespace, Name: o.Name,
	}}
	if !kind.Namespaced {
		q.object.Namespace = ""
	}
	found, err := q.look(ctx)
	log := ctrl.LoggerFrom(ctx).V(1)
	switch {
	case err == nil:
		return found, nil
	case errors.Is(err, history.ErrLost):
		log.Info("What became of a use will not be known", "approval", a.Name, "key", use.Key)
		return finding{}, nil
	case errors.Is(err, history.ErrBehind):
		return finding{again: q.pause()}, nil
	case apierrors.IsForbidden(err), apierrors.IsNotFound(err), apierrors.IsMethodNotSupported(err):
		log.Info("What became of a use cannot be read", "approval", a.Name, "key", use.Key, "cause", err.Error())
		return finding{again: blindLook}, nil
	default:
		return finding{}, err
	}
}

func (q *inquiry) look(ctx context.Context) (finding, error) {
	switch approval.EvidenceOf(q.use) {
	case approval.ByVersions:
		return q.update(ctx)
	case approval.ByAppearance:
		return q.create(ctx)
	case approval.ByDisappearance:
		return q.delete(ctx)
	case approval.NoEvidence:
		return finding{}, nil
	default:
		return finding{}, nil
	}
}

// pause is the time to the next look, longer the older the use.
func (q *inquiry) pause() time.Duration {
	return min(max(q.Clock.Since(q.use.Time.Time)/2, firstLook), lastLook)
}

// start is the state from which the history of the use is known: as far as was read, and at first the one that was
// reviewed, or a later one before the use was recorded. Where that is lost, the object as it is will do if it has not
// changed since the review.
func (q *inquiry) start(ctx context.Context) (history.Snapshot, error) {
	if mark, ok := q.mark(q.approval, q.use.Key); ok {
		return mark, nil
	}
	mark, err := q.History.At(ctx, q.object, approval.Later(q.use.Since, q.use.Object.ResourceVersion))
	if errors.Is(err, history.ErrLost) && q.use.Object.ResourceVersion != "" {
		if mark, err = q.History.Now(ctx, q.object); err == nil && approval.Passed(q.use.Object, mark.Object) {
			return mark, history.ErrLost
		}
	}
	if err == nil {
		q.remember(q.approval, q.use.Key, mark)
	}
	return mark, err
}

// update follows the object from version to version. An update lands on the version it starts from, or not at all.
func (q *inquiry) update(ctx context.Context) (finding, error) {
	hasher, err := q.Hasher()
	if err != nil {
		return finding{again: lastLook}, nil //nolint:nilerr // the key comes with the first certificate
	}
	mark, err := q.start(ctx)
	if err != nil {
		return finding{}, err
	}
	if approval.Passed(q.use.Object, mark.Object) {
		return finding{outcome: v1alpha1.UseReturned}, nil
	}
	now, err := q.History.Now(ctx, q.object)
	if err != nil {
		return finding{}, err
	}
	if now.Object != nil && approval.SameVersion(mark.Object, now.Object) {
		q.remember(q.approval, q.use.Key, now)
		return finding{again: q.pause()}, nil
	}
	return q.follow(ctx, mark, now, hasher)
}

// follow takes the steps from one state to another.
func (q *inquiry) follow(ctx context.Context, from, to history.Snapshot, h action.Hasher) (finding, error) {
	last, fate := from.Object, approval.Unproven
	err := q.History.Between(ctx, q.object, from.Revision, to.Revision, func(version map[string]any) (bool, error) {
		step, err := q.step(last, version)
		if err != nil {
			return false, err
		}
		last, fate = version, approval.FateOf(q.approval, q.use, step, h)
		return fate == approval.Unproven, nil
	})
	switch {
	case err != nil:
		return finding{}, err
	case fate == approval.Landed:
		return finding{outcome: v1alpha1.UseStored}, nil
	case fate == approval.Failed:
		return finding{outcome: v1alpha1.UseReturned}, nil
	default:
		q.remember(q.approval, q.use.Key, to)
		return finding{again: q.pause()}, nil
	}
}

// step is the action that made one version of the next; nil for a removal, or where another object took its place.
func (q *inquiry) step(last, version map[string]any) (*action.Action, error) {
	if version == nil || approval.Replaced(q.use.Object, version) {
		return nil, nil //nolint:nilnil // FateOf says what it means
	}
	step, err := action.Between(approval.Step(q.approval, q.use.Object), q.kind, last, version)
	if err != nil {
		return nil, fmt.Errorf("comparing versions: %w", err)
	}
	return step, nil
}

// create waits for the object to appear. Where it does not, the attempt is closed first, so that nothing of it is
// admitted any more; then it is waited again, in case it is on its way already, with an eye on what comes and goes.
func (q *inquiry) create(ctx context.Context) (finding, error) {
	now, err := q.History.Now(ctx, q.object)
	if err != nil {
		return finding{}, err
	}
	if now.Object != nil && !approval.Replaced(q.use.Object, now.Object) {
		return finding{outcome: v1alpha1.UseStored}, nil
	}
	mark, err := q.start(ctx)
	if err != nil {
		return finding{}, err
	}
	appeared := false
	err = q.History.Between(ctx, q.object, mark.Revision, now.Revision, func(version map[string]any) (bool, error) {
		appeared = version != nil && !approval.Replaced(q.use.Object, version)
		return !appeared, nil
	})
	switch {
	case err != nil:
		return finding{}, err
	case appeared: // and it has gone again
		return finding{outcome: v1alpha1.UseStored}, nil
	}
	q.remember(q.approval, q.use.Key, now)
	return q.missing(), nil
}

// missing says what becomes of a creation that has not appeared by now.
func (q *inquiry) missing() finding {
	since, next := q.use.Time.Time, v1alpha1.UseClosed
	after := min(closeAfter, q.GiveBackAfter)
	if q.use.Outcome == v1alpha1.UseClosed && q.use.SettledAt != nil {
		since, next, after = q.use.SettledAt.Time, v1alpha1.UseReturned, q.GiveBackAfter
	}
	if left := after - q.Clock.Since(since); left > 0 {
		return finding{again: min(left, q.pause())}
	}
	return finding{outcome: next, again: firstLook}
}

// delete waits for the object to go. One deletion has several reviews, of which the later ones pass under the use: where
// the object is given time to end, that is over soon.
func (q *inquiry) delete(ctx context.Context) (finding, error) {
	now, err := q.History.Now(ctx, q.object)
	if err != nil {
		return finding{}, err
	}
	gone := now.Object == nil || approval.Replaced(q.use.Object, now.Object)
	if gone || approval.Ending(now.Object) && !approval.Continues(q.use, q.Clock.Now()) {
		return finding{outcome: v1alpha1.UseStored}, nil
	}
	return finding{again: q.pause()}, nil
}

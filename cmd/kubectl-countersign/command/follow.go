package command

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

// reconnectAfter is how long a broken watch rests.
const reconnectAfter = time.Second

// view is what is there now, by namespace/name.
type view map[string]*v1alpha1.ActionApproval

func keyOf(a *v1alpha1.ActionApproval) string { return a.Namespace + "/" + a.Name }

// enough ends a follower: with nil because all is seen, or with an error that trying again does not mend.
type enough struct{ err error }

func (e enough) Error() string { return fmt.Sprint(e.err) }

// follower keeps a view current.
type follower struct {
	e         *Environment
	client    *approvals
	namespace string
	selector  fields.Selector
	// changed is called with what is there, and with the approval that has changed: nil when all were read anew, or when
	// a tick has passed. It returns enough to end.
	changed func(now view, what *v1alpha1.ActionApproval) error
	// tick, where it is not zero, is how often changed is called though nothing has changed.
	tick time.Duration
	// reached says that the server has answered already: when it does not at first, it is tried again.
	reached bool
}

// run follows until it is enough, or the context ends. What breaks once it has begun is said, and tried again: a server
// may be restarted. What the server refuses is not.
func (f *follower) run(ctx context.Context) error {
	for begun := f.reached; ; {
		err := f.once(ctx, &begun)
		var end enough
		switch {
		case errors.As(err, &end):
			return end.err
		case ctx.Err() != nil:
			return fmt.Errorf("following approvals: %w", ctx.Err())
		case err == nil, apierrors.IsResourceExpired(err), apierrors.IsGone(err):
			// Servers end a watch after some minutes.
		case !begun || refused(err):
			return err
		default:
			f.e.Warnf("%s; trying again", f.e.explain(err))
			select {
			case <-ctx.Done():
			case <-time.After(reconnectAfter):
			}
		}
	}
}

// refused says that trying again does not help.
func refused(err error) bool {
	return apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) || apierrors.IsNotFound(err) || apierrors.IsBadRequest(err)
}

// once reads everything, and then what changes until the watch ends.
func (f *follower) once(ctx context.Context, begun *bool) error {
	items, version, err := f.client.all(ctx, f.namespace, f.selector)
	if err != nil {
		return err
	}
	now := view{}
	for i := range items {
		now[keyOf(&items[i])] = &items[i]
	}
	*begun = true
	if err := f.changed(now, nil); err != nil {
		return err
	}
	w, err := f.client.watch(ctx, f.namespace, f.selector, version)
	if err != nil {
		return err
	}
	defer w.Stop()
	return f.receive(ctx, w, now)
}

func (f *follower) receive(ctx context.Context, w watch.Interface, now view) error {
	var ticks <-chan time.Time
	if f.tick > 0 {
		ticker := time.NewTicker(f.tick)
		defer ticker.Stop()
		ticks = ticker.C
	}
	for {
		var what *v1alpha1.ActionApproval
		select {
		case <-ctx.Done():
			return fmt.Errorf("following approvals: %w", ctx.Err())
		case <-ticks:
		case event, open := <-w.ResultChan():
			if !open {
				return nil
			}
			var err error
			if what, err = now.apply(event); err != nil {
				return err
			}
			if what == nil {
				continue
			}
		}
		if err := f.changed(now, what); err != nil {
			return err
		}
	}
}

// apply brings a view up to date, and returns what has changed, nil where nothing has.
func (v view) apply(event watch.Event) (*v1alpha1.ActionApproval, error) {
	switch event.Type {
	case watch.Error:
		return nil, fmt.Errorf("watching approvals: %w", apierrors.FromObject(event.Object))
	case watch.Added, watch.Modified, watch.Deleted:
		a, ok := event.Object.(*v1alpha1.ActionApproval)
		if !ok {
			return nil, fmt.Errorf("watching approvals: the server sent a %T", event.Object)
		}
		if event.Type == watch.Deleted {
			delete(v, keyOf(a))
		} else {
			v[keyOf(a)] = a
		}
		return a, nil
	case watch.Bookmark:
		return nil, nil
	default:
		return nil, fmt.Errorf("watching approvals: the server sent the unknown event %q", event.Type)
	}
}

package history

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/apimachinery/pkg/watch"
)

// patience is how long a watch is kept open to hear that nothing more is to come: the API server says so with a
// bookmark about two seconds before it ends one.
const patience = 4 * time.Second

// ErrBehind means that the API server did not show within a bound that all was read.
var ErrBehind = errors.New("reading history: the API server lags behind")

// Between calls visit with every version of an object that was stored after one revision and up to another, in their
// order, nil for a removal, until visit returns false or an error. It fails with ErrLost where the history is not kept
// any more, and with ErrBehind where it cannot be told whether more is to come: then nothing is known.
func (r *Reader) Between(ctx context.Context, o Object, after, until string, visit func(map[string]any) (bool, error)) error {
	if order, err := resourceversion.CompareResourceVersion(after, until); err != nil || order >= 0 {
		return err // of what comes later than all that is asked for the API server says nothing
	}
	ctx, cancel := context.WithTimeout(ctx, 2*patience)
	defer cancel()
	stream, err := r.request(o).
		Param("watch", "true").Param("allowWatchBookmarks", "true").Param("resourceVersion", after).
		Param("timeoutSeconds", strconv.Itoa(int(patience/time.Second))).Stream(ctx)
	if err != nil {
		return o.failure(err)
	}
	defer stream.Close()
	for decoder := json.NewDecoder(stream); ; {
		var e event
		if err := decoder.Decode(&e); err != nil {
			if errors.Is(err, io.EOF) || ctx.Err() != nil {
				return ErrBehind
			}
			return o.failure(err)
		}
		if done, err := e.visit(o, until, visit); done || err != nil {
			return err
		}
	}
}

// event is one event of a watch.
type event struct {
	Type   watch.EventType
	Object json.RawMessage
}

// visit shows one event, and says whether that was the last one of interest.
func (e *event) visit(o Object, until string, visit func(map[string]any) (bool, error)) (done bool, err error) {
	var version map[string]any
	switch e.Type {
	case watch.Added, watch.Modified, watch.Bookmark:
		if version, err = o.decode(e.Object); err != nil {
			return true, err
		}
	case watch.Deleted:
	case watch.Error:
		return true, o.failure(e.failure())
	default:
		return true, o.failure(fmt.Errorf("unknown event %q", string(e.Type)))
	}
	if e.Type != watch.Bookmark {
		if more, err := visit(version); !more || err != nil {
			return true, err
		}
	}
	return e.reaches(until)
}

// reaches says whether an event is from a revision or later.
func (e *event) reaches(revision string) (bool, error) {
	var object metav1.PartialObjectMetadata
	if err := json.Unmarshal(e.Object, &object); err != nil {
		return false, fmt.Errorf("reading the revision of an event: %w", err)
	}
	order, err := resourceversion.CompareResourceVersion(object.ResourceVersion, revision)
	if err != nil {
		return false, fmt.Errorf("comparing revisions: %w", err)
	}
	return order >= 0, nil
}

// failure is what the API server says in an event of type ERROR.
func (e *event) failure() error {
	var status metav1.Status
	if err := json.Unmarshal(e.Object, &status); err != nil {
		return fmt.Errorf("reading a failure: %w", err)
	}
	return apierrors.FromObject(&status)
}

package window

import (
	"time"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

// span is the time between two instants. It does not depend on a zone.
type span struct {
	from, to time.Time
}

func (s *span) contains(t time.Time) bool {
	return !t.Before(s.from) && t.Before(s.to)
}

// steadyUntil is the first edge of the span after t, and the zero time where there is none.
func (s *span) steadyUntil(t time.Time) time.Time {
	switch {
	case t.Before(s.from):
		return s.from
	case t.Before(s.to):
		return s.to
	default:
		return time.Time{}
	}
}

func compileOnce(w *v1alpha1.OnceWindow, at *field.Path) (*span, field.ErrorList) {
	var errs field.ErrorList
	const example = `write an instant such as "2026-12-18T17:00:00+01:00"`
	if w.From.IsZero() {
		errs = append(errs, field.Required(at.Child("from"), example))
	}
	if w.To.IsZero() {
		errs = append(errs, field.Required(at.Child("to"), example))
	}
	// Without the reading of a monotonic clock instants compare as they are written.
	s := &span{from: w.From.Round(0), to: w.To.Round(0)}
	if len(errs) == 0 && !s.from.Before(s.to) {
		errs = append(errs, field.Invalid(at.Child("to"), w.To.Format(time.RFC3339), "must be after from: the window would never open"))
	}
	return s, errs
}

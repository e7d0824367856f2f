package command

import (
	"time"

	"k8s.io/apimachinery/pkg/util/duration"
)

// stampFormat is how an instant is written: in UTC, as the operator writes it.
const stampFormat = "2006-01-02 15:04:05Z"

// moment writes an instant, and how far it is away.
func (e *Environment) moment(t time.Time) string {
	return t.UTC().Format(stampFormat) + " (" + e.distance(t) + ")"
}

// distance says how far an instant is away: "in 43m", or "5m ago".
func (e *Environment) distance(t time.Time) string {
	if d := t.Sub(e.Now()); d > 0 {
		return "in " + duration.HumanDuration(d)
	}
	return duration.HumanDuration(e.Now().Sub(t)) + " ago"
}

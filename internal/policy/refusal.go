package policy

import (
	"slices"
	"strings"
	"time"

	"github.com/countersign-dev/countersign/internal/action"
	"github.com/countersign-dev/countersign/internal/legible"
)

// Headline says who may not do what: "ci/deploy-bot may not update deployment shop/web".
func Headline(a *action.Action) string {
	return Who(a.Actor.Username) + " may not " + what(a)
}

// Refusal is the whole text that a refused actor reads. Clients show nothing but this text, so it stands by
// itself: what is refused, every obstacle, what suffices next, and a tail for programs. The hash of the action may
// be empty.
func Refusal(headline string, d *Decision, hash string) string {
	var b strings.Builder
	b.WriteString(legible.Escape(headline))
	if slices.ContainsFunc(d.Obstacles, func(o Obstacle) bool { return o.isTime() }) {
		b.WriteString(" now")
	}
	for i := range d.Obstacles {
		b.WriteString("\n  - " + legible.Escape(d.Obstacles[i].Detail))
	}
	b.WriteString("\nnext: " + legible.Escape(d.next()))
	b.WriteString("\n" + d.tail(hash))
	return b.String()
}

// next says what suffices.
func (d *Decision) next() string {
	var steps []string
	if len(d.Remedy.Narrow) > 0 {
		steps = append(steps, "NARROW to "+list(d.Remedy.Narrow))
	}
	if !d.Remedy.Wait.IsZero() {
		steps = append(steps, "WAIT until "+d.Remedy.Wait.Format(time.RFC3339))
	}
	alternatives := make([]string, 0, 2)
	if len(steps) > 0 {
		alternatives = append(alternatives, strings.Join(steps, " AND "))
	}
	if d.Remedy.Ask != "" {
		alternatives = append(alternatives, "ASK: "+d.Remedy.Ask)
	}
	if len(alternatives) == 0 {
		return d.dead()
	}
	return strings.Join(alternatives, " OR ")
}

// dead says who can help where the actor cannot.
func (d *Decision) dead() string {
	for i := range d.Obstacles {
		switch d.Obstacles[i].Reason { //nolint:exhaustive // only reasons with a remedy of their own
		case ReservedAction:
			return "STOP: no policy and no approval allows this; a person must do it"
		case NotReady, Disconnected, InternalError, HistoryUnknown:
			return "REPEAT the same request later; if it goes on, the operators of Countersign must look at it"
		case DefinitionsChanged:
			return "STOP: the operators of Countersign must put its definitions right first"
		case VersionNotPreferred:
			return "REPEAT the request in the version named above"
		case TargetUnknown:
			return "REPEAT the request later, or check that the object and its kind exist"
		case RequestUnreadable:
			return "STOP: the request cannot be judged; a person must do it"
		}
	}
	if d.Outcome == Ask {
		return "STOP: this needs an approval, and no request for one could be opened"
	}
	return "STOP: waiting or retrying does not help; a person must do it, or change the policy"
}

// tail is the machine-readable last line.
func (d *Decision) tail(hash string) string {
	fields := []string{"countersign decision=" + string(d.Outcome), "reasons=" + strings.Join(d.Reasons(), ",")}
	if names := d.PolicyNames(); len(names) > 0 {
		fields = append(fields, "policy="+strings.Join(names[:min(len(names), maxListed)], ","))
	}
	if d.Approval != "" {
		fields = append(fields, "approval="+d.Approval)
	}
	if !d.Remedy.Wait.IsZero() {
		fields = append(fields, "opensAt="+d.Remedy.Wait.UTC().Format(time.RFC3339))
	}
	if hash != "" {
		fields = append(fields, "hash="+hash)
	}
	return "[" + strings.Join(fields, " ") + "]"
}

// Reasons are the reasons of all obstacles, sorted and without repetition.
func (d *Decision) Reasons() []string {
	return collect(d.Obstacles, func(o *Obstacle) string { return string(o.Reason) })
}

// PolicyNames are the policies of all obstacles, sorted and without repetition.
func (d *Decision) PolicyNames() []string {
	return collect(d.Obstacles, func(o *Obstacle) string { return o.Policy })
}

func collect(obstacles []Obstacle, of func(*Obstacle) string) []string {
	var all []string
	for i := range obstacles {
		if text := of(&obstacles[i]); text != "" {
			all = append(all, text)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// maxWarning is the longest warning, in characters: the API server cuts longer ones where there are many.
const maxWarning = 120

// Warnings are what a Warn policy tells the caller: one line an obstacle.
func (s *Shadow) Warnings() []string {
	prefix := "policy " + s.Policy + " would refuse this: "
	if s.Decision.Outcome == Allow {
		return []string{legible.Line("policy "+s.Policy+" would allow this", maxWarning)}
	}
	warnings := make([]string, len(s.Decision.Obstacles))
	for i := range s.Decision.Obstacles {
		warnings[i] = legible.Line(prefix+s.Decision.Obstacles[i].Detail, maxWarning)
	}
	return warnings
}

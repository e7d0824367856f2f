package policy

import (
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/legible"
	"github.com/countersign-dev/countersign/internal/window"
)

// timing holds the time restrictions of a policy or of a task.
type timing struct {
	gate    *gate // nil: no change windows
	freezes []gate
}

// gate is one time restriction: change windows of which one must be open, or one freeze.
type gate struct {
	calendar *window.Calendar
	verdict  v1alpha1.Verdict
	names    []string
	reason   string // of a freeze, in the author's words
	// grace is how long after closing objects may be changed further that were changed before.
	grace time.Duration
	// requirements are whom it asks.
	requirements []v1alpha1.RequirementName
}

func (c *compiler) compileTiming(at *field.Path) *timing {
	t := &timing{gate: c.compileChangeWindows(c.spec.ChangeWindows, at.Child("changeWindows"))}
	for i, f := range c.spec.Freezes {
		schedule := c.window(f.Window, at.Child("freezes").Index(i).Child("window"))
		c.requireKnown(f.WhenActive, f.Requirements, at.Child("freezes").Index(i), "whenActive")
		if schedule == nil {
			continue
		}
		t.freezes = append(t.freezes, gate{
			calendar: &window.Calendar{Frozen: []*window.Schedule{schedule}},
			verdict:  orDeny(f.WhenActive), names: []string{string(f.Window)}, reason: f.Reason,
			requirements: f.Requirements,
		})
	}
	return t
}

func (c *compiler) compileChangeWindows(w *v1alpha1.ChangeWindows, at *field.Path) *gate {
	if w == nil {
		return nil
	}
	c.requireKnown(w.WhenClosed, w.Requirements, at, "whenClosed")
	c.checkDuration(w.GraceAfterClose, at.Child("graceAfterClose"), maxGrace)
	if w.GraceAfterClose != "" {
		c.needsEnforce(at.Child("graceAfterClose"), "holds only")
	}
	g := &gate{
		calendar: &window.Calendar{}, verdict: orDeny(w.WhenClosed), requirements: w.Requirements, grace: orDefault(w.GraceAfterClose, 0),
	}
	for i, name := range w.Allowed {
		if s := c.window(name, at.Child("allowed").Index(i)); s != nil {
			g.calendar.Allowed = append(g.calendar.Allowed, s)
			g.names = append(g.names, string(name))
		}
	}
	if len(w.Allowed) == 0 {
		c.fail(field.Required(at.Child("allowed"), "name at least one window"))
	}
	return g
}

// window looks a window up by name. It returns nil, with an error recorded here or at the definition, where
// there is no valid one: the policy is then broken as a whole, so the missing restriction never lets pass.
func (c *compiler) window(name v1alpha1.WindowName, at *field.Path) *window.Schedule {
	c.used[name] = true
	s, defined := c.windows[name]
	if !defined {
		c.fail(field.NotFound(at, name))
	}
	return s
}

// orDeny gives a verdict its refusing default.
func orDeny(v v1alpha1.Verdict) v1alpha1.Verdict {
	if v == v1alpha1.RequireApproval {
		return v
	}
	return v1alpha1.Deny
}

// closed is the obstacle of change windows of which none is open.
func (g *gate) closed(policy, task string, in Input) Obstacle {
	o := Obstacle{
		Reason: ChangeWindowClosed, Verdict: g.verdict, Policy: policy, Task: task,
		requirements: g.requirements, consentName: g.consentName(),
	}
	o.Detail = "change window closed (" + ownerOf(policy, task) + "): does not open again (" + list(g.names) + ")"
	if at, ok := g.calendar.NextOpen(in.Now); ok {
		o.OpensAt, o.Name = at, g.openAt(at)
		o.Detail = "change window closed (" + ownerOf(policy, task) + "): next opens " + at.Format(time.RFC3339) + " (" + o.Name + ")"
	}
	switch {
	case g.reads(in) && in.History == nil:
		o.Detail += ", and whether this agent changed the object inside is not known"
	case g.justClosed(in.Now):
		o.Detail += ", with grace only for what this agent changed inside"
	}
	return o
}

// ownerOf says in words whose windows they are; task is empty where they are those of the whole policy.
func ownerOf(policy, task string) string {
	if task == "" {
		return "policy " + policy
	}
	return "task " + task + ", policy " + policy
}

// maxConsentName bounds the name of a reason in an approval.
const maxConsentName = 253

// consentName names all the windows, of which none is open: which of them is next depends on the moment.
func (g *gate) consentName() string {
	names := strings.Join(g.names, ",")
	return names[:min(len(names), maxConsentName)]
}

// openAt names the windows that are open at an instant.
func (g *gate) openAt(at time.Time) string {
	_, active := g.calendar.State(at)
	return list(active)
}

// frozen is the obstacle of an active freeze.
func (g *gate) frozen(policy string, now time.Time) Obstacle {
	o := Obstacle{Reason: FreezeActive, Verdict: g.verdict, Policy: policy, Name: g.names[0], requirements: g.requirements}
	o.Detail = "frozen by " + o.Name + " (policy " + policy + ")"
	if g.reason != "" {
		o.Detail += ", " + legible.Line(g.reason, maxDetail)
	}
	if at, ok := g.calendar.NextOpen(now); ok {
		o.OpensAt = at
		o.Detail += ": ends " + at.Format(time.RFC3339)
	}
	return o
}

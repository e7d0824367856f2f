package command

import (
	"fmt"
	"strings"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/cmd/kubectl-countersign/terminal"
	"github.com/countersign-dev/countersign/internal/approval"
	"github.com/countersign-dev/countersign/internal/legible"
	"github.com/countersign-dev/countersign/internal/naming"
)

// labelWidth is the width of the words at the left of a description.
const labelWidth = 12

// description is the text that shows an approval to a person. All that comes from the object is cleaned on its way in.
type description struct {
	b      strings.Builder
	e      *Environment
	screen terminal.Screen
}

// describe shows one approval to a person.
func (e *Environment) describe(a *v1alpha1.ActionApproval) string {
	d := description{e: e, screen: e.Screen}
	d.line("Request", terminal.Bold, a.Namespace+"/"+a.Name)
	d.state(a)
	d.requester(a.Spec.Requester)
	d.line("What", terminal.Bold, what(&a.Spec))
	d.asked(a)
	if a.Spec.Justification != "" {
		d.line("Why", terminal.Plain, legible.Quote(a.Spec.Justification)+", says the requester")
	}
	if a.Spec.Follows != "" {
		d.line("Follows", terminal.Plain, a.Spec.Follows)
	}
	d.list("Waives", waived(&a.Spec))
	d.list("Needs", needs(&a.Spec))
	d.list("Decisions", d.decisions(&a.Spec))
	d.list("Uses", d.uses(a))
	d.change(a.Spec.Action)
	return d.b.String()
}

// line writes a label and a text that is wrapped at the width of the screen.
func (d *description) line(label string, style terminal.Style, text string) {
	left := 0
	if d.screen.Width > 0 {
		left = max(d.screen.Width-labelWidth, leastWidth/2)
	}
	for i, part := range terminal.Wrap(terminal.Clean(text), left) {
		if i > 0 {
			label = ""
		} else if label != "" {
			label += ":"
		}
		fmt.Fprintf(&d.b, "%-*s%s\n", labelWidth, label, d.screen.Paint(style, part))
	}
}

// list writes a label and lines. Without lines it writes nothing.
func (d *description) list(label string, lines []string) {
	for i, text := range lines {
		if i > 0 {
			label = ""
		}
		d.line(label, terminal.Plain, text)
	}
}

func (d *description) state(a *v1alpha1.ActionApproval) {
	state := d.e.stateOf(a)
	text := string(state)
	text += because(a)
	d.line("State", styleOf(state), text)
	if until := d.e.expiryOf(a); !until.IsZero() {
		d.line("Until", terminal.Plain, d.e.moment(until))
	}
	if until, holds := approval.CoolsUntil(a, d.e.Now()); holds {
		d.line("Denied", terminal.Plain, "the same cannot be asked for again before "+d.e.moment(until)+", unless this is revoked")
	}
}

func (d *description) requester(r v1alpha1.Requester) {
	text := naming.Short(r.Username)
	if text != r.Username {
		text += " (service account)"
	}
	if r.PodName != "" {
		text += ", pod " + r.PodName
	}
	d.line("Who", terminal.Plain, text)
}

// what says in full what is asked for.
func what(spec *v1alpha1.ActionApprovalSpec) string {
	switch {
	case spec.Action != nil:
		text := deedOf(spec)
		if spec.Action.Namespace != "" {
			text += " in namespace " + spec.Action.Namespace
		}
		if spec.Action.Group != "" {
			text += " (" + spec.Action.Group + "/" + spec.Action.Version + ")"
		}
		return text
	case spec.Task != nil:
		return fmt.Sprintf("a run of task %s of policy %s: up to %d actions", spec.Task.Name, spec.Task.Policy, spec.Task.MaxActions)
	default:
		return "nothing that this plugin knows"
	}
}

// asked says when it was asked, and for how long consent would be good.
func (d *description) asked(a *v1alpha1.ActionApproval) {
	if !a.CreationTimestamp.IsZero() {
		d.line("Asked", terminal.Plain, d.e.moment(a.CreationTimestamp.Time))
	}
	validFor := a.Spec.ValidFor
	if a.Spec.Task != nil && a.Spec.Task.ValidFor != "" {
		validFor = a.Spec.Task.ValidFor
	}
	if validFor != "" {
		d.line("Good for", terminal.Plain, string(validFor)+" from the consent that completes it")
	}
}

// waived are what consent would waive.
func waived(spec *v1alpha1.ActionApprovalSpec) []string {
	all := make([]string, len(spec.Reasons))
	for i, r := range spec.Reasons {
		all[i] = r.Type
		if r.Name != "" {
			all[i] += " " + r.Name
		}
		if r.Task != "" {
			all[i] += ", task " + r.Task
		}
		all[i] += ", policy " + r.Policy
	}
	return all
}

// needs says of each requirement who can meet it, and who has.
func needs(spec *v1alpha1.ActionApprovalSpec) []string {
	var all []string
	for _, p := range approval.ProgressOf(spec) {
		text := fmt.Sprintf("%s (policy %s): %d of %d", p.Requirement.Name, p.Requirement.Policy.Name, len(p.Consents), p.Needed())
		if p.Met() {
			text += ", met"
		}
		all = append(all, text+" - "+approversOf(p.Requirement.Approvers))
	}
	return all
}

func approversOf(approvers []v1alpha1.Approver) string {
	if len(approvers) == 0 {
		return "everyone with the right to approve"
	}
	names := make([]string, len(approvers))
	for i, a := range approvers {
		names[i] = strings.ToLower(string(a.Kind)) + " " + a.Name
	}
	return strings.Join(names, ", ")
}

// decisions are the recorded verdicts.
func (d *description) decisions(spec *v1alpha1.ActionApprovalSpec) []string {
	all := make([]string, len(spec.Decisions))
	for i := range spec.Decisions {
		r := &spec.Decisions[i]
		all[i] = r.Approver.Username + ": " + string(r.Verdict) + limitsText(r.Limits) + ", " + d.e.moment(r.Time.Time)
		if r.Comment != "" {
			all[i] += ": " + legible.Quote(r.Comment)
		}
	}
	return all
}

func limitsText(l *v1alpha1.DecisionLimits) string {
	var limits []string
	if l != nil && l.MaxActions > 0 {
		limits = append(limits, fmt.Sprintf("%d actions", l.MaxActions))
	}
	if l != nil && l.ValidFor != "" {
		limits = append(limits, string(l.ValidFor))
	}
	if len(limits) == 0 {
		return ""
	}
	return " for at most " + strings.Join(limits, " and ")
}

// uses are what happened under the approval.
func (d *description) uses(a *v1alpha1.ActionApproval) []string {
	var all []string
	for i := range a.Status.Uses {
		u := &a.Status.Uses[i]
		text := d.e.moment(u.Time.Time)
		if o := u.Object; o != nil {
			_, target := naming.Deed("", o.Resource, o.Subresource, o.Name)
			text += ": " + target
		}
		all = append(all, text+", "+outcome(u.Outcome, u.SettledAt == nil))
	}
	if n := a.Status.Remaining; n != nil && *n > 0 && d.e.stateOf(a) == approval.Approved {
		all = append(all, fmt.Sprintf("%d left", *n))
	}
	return all
}

// outcome says what became of a use.
func outcome(o v1alpha1.UseOutcome, unsettled bool) string {
	switch o {
	case v1alpha1.UseStored:
		return "stored"
	case v1alpha1.UseReturned:
		return "was not stored, the use came back"
	case v1alpha1.UseClosed:
		return "given up, not known to be stored"
	case v1alpha1.UseAdmitted:
		if unsettled {
			return "admitted; whether it was stored is not known yet"
		}
		return "admitted"
	default:
		return string(o)
	}
}

// change shows what an action changes: by its diff, or once that is removed by its fields.
func (d *description) change(asked *v1alpha1.RequestedAction) {
	switch {
	case asked == nil:
	case asked.Diff != "":
		d.b.WriteByte('\n')
		for line := range strings.Lines(terminal.CleanLines(asked.Diff)) {
			text := strings.TrimSuffix(line, "\n")
			d.b.WriteString(d.screen.Paint(styleOfDiff(text), text) + "\n")
		}
	default:
		fields := make([]string, len(asked.Changes))
		for i, c := range asked.Changes {
			fields[i] = c.Path + ": " + orNothing(c.From) + " -> " + orNothing(c.To)
		}
		d.list("Changes", fields)
	}
}

func orNothing(value string) string {
	if value == "" {
		return "nothing"
	}
	return value
}

// styleOfDiff is the colour of a line of a unified diff.
func styleOfDiff(line string) terminal.Style {
	switch {
	case strings.HasPrefix(line, "--- "), strings.HasPrefix(line, "+++ "):
		return terminal.Bold
	case strings.HasPrefix(line, "@@"):
		return terminal.Cyan
	case strings.HasPrefix(line, "+"):
		return terminal.Green
	case strings.HasPrefix(line, "-"):
		return terminal.Red
	case strings.HasPrefix(line, "#"):
		return terminal.Faint
	default:
		return terminal.Plain
	}
}

package command

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/countersign-dev/countersign/cmd/kubectl-countersign/terminal"
	"github.com/countersign-dev/countersign/internal/privilege"
)

// sections are the titles of the types of findings.
var sections = map[privilege.Type]string{
	privilege.RouteAroundGate: "ROUTES AROUND THE GATE", privilege.OverPrivilege: "MORE THAN TASKS COVER",
	privilege.NotBounded: "NOT BOUNDED BY TASKS", privilege.UnusedGrant: "NOT USED LATELY",
	privilege.MissingAccount:   "ACCOUNTS THAT DO NOT EXIST",
	privilege.StandingApproval: "STANDING APPROVALS", privilege.UnansweredRequest: "UNANSWERED REQUESTS",
	privilege.IdleTask: "TASKS WITHOUT RIGHTS", privilege.DanglingGrant: "GRANTS OF WHAT DOES NOT EXIST",
}

// severityWidth is how far the text of a finding stands in, itemWidth how much further what is said about it, and
// mostDetails how many lines of rights are shown without --details.
const (
	severityWidth = 10
	itemWidth     = 5
	mostDetails   = 4
)

func (o *reviewOptions) report(r *privilege.Report) {
	o.head(r)
	for _, t := range privilege.Types() {
		if n := r.Count(t); n > 0 {
			o.Printf("\n%s\n", o.Screen.Paint(terminal.Bold, fmt.Sprintf("%s (%d)", sections[t], n)))
		}
		var above []string
		for i := range r.Findings {
			if f := &r.Findings[i]; f.Type == t {
				o.finding(f, above)
				above = f.By
			}
		}
	}
	switch {
	case len(r.Findings) > 0:
	case r.Replacement.Refused != "":
		o.Printf("\nNothing was found in what could be looked at.\n")
	default:
		o.Printf("\nNothing was found.\n")
	}
	if o.details {
		o.grants(r)
	}
	o.notKnown(r.NotKnown)
	o.replacement(r)
}

// head says who it is about, and what is known.
func (o *reviewOptions) head(r *privilege.Report) {
	o.Printf("%s\n", o.Screen.Paint(terminal.Bold, terminal.Clean(r.Subject.String())))
	const width = 13
	line := func(label, text string) {
		o.hang(fmt.Sprintf("  %-*s", width-2, label), strings.Repeat(" ", width), width, terminal.Clean(text))
	}
	if len(r.Policies) == 0 {
		line("policies", "none: no Enforce policy governs it, so RBAC is all there is")
	}
	for i := range r.Policies {
		p := &r.Policies[i]
		tasks := make([]string, len(p.Tasks))
		for k := range p.Tasks {
			tasks[k] = p.Tasks[k].Name
		}
		text := p.Name + ": "
		switch {
		case p.Invalid != "":
			text += "not valid, and refuses everything: " + p.Invalid
		case len(tasks) == 0:
			text += "no tasks"
		default:
			text += "tasks " + strings.Join(tasks, ", ")
		}
		label := "policies"
		if i > 0 {
			label = ""
		}
		line(label, text+"; out of scope: "+string(p.OutOfScope))
	}
	switch r.Existence {
	case privilege.Exists:
		line("account", "exists")
	case privilege.Missing:
		line("account", "does not exist")
	default: // a user, a group, or nobody could look
	}
	line("uses", usesText(r))
}

func usesText(r *privilege.Report) string {
	known := &r.Recorded
	var parts []string
	if known.Actions > 0 {
		parts = append(parts, fmt.Sprintf("%d recorded", known.Actions))
	}
	if known.Approvals > 0 {
		parts = append(parts, fmt.Sprintf("%d under approvals", known.Approvals))
	}
	if len(parts) == 0 {
		if known.Since.IsZero() {
			return "none recorded"
		}
		return "none recorded since " + known.Since.UTC().Format(time.RFC3339)
	}
	if !known.Last.IsZero() {
		parts = append(parts, "the last "+known.Last.UTC().Format(time.RFC3339))
	}
	if !known.Since.IsZero() {
		parts = append(parts, "all of them since "+known.Since.UTC().Format(time.RFC3339))
	}
	return strings.Join(parts, ", ")
}

// finding writes one finding: what, the rights, by which grant, why, and what to do. The grant is left out where it is that
// of the finding above.
func (o *reviewOptions) finding(f *privilege.Finding, above []string) {
	style := map[privilege.Severity]terminal.Style{
		privilege.High: terminal.Red, privilege.Medium: terminal.Yellow, privilege.Low: terminal.Faint,
	}
	label := fmt.Sprintf("%-*s", severityWidth-2, f.Severity)
	what, details := f.What, f.Details
	if len(details) == 1 {
		what, details = what+": "+details[0], nil
	}
	o.hang("  "+o.Screen.Paint(style[f.Severity], label), strings.Repeat(" ", severityWidth), severityWidth, terminal.Clean(what))
	if left := len(details) - mostDetails; !o.details && left > 1 {
		details = append(details[:mostDetails:mostDetails], fmt.Sprintf("and %d more, see --details", left))
	}
	for _, detail := range details {
		o.item("-", detail)
	}
	if !slices.Equal(f.By, above) {
		for _, by := range f.By {
			o.item("by", by)
		}
	}
	o.item("why", f.Why)
	o.item("do", f.Do)
	if f.Command != "" {
		o.Printf("%*s%s\n", severityWidth+itemWidth, "", o.Screen.Paint(terminal.Bold, terminal.Clean(f.Command)))
	}
}

// item writes a line below a finding.
func (o *reviewOptions) item(label, text string) {
	width := severityWidth + itemWidth
	if label == "-" {
		width = severityWidth + len("- ")
	}
	first := fmt.Sprintf("%-*s", width-severityWidth, label)
	o.hang(strings.Repeat(" ", severityWidth)+o.Screen.Paint(terminal.Faint, first), strings.Repeat(" ", width), width, terminal.Clean(text))
}

// grants lists all that is granted.
func (o *reviewOptions) grants(r *privilege.Report) {
	o.Printf("\n%s\n", o.Screen.Paint(terminal.Bold, "ALL THAT RBAC GRANTS"))
	everybody := 0
	for i := range r.Grants {
		g := &r.Grants[i]
		if g.Everybody {
			everybody++
			continue
		}
		where := "everywhere"
		if g.Namespace != "" {
			where = "in " + g.Namespace
		}
		title := g.Binding + ": " + g.Role + " " + where
		if g.Via != "" {
			title += ", by group " + g.Via
		}
		o.hang("  ", "    ", 2, terminal.Clean(title))
		for k := range g.Rights {
			o.hang("    ", "      ", 4, terminal.Clean(g.Rights[k].String()))
		}
	}
	if everybody > 0 {
		o.Printf("  and what everybody has: bindings of Kubernetes itself (%d)\n", everybody)
	}
}

func (o *reviewOptions) notKnown(sentences []string) {
	if len(sentences) == 0 {
		return
	}
	o.Printf("\n%s\n", o.Screen.Paint(terminal.Bold, "NOT KNOWN"))
	for _, text := range sentences {
		o.hang("  - ", "    ", 4, terminal.Clean(sentence(text)))
	}
}

// replacement says what could replace what there is.
func (o *reviewOptions) replacement(r *privilege.Report) {
	p := &r.Replacement
	if !r.Needed() {
		return
	}
	var parts []string
	count := func(n int, one, more string) {
		switch {
		case n == 1:
			parts = append(parts, "1 "+one)
		case n > 1:
			parts = append(parts, fmt.Sprintf("%d %s", n, more))
		}
	}
	count(len(p.ClusterRoles), "ClusterRole", "ClusterRoles")
	count(len(p.Roles), "Role", "Roles")
	count(len(p.ClusterRoleBindings)+len(p.RoleBindings), "binding", "bindings")
	count(len(p.Policies), "AgentActionPolicy", "AgentActionPolicies")
	if len(parts) == 0 {
		return
	}
	o.Printf("\n%s\n", o.Screen.Paint(terminal.Bold, "TO REPLACE IT"))
	o.hang("  ", "  ", 2, strings.Join(parts, ", ")+" hold what tasks cover and what it reads. To see whether the API server takes them:")
	o.Printf("  %s\n", terminal.Clean("kubectl countersign review "+r.Subject.String()+" -o manifests | kubectl apply --dry-run=server -f -"))
}

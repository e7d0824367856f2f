package command

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/countersign-dev/countersign/cmd/kubectl-countersign/terminal"
	"github.com/countersign-dev/countersign/internal/policy"
)

// forecastReport is what -o json and -o yaml write of one action. Fields may be added.
type forecastReport struct {
	Action    string           `json:"action"`
	At        time.Time        `json:"at"`
	Governed  bool             `json:"governed"`
	Outcome   policy.Outcome   `json:"outcome"`
	Obstacles []obstacleReport `json:"obstacles,omitempty"`
	Task      string           `json:"task,omitempty"`
	Narrow    []string         `json:"narrow,omitempty"`
	OpensAt   *time.Time       `json:"opensAt,omitempty"`
	Policies  []string         `json:"policies,omitempty"`
	Approvals []approvalReport `json:"approvals,omitempty"`
	Observed  []observedReport `json:"observed,omitempty"`
	Hash      string           `json:"hash,omitempty"`
	Message   string           `json:"message,omitempty"`
	Notes     []string         `json:"notes,omitempty"`
}

type obstacleReport struct {
	Reason  policy.Reason `json:"reason"`
	Verdict string        `json:"verdict"`
	Policy  string        `json:"policy,omitempty"`
	Task    string        `json:"task,omitempty"`
	Name    string        `json:"name,omitempty"`
	Detail  string        `json:"detail"`
}

type approvalReport struct {
	Name     string     `json:"name"`
	State    string     `json:"state"`
	Redeemed bool       `json:"redeemed"`
	Reason   string     `json:"reason,omitempty"`
	Expires  *time.Time `json:"expires,omitempty"`
}

type observedReport struct {
	Policy      string         `json:"policy"`
	Enforcement string         `json:"enforcement"`
	Outcome     policy.Outcome `json:"outcome"`
}

func (f *forecast) report() forecastReport {
	d := &f.decision
	r := forecastReport{
		Action: f.what(), At: f.at, Governed: d.Governed, Outcome: f.outcome(), Task: d.TaskName(), Narrow: d.Remedy.Narrow,
		Message: f.refusal(), Notes: f.notes,
	}
	if strings.HasPrefix(f.hash, "v1:") { // any other one is not that of the operator
		r.Hash = f.hash
	}
	if wait := d.Remedy.Wait; !wait.IsZero() {
		r.OpensAt = &wait
	}
	for i := range d.Obstacles {
		o := &d.Obstacles[i]
		r.Obstacles = append(r.Obstacles, obstacleReport{o.Reason, string(o.Verdict), o.Policy, o.Task, o.Name, o.Detail})
	}
	for _, p := range d.Policies {
		r.Policies = append(r.Policies, p.Name)
	}
	for _, a := range f.approvals {
		r.Approvals = append(r.Approvals, approvalReport{a.name, string(a.state), a.name == f.redeemed, a.reason, a.until})
	}
	for i := range d.Shadows {
		s := &d.Shadows[i]
		r.Observed = append(r.Observed, observedReport{s.Policy, string(s.Enforcement), s.Decision.Outcome})
	}
	return r
}

// report writes what would become of actions: as data, or for people.
func (e *Environment) report(forecasts []*forecast, form string) error {
	switch form {
	case "":
		for i, f := range forecasts {
			if i > 0 {
				e.Printf("\n")
			}
			e.forecast(f)
		}
		return nil
	case "json", "yaml":
	default:
		return usageError{fmt.Errorf("-o %s: write json or yaml", form)}
	}
	reports := make([]forecastReport, len(forecasts))
	for i, f := range forecasts {
		reports[i] = f.report()
	}
	text, err := json.MarshalIndent(reports, "", "  ")
	if err == nil && form == "yaml" {
		text, err = yaml.JSONToYAML(text)
	}
	if err != nil {
		return fmt.Errorf("writing the decision: %w", err)
	}
	e.Printf("%s\n", strings.TrimRight(string(text), "\n"))
	return nil
}

// forecast writes one for people: the answer first.
func (e *Environment) forecast(f *forecast) {
	answer, style := answerOf(f)
	what := fmt.Sprintf("%s, at %s", f.what(), f.at.Format("Mon 2006-01-02 15:04 MST"))
	e.Printf("%s  %s\n", e.Screen.Paint(style, answer), terminal.Clean(what))
	if text := f.refusal(); text != "" {
		e.hang("  | ", "  | ", 4, text) //nolint:mnd // the width of the prefix
	}
	if f.in.Action != nil {
		const shown = 10
		for i, c := range f.in.Action.Changes {
			if i == shown {
				e.fact("", fmt.Sprintf("and %d more", len(f.in.Action.Changes)-shown))
				break
			}
			from, to := f.in.Action.Render(c)
			e.fact(onlyFirst(i, "changes"), fmt.Sprintf("%s: %s -> %s", c.Path, orAbsent(from), orAbsent(to)))
		}
	}
	if task := f.decision.TaskName(); task != "" {
		e.fact("task", task)
	}
	for i, p := range f.decision.Policies {
		e.fact(onlyFirst(i, "policies"), fmt.Sprintf("%s (window %s)", p.Name, p.WindowAt(f.at)))
	}
	for i, a := range f.approvals {
		e.fact(onlyFirst(i, "approvals"), approvalLine(f, &a))
	}
	for i := range f.decision.Shadows {
		s := &f.decision.Shadows[i]
		e.fact(onlyFirst(i, "observed"), fmt.Sprintf("policy %s (%s) would say %s", s.Policy, s.Enforcement, s.Decision.Outcome))
	}
	for _, n := range slices.Compact(f.notes) {
		e.fact("note", n)
	}
}

// answerOf is the answer in a word or two.
func answerOf(f *forecast) (string, terminal.Style) {
	switch {
	case f.redeemed != "":
		return "yes, by approval", terminal.Green
	case f.decision.Outcome == policy.Allow && !f.decision.Governed:
		return "yes, not governed", terminal.Green
	case f.decision.Outcome == policy.Allow:
		return "yes", terminal.Green
	case f.decision.Outcome == policy.Ask:
		return "no, needs approval", terminal.Yellow
	default:
		return "no", terminal.Red
	}
}

func approvalLine(f *forecast, a *standingApproval) string {
	text := a.name + " is " + strings.ToLower(string(a.state))
	if a.until != nil && !a.state.Terminal() {
		text += " until " + a.until.In(f.at.Location()).Format("Mon 2006-01-02 15:04")
	}
	switch {
	case a.name == f.redeemed:
		text += ": it would be redeemed"
	case a.usable:
		text += ": it could be redeemed"
	case a.reason != "":
		text += ": " + a.reason
	}
	return text
}

// fact writes one line with a label.
func (e *Environment) fact(label, text string) {
	if label != "" {
		label += ":"
	}
	const width = 10
	first := e.Screen.Paint(terminal.Faint, fmt.Sprintf("%-*s", width, label)) + " "
	e.hang(first, strings.Repeat(" ", width+1), width+1, terminal.Clean(text))
}

func onlyFirst(i int, label string) string {
	if i > 0 {
		return ""
	}
	return label
}

func orAbsent(value string) string {
	if value == "" {
		return "absent"
	}
	return value
}

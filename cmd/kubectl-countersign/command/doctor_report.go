package command

import (
	"fmt"

	"sigs.k8s.io/yaml"

	"github.com/countersign-dev/countersign/cmd/kubectl-countersign/terminal"
)

// severity says how bad a finding is. The values are published.
type severity string

const (
	healthy severity = "ok"
	unknown severity = "unknown"
	warning severity = "warning"
	failing severity = "failure"
)

// finding is one thing that was looked at.
type finding struct {
	// Check names what was looked at, as the help of doctor does.
	Check    string   `json:"check"`
	Severity severity `json:"severity"`
	// Text says what was found.
	Text string `json:"text"`
	// Mend is the command that mends it, empty where nothing has to be.
	Mend string `json:"mend,omitempty"`
}

// report is what was found, in the order in which it was looked at. For people each finding is written when it is there.
type report struct {
	e *Environment
	// form is json, yaml, or empty for people.
	form     string
	check    string // what is being looked at
	findings []finding
}

func (r *report) add(s severity, mend, format string, args ...any) {
	f := finding{Check: r.check, Severity: s, Mend: mend, Text: fmt.Sprintf(format, args...)}
	r.findings = append(r.findings, f)
	if r.form == "" {
		r.line(&f)
	}
}

// end writes what is not written yet, and turns what was found into an exit code.
func (r *report) end() error {
	if r.form != "" {
		if err := r.encode(); err != nil {
			return err
		}
	}
	count := map[severity]int{}
	for i := range r.findings {
		count[r.findings[i].Severity]++
	}
	switch {
	case count[failing] > 0:
		return exitWith(exitFailed, fmt.Sprintf("keeps Countersign from enforcing, or may: %d of %d findings", count[failing], len(r.findings)))
	case count[unknown] > 0:
		return exitWith(exitFailed, fmt.Sprintf("could not be looked at: %d of %d", count[unknown], len(r.findings)))
	default:
		return nil
	}
}

func (r *report) encode() error {
	text, err := yaml.Marshal(map[string]any{"findings": r.findings})
	if err == nil && r.form == "json" {
		text, err = yaml.YAMLToJSON(text)
		text = append(text, '\n')
	}
	if err != nil {
		return fmt.Errorf("writing the findings: %w", err)
	}
	r.e.Printf("%s", text)
	return nil
}

// line writes a finding, wrapped at the width of the screen, with what mends it in a line of its own to copy.
func (r *report) line(f *finding) {
	const indent = 9
	style := map[severity]terminal.Style{healthy: terminal.Green, unknown: terminal.Faint, warning: terminal.Yellow, failing: terminal.Red}
	label, left := string(f.Severity), 0
	if r.e.Screen.Width > 0 {
		left = max(r.e.Screen.Width-indent, leastWidth/2)
	}
	for i, part := range terminal.Wrap(terminal.Clean(f.Text), left) {
		if i > 0 {
			label = ""
		}
		r.e.Printf("%s%*s%s\n", r.e.Screen.Paint(style[f.Severity], label), indent-len(label), "", part)
	}
	if f.Mend != "" {
		r.e.Printf("%*s%s\n", indent, "", r.e.Screen.Paint(terminal.Bold, terminal.Clean(f.Mend)))
	}
}

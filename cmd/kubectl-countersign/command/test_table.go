package command

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/countersign-dev/countersign/cmd/kubectl-countersign/terminal"
	"github.com/countersign-dev/countersign/internal/policy"
	"github.com/countersign-dev/countersign/internal/policytest"
)

// table writes a line for each case, then everything about those that are not as expected.
func (o *testOptions) table(r *testRun) error {
	for _, file := range filesOf(r.results) {
		o.Printf("%s\n", o.Screen.Paint(terminal.Bold, terminal.Clean(file)))
		of := slices.DeleteFunc(slices.Clone(r.results), func(c policytest.Result) bool { return c.File != file })
		width := nameWidth(of)
		for i := range of {
			o.line(&of[i], width)
		}
		o.Printf("\n")
	}
	if o.coverage {
		o.printCoverage(r)
	}
	if len(r.results) > 0 {
		o.Printf("%s\n", o.summary(r))
	}
	return nil
}

func filesOf(results []policytest.Result) []string {
	var files []string
	for i := range results {
		if !slices.Contains(files, results[i].File) {
			files = append(files, results[i].File)
		}
	}
	return files
}

const (
	// resultIndent is where the names of the cases begin: "  pass  ".
	resultIndent = 8
	// mostName is how wide the column of names gets.
	mostName = 72
)

func nameWidth(results []policytest.Result) int {
	width := 0
	for i := range results {
		width = max(width, utf8.RuneCountInString(terminal.Clean(results[i].Name)))
	}
	return min(width, mostName)
}

// line is one case: what it is called, and what became of it. Where both do not fit, that stands below.
func (o *testOptions) line(r *policytest.Result, width int) {
	name, got := terminal.Clean(r.Name), became(r)
	word, style := "pass", terminal.Green
	switch {
	case r.Error != nil:
		word, style, got = "ERR ", terminal.Red, ""
	case !r.Passed():
		word, style = "FAIL", terminal.Red
	}
	line := fmt.Sprintf("  %s  %-*s  %s", o.Screen.Paint(style, word), width, name, got)
	if fits := o.Screen.Width == 0 || resultIndent+max(width, utf8.RuneCountInString(name))+2+len(got) <= o.Screen.Width; !fits {
		line = fmt.Sprintf("  %s  %s\n%s%s", o.Screen.Paint(style, word), name, strings.Repeat(" ", resultIndent+2), got)
	}
	o.Printf("%s\n", strings.TrimRight(line, " \n"))
	o.explainCase(r)
}

// became is the outcome with its reasons.
func became(r *policytest.Result) string {
	outcome := string(r.Decision.Outcome)
	if reasons := r.Decision.Reasons(); r.Decision.Outcome != policy.Allow && len(reasons) > 0 {
		outcome += "  " + strings.Join(reasons, ",")
	}
	return outcome
}

// explainCase says all that is known about a case that is not as expected, or about each one that is asked for.
func (o *testOptions) explainCase(r *policytest.Result) {
	indent := strings.Repeat(" ", resultIndent)
	if r.Error != nil {
		o.hang(indent, indent, resultIndent, r.Error.Error())
		return
	}
	for _, m := range r.Mismatches {
		o.hang(indent, indent+"  ", resultIndent+2, fmt.Sprintf("%s: expected %s, got %s", m.Field, m.Want, m.Got))
	}
	if r.Passed() && !o.details {
		return
	}
	o.hang(indent, indent+"  ", resultIndent+2, fmt.Sprintf("%s, at %s", r.What, r.At.Format(time.RFC3339)))
	if task := r.Decision.TaskName(); task != "" {
		o.Printf("%s%s\n", indent, terminal.Clean("covered by task "+task))
	}
	if r.Text != "" {
		o.hang(indent+"  | ", indent+"  | ", resultIndent+4, r.Text)
	}
	for i := range r.Decision.Shadows {
		s := &r.Decision.Shadows[i]
		o.Printf("%s%s\n", indent, terminal.Clean(fmt.Sprintf("policy %s (%s) would say %s", s.Policy, s.Enforcement, s.Decision.Outcome)))
	}
}

func (o *testOptions) printCoverage(r *testRun) {
	if len(r.untried) == 0 {
		o.Printf("Every task covered the action of some case.\n\n")
		return
	}
	o.Printf("Tasks that covered the action of no case:\n")
	for _, u := range r.untried {
		o.Printf("  %s  (%s)\n", terminal.Clean(u.task), terminal.Clean(u.file))
	}
	o.Printf("\n")
}

func (o *testOptions) summary(r *testRun) string {
	passed, failed, broken := r.count()
	parts := []string{o.Screen.Paint(terminal.Green, fmt.Sprintf("%d passed", passed))}
	if failed > 0 {
		parts = append(parts, o.Screen.Paint(terminal.Red, fmt.Sprintf("%d failed", failed)))
	}
	if broken > 0 {
		parts = append(parts, o.Screen.Paint(terminal.Red, fmt.Sprintf("%d could not be tried", broken)))
	}
	return strings.Join(parts, ", ")
}

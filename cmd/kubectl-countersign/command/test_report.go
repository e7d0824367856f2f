package command

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"strings"
	"time"

	"github.com/countersign-dev/countersign/internal/policytest"
)

// testReport is what -o json writes. Fields may be added.
type testReport struct {
	Passed int          `json:"passed"`
	Failed int          `json:"failed"`
	Broken int          `json:"broken"`
	Errors []string     `json:"errors,omitempty"`
	Cases  []caseReport `json:"cases"`
	// Untried are tasks that covered the action of no case, with --coverage.
	Untried []string `json:"untriedTasks,omitempty"`
}

// caseReport is one case.
type caseReport struct {
	File       string                `json:"file"`
	Suite      string                `json:"suite,omitempty"`
	Name       string                `json:"name"`
	Result     string                `json:"result"`
	At         time.Time             `json:"at"`
	Action     string                `json:"action,omitempty"`
	Outcome    string                `json:"outcome,omitempty"`
	Reasons    []string              `json:"reasons,omitempty"`
	Task       string                `json:"task,omitempty"`
	OpensAt    *time.Time            `json:"opensAt,omitempty"`
	Message    string                `json:"message,omitempty"`
	Mismatches []policytest.Mismatch `json:"mismatches,omitempty"`
	Error      string                `json:"error,omitempty"`
}

// Words for what became of a case.
const (
	casePassed = "pass"
	caseFailed = "fail"
	caseBroken = "error"
)

func reportOf(r *policytest.Result) caseReport {
	c := caseReport{
		File: r.File, Suite: r.Suite, Name: r.Name, Result: caseFailed, At: r.At, Action: r.What, Outcome: string(r.Decision.Outcome),
		Reasons: r.Decision.Reasons(), Task: r.Decision.TaskName(), Message: r.Text, Mismatches: r.Mismatches,
	}
	if wait := r.Decision.Remedy.Wait; !wait.IsZero() {
		c.OpensAt = &wait
	}
	switch {
	case r.Error != nil:
		c.Result, c.Error = caseBroken, r.Error.Error()
	case r.Passed():
		c.Result = casePassed
	}
	return c
}

func (o *testOptions) json(r *testRun) error {
	report := testReport{Cases: []caseReport{}}
	report.Passed, report.Failed, report.Broken = r.count()
	for _, err := range r.errors {
		report.Errors = append(report.Errors, err.Error())
	}
	for i := range r.results {
		report.Cases = append(report.Cases, reportOf(&r.results[i]))
	}
	if o.coverage {
		for _, u := range r.untried {
			report.Untried = append(report.Untried, u.task)
		}
	}
	encoder := json.NewEncoder(o.Out)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(report); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	return nil
}

// The elements of a JUnit report, as CI systems read them.
type (
	junitSuites struct {
		XMLName  xml.Name     `xml:"testsuites"`
		Name     string       `xml:"name,attr"`
		Tests    int          `xml:"tests,attr"`
		Failures int          `xml:"failures,attr"`
		Errors   int          `xml:"errors,attr"`
		Suites   []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Errors   int         `xml:"errors,attr"`
		Cases    []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Name    string        `xml:"name,attr"`
		Class   string        `xml:"classname,attr"`
		File    string        `xml:"file,attr"`
		Failure *junitProblem `xml:"failure"`
		Error   *junitProblem `xml:"error"`
		Output  string        `xml:"system-out,omitempty"`
	}
	junitProblem struct {
		Message string `xml:"message,attr"`
		Type    string `xml:"type,attr"`
		Text    string `xml:",chardata"`
	}
)

func (o *testOptions) junit(r *testRun) error {
	all := junitSuites{Name: "kubectl countersign test"}
	for _, file := range filesOf(r.results) {
		all.add(junitSuiteOf(file, r.results))
	}
	for _, err := range r.errors {
		all.add(junitSuite{Name: "files", Tests: 1, Errors: 1, Cases: []junitCase{{
			Name: "read", Class: "files", Error: &junitProblem{Message: firstLine(err.Error()), Type: caseBroken, Text: err.Error()},
		}}})
	}
	if _, err := fmt.Fprint(o.Out, xml.Header); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	encoder := xml.NewEncoder(o.Out)
	encoder.Indent("", "  ")
	if err := encoder.Encode(all); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	o.Printf("\n")
	return nil
}

func (s *junitSuites) add(suite junitSuite) {
	s.Tests, s.Failures, s.Errors = s.Tests+suite.Tests, s.Failures+suite.Failures, s.Errors+suite.Errors
	s.Suites = append(s.Suites, suite)
}

func junitSuiteOf(file string, results []policytest.Result) junitSuite {
	s := junitSuite{Name: file}
	for i := range results {
		r := &results[i]
		if r.File != file {
			continue
		}
		c := junitCase{Name: r.Name, Class: strings.TrimSuffix(file, ".yaml"), File: file, Output: r.Text}
		s.Tests++
		switch {
		case r.Error != nil:
			s.Errors++
			c.Error = &junitProblem{Message: firstLine(r.Error.Error()), Type: caseBroken, Text: r.Error.Error()}
		case !r.Passed():
			s.Failures++
			var lines []string
			for _, m := range r.Mismatches {
				lines = append(lines, fmt.Sprintf("%s: expected %s, got %s", m.Field, m.Want, m.Got))
			}
			c.Failure = &junitProblem{Message: lines[0], Type: caseFailed, Text: strings.Join(lines, "\n")}
		}
		s.Cases = append(s.Cases, c)
	}
	return s
}

func firstLine(text string) string {
	first, _, _ := strings.Cut(text, "\n")
	return first
}

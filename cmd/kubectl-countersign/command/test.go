package command

import (
	"context"
	"fmt"
	"regexp"

	"github.com/spf13/cobra"

	"github.com/countersign-dev/countersign/internal/policytest"
)

const testHelp = `Try policies without a cluster.

Test files say who does what, when, and what becomes of it. Each action is made into the
review that the API server would send, and judged by the code that judges it in a cluster.
FILE holds one or several documents of kind PolicyTest; of a folder all files below it that
hold some are run.

Exit codes: 0 every case is as expected, 1 some are not, 2 some could not be tried: a file
that cannot be read, an invalid policy, a mistake in a case.`

const testExamples = `  # Run all tests below a folder
  kubectl countersign test policies/

  # Only cases whose names hold a word, with the text of each refusal
  kubectl countersign test policies/tests.yaml --run night --details

  # For a CI system
  kubectl countersign test policies/ -o junit > policies.xml`

// exitNotTried says that a test could not be run.
const exitNotTried = 2

type testOptions struct {
	*Environment
	output   string
	run      string
	details  bool
	coverage bool
}

func newTest(e *Environment) *cobra.Command {
	o := &testOptions{Environment: e}
	c := &cobra.Command{
		Use: "test FILE|DIR...", Short: "Try policies on actions in files", Long: testHelp, Example: testExamples,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return o.runTests(c.Context(), args) },
	}
	c.Flags().StringVarP(&o.output, "output", "o", "table", "how results are written: table, json or junit")
	c.Flags().StringVar(&o.run, "run", "", "try only cases whose names match this regular expression")
	c.Flags().BoolVar(&o.details, "details", false, "show the decision and the refusal of every case, not only of failed ones")
	c.Flags().BoolVar(&o.coverage, "coverage", false, "list the tasks that covered the action of no case")
	return c
}

// testRun is what came of all files.
type testRun struct {
	results []policytest.Result
	untried []untriedTask
	errors  []error
}

// untriedTask is a task that covered nothing.
type untriedTask struct{ file, task string }

func (o *testOptions) runTests(ctx context.Context, paths []string) error {
	pattern, err := regexp.Compile(o.run)
	if err != nil {
		return usageError{fmt.Errorf("--run: %w", err)}
	}
	report, err := o.reporter()
	if err != nil {
		return err
	}
	run := &testRun{}
	for _, path := range paths {
		files, err := policytest.Find(path)
		if err != nil {
			run.errors = append(run.errors, err)
		}
		for _, file := range files {
			run.file(ctx, file, pattern.MatchString)
		}
	}
	if len(run.results) == 0 && len(run.errors) == 0 {
		run.errors = append(run.errors, fmt.Errorf("no case matches --run %s", o.run))
	}
	if err := report(run); err != nil {
		return err
	}
	for _, err := range run.errors {
		o.Warnf("error: %s", o.explain(err))
	}
	return run.exit()
}

// file runs all suites of a file.
func (r *testRun) file(ctx context.Context, file string, selected func(string) bool) {
	suites, err := policytest.Load(file)
	if err != nil {
		r.errors = append(r.errors, err)
		return
	}
	for _, s := range suites {
		results, coverage, err := s.Run(ctx, file, selected)
		if err != nil {
			r.errors = append(r.errors, err)
			continue
		}
		r.results = append(r.results, results...)
		for _, task := range coverage.Untried {
			r.untried = append(r.untried, untriedTask{file, task})
		}
	}
}

func (r *testRun) count() (passed, failed, broken int) {
	for i := range r.results {
		switch result := &r.results[i]; {
		case result.Error != nil:
			broken++
		case result.Passed():
			passed++
		default:
			failed++
		}
	}
	return passed, failed, broken
}

func (r *testRun) exit() error {
	_, failed, broken := r.count()
	switch {
	case broken > 0 || len(r.errors) > 0:
		return exitWith(exitNotTried, "")
	case failed > 0:
		return exitWith(exitFailed, "")
	default:
		return nil
	}
}

func (o *testOptions) reporter() (func(*testRun) error, error) {
	switch o.output {
	case "table", "":
		return o.table, nil
	case "json":
		return o.json, nil
	case "junit":
		return o.junit, nil
	default:
		return nil, usageError{fmt.Errorf("-o %s: write table, json or junit", o.output)}
	}
}

package command

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

const showHelp = `Show one request or approval: who asks for what and why, what consent would waive, who has decided and who is
still needed, until when, what changes, and what happened under it.

What is shown is safe for a terminal: characters that cannot be seen, or that move the cursor or turn the direction of a
text, are written as escapes such as \u202e. Secret values are *** in the object itself.`

const showExamples = `  # One request, with the diff of what it would change
  kubectl countersign show web-78wgjchsgtvcf83nb0xp -n shop

  # What was recorded of the verdicts, for a program
  kubectl countersign show web-78wgjchsgtvcf83nb0xp -n shop -o jsonpath='{.spec.decisions}'`

func newShow(e *Environment) *cobra.Command {
	c := &cobra.Command{
		Use: "show NAME...", Short: "Show who asks for what, and how it stands", Long: showHelp, Example: showExamples,
		Args: cobra.MinimumNArgs(1), ValidArgsFunction: e.completeApprovals(anyState),
	}
	o := addOutput(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		if o.form == "" {
			return e.showAll(c.Context(), args)
		}
		return e.printAll(c.Context(), args, o)
	}
	return c
}

func (e *Environment) showAll(ctx context.Context, names []string) error {
	return e.each(ctx, names, func(i int, a *v1alpha1.ActionApproval) error {
		if i > 0 {
			e.Printf("\n")
		}
		e.Printf("%s", e.describe(a))
		return nil
	})
}

func (e *Environment) printAll(ctx context.Context, names []string, o *output) error {
	if _, err := o.printer(); err != nil { // before anything is asked
		return err
	}
	return e.each(ctx, names, func(_ int, a *v1alpha1.ActionApproval) error { return o.print(e, a) })
}

// each reads approvals of the namespace one after another.
func (e *Environment) each(ctx context.Context, names []string, do func(int, *v1alpha1.ActionApproval) error) error {
	client, err := e.approvals()
	if err != nil {
		return err
	}
	namespace, err := e.Namespace()
	if err != nil {
		return err
	}
	for i, name := range names {
		a, err := client.get(ctx, namespace, name)
		if err != nil {
			return err
		}
		if err := do(i, a); err != nil {
			return err
		}
	}
	return nil
}

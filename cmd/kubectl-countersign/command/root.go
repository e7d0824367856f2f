// Package command has the commands of the kubectl plugin, one in a file.
//
// A command gets the Environment, returns errors as they are, and prints nothing about them: Execute says what went wrong
// in a sentence, and turns it into an exit code.
package command

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"k8s.io/klog/v2"
)

const rootHelp = `See, decide and ask for what agents may do in a cluster that Countersign guards.

The plugin acts with your own rights: whatever it shows or decides, kubectl would as well.`

const rootExamples = `  # What waits for somebody's decision, in all namespaces
  kubectl countersign list --pending -A

  # Look at one request, and approve it
  kubectl countersign show web-78wgjchsgtvcf83nb0xp -n shop
  kubectl countersign approve web-78wgjchsgtvcf83nb0xp -n shop -m "see the ticket"`

// The groups in which the help lists the commands.
const (
	groupDecide  = "decide"
	groupAsk     = "ask"
	groupOffline = "offline"
	groupCheck   = "check"
	groupOther   = "other"
)

// New makes the tree of commands.
func New(e *Environment) *cobra.Command {
	root := &cobra.Command{
		Use: "kubectl-countersign", Short: "Decide what agents may do in a cluster", Long: rootHelp, Example: rootExamples,
		Annotations:  map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl countersign"},
		SilenceUsage: true, SilenceErrors: true, Args: knownCommand,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetIn(e.In)
	root.SetOut(e.Out)
	root.SetErr(e.ErrOut)
	root.AddGroup(
		&cobra.Group{ID: groupDecide, Title: "See and decide:"},
		&cobra.Group{ID: groupAsk, Title: "Ask:"},
		&cobra.Group{ID: groupOffline, Title: "Test policies, without a cluster:"},
		&cobra.Group{ID: groupCheck, Title: "Check a cluster:"},
		&cobra.Group{ID: groupOther, Title: "Other:"},
	)
	e.Flags.AddFlags(root.PersistentFlags())
	root.PersistentFlags().Lookup("cache-dir").DefValue = "$HOME/.kube/cache" // the help is the same for everybody
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w: see %s --help", err, c.CommandPath())}
	})
	root.SuggestionsMinimumDistance = 2
	root.CompletionOptions.DisableDefaultCmd = true
	add(root, groupDecide, newList(e), newShow(e), newWait(e), newApprove(e), newDeny(e), newRevoke(e), newWatch(e))
	add(root, groupAsk, newRequest(e), newCanI(e), newExplain(e))
	add(root, groupOffline, newTest(e), newWindows(e))
	add(root, groupCheck, newDoctor(e), newReview(e))
	add(root, groupOther, newVersion(e), newOptions(e))
	completeFlag(root, "namespace", e.completeNamespaces)
	completeFlag(root, "context", e.completeContexts)
	root.SetHelpCommandGroupID(groupOther)
	styleHelp(root, e)
	return root
}

// knownCommand refuses what is no command, and says what was meant perhaps.
func knownCommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := "see " + c.CommandPath() + " --help"
	if meant := c.SuggestionsFor(args[0]); len(meant) > 0 {
		hint = "did you mean " + strings.Join(meant, " or ") + "?"
	}
	return usageError{fmt.Errorf("unknown command %q: %s", args[0], hint)}
}

// add puts commands into a group of the help.
func add(root *cobra.Command, group string, commands ...*cobra.Command) {
	for _, c := range commands {
		c.GroupID = group
		c.Args = explainArgs(c.Args)
		root.AddCommand(c)
	}
}

// explainArgs makes a mistake in the arguments a mistake in usage.
func explainArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if check == nil {
			return nil
		}
		if err := check(c, args); err != nil {
			return usageError{fmt.Errorf("%w: see %s --help", err, c.CommandPath())}
		}
		return nil
	}
}

// Execute runs the command that the arguments name, says what went wrong, and returns the exit code.
func Execute(ctx context.Context, e *Environment, args []string) int {
	klog.SetLogger(logr.Discard()) // what goes wrong in libraries comes back as an error, and is said once
	root := New(e)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	var exit *exitError
	if !errors.As(err, &exit) || exit.text != "" {
		e.Warnf("error: %s", e.explain(err))
	}
	return exitCode(err)
}

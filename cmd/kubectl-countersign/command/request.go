package command

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/rand"
	"k8s.io/cli-runtime/pkg/resource"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/cmd/kubectl-countersign/terminal"
)

const requestHelp = `Ask for consent ahead, with a justification. It is for whoever a policy governs: an agent, or a person.

--task POLICY/TASK asks for a run of a task. Nothing is done by it; the run can be used once people have approved it.

-f FILE asks for exactly what applying the file would do, as "kubectl apply --server-side" does it. Countersign opens a
request for an exact action only when it refuses that action, and a dry run opens none. So this asks the API server by a
dry run first:
- What would pass, passes: nothing is asked, and nothing is done.
- What is refused outright is reported.
- Where a request is open already, it is that one, and gets the justification.
- Where people would be asked, --send sends the file for real, counting on the refusal. Should it be allowed in just that
  moment, because a window opens or somebody changes a policy, then it is carried out. Without --send nothing is asked.

Exit codes:
  0    a request is open, or none is needed; with --wait: the approval can be used
  1    something failed, or --send is missing
  2    the command was called wrongly
  4    refused: no consent would help, or people denied it
With --wait also those of "kubectl countersign wait".`

const requestExamples = `  # Ask for a run of a task, for at most three actions
  kubectl countersign request --task shop-restarts/restart-pods -n shop --max-actions 3 -m "web hangs since 21:40"

  # What would happen if this were applied; nothing is asked
  kubectl countersign request -f web.yaml -n shop

  # Ask for it, wait for up to two hours, and do it
  kubectl countersign request -f web.yaml -n shop --send -m "fixes the outage" --wait --timeout 2h &&
    kubectl apply --server-side -f web.yaml -n shop`

// asking is what the flags of request say.
type asking struct {
	e             *Environment
	task          string
	files         resource.FilenameOptions
	justification string
	maxActions    int32
	validFor      string
	send, force   bool
	wait          bool
	timeout       time.Duration
	output        *output
}

func newRequest(e *Environment) *cobra.Command {
	r := &asking{e: e}
	c := &cobra.Command{
		Use: "request [NAME] (--task POLICY/TASK | -f FILE)", Short: "Ask for consent ahead", Long: requestHelp,
		Example: requestExamples, Args: cobra.MaximumNArgs(1), ValidArgsFunction: cobra.NoFileCompletions,
		DisableFlagsInUseLine: true,
	}
	flags := c.Flags()
	flags.StringVar(&r.task, "task", "", "Ask for a run of this task, given as POLICY/TASK")
	flags.StringSliceVarP(&r.files.Filenames, "filename", "f", nil, "Ask for what applying these files would do; - is the standard input")
	flags.StringVarP(&r.justification, "message", "m", "", "Why: the people who decide read it")
	flags.Int32Var(&r.maxActions, "max-actions", 0, "Ask for a run of fewer actions than the task allows")
	flags.StringVar(&r.validFor, "valid-for", "", "Ask for a shorter run than the task allows, such as 10m")
	flags.BoolVar(&r.send, "send", false, "Send the files for real, so that the refusal opens a request")
	flags.BoolVar(&r.force, "force-conflicts", false, "Take over fields that others manage, as kubectl apply --server-side does")
	flags.BoolVar(&r.wait, "wait", false, "Wait until what was asked is decided")
	flags.DurationVar(&r.timeout, "timeout", 0, "How long to wait, such as 2h; 0: as long as the request can be decided")
	r.output = addOutput(c)
	c.RunE = func(c *cobra.Command, args []string) error { return r.run(c.Context(), args) }
	return c
}

func (r *asking) run(ctx context.Context, args []string) error {
	if err := r.check(args); err != nil {
		return usageError{err}
	}
	var (
		opened []*v1alpha1.ActionApproval
		err    error
	)
	if r.task != "" {
		opened, err = r.askForRun(ctx, args)
	} else {
		opened, err = r.askForActions(ctx)
	}
	if err != nil || !r.wait {
		return err
	}
	for _, a := range opened {
		if err := r.e.wait(ctx, a.Namespace, a.Name, goals["approved"], r.timeout); err != nil {
			return err
		}
	}
	return nil
}

func (r *asking) check(args []string) error {
	switch {
	case (r.task == "") == (len(r.files.Filenames) == 0):
		return errors.New("give one of --task and -f")
	case r.task != "" && strings.Count(r.task, "/") != 1:
		return fmt.Errorf("--task %q: must be POLICY/TASK", r.task)
	case r.task != "" && (r.send || r.force):
		return errors.New("--send and --force-conflicts are for -f")
	case r.task == "" && (r.maxActions != 0 || r.validFor != "" || len(args) > 0):
		return errors.New("NAME, --max-actions and --valid-for are for --task")
	case r.timeout < 0:
		return errors.New("--timeout must not be negative")
	default:
		return nil
	}
}

// askForRun creates the request itself: the operator lets requesters do that for runs.
func (r *asking) askForRun(ctx context.Context, args []string) ([]*v1alpha1.ActionApproval, error) {
	policy, task, _ := strings.Cut(r.task, "/")
	client, err := r.e.approvals()
	if err != nil {
		return nil, err
	}
	namespace, err := r.e.Namespace()
	if err != nil {
		return nil, err
	}
	name := task + "-" + rand.String(5)
	if len(args) > 0 {
		name = args[0]
	}
	asked := map[string]any{"policy": policy, "name": task}
	if r.maxActions != 0 {
		asked["maxActions"] = r.maxActions
	}
	if r.validFor != "" {
		asked["validFor"] = r.validFor
	}
	spec := map[string]any{"task": asked}
	if r.justification != "" {
		spec["justification"] = r.justification
	}
	created, err := client.create(ctx, map[string]any{
		"apiVersion": v1alpha1.GroupVersion.String(), "kind": "ActionApproval",
		"metadata": map[string]any{"namespace": namespace, "name": name}, "spec": spec,
	}, namespace)
	if err != nil {
		return nil, err
	}
	return []*v1alpha1.ActionApproval{created}, r.report(created, "asked", "act once it is approved")
}

// report says which request is open, and what to do next.
func (r *asking) report(a *v1alpha1.ActionApproval, how, then string) error {
	if r.output.form != "" {
		return r.output.print(r.e, a)
	}
	r.e.Printf("actionapproval.countersign.dev/%s %s: %s\n", a.Name, how, terminal.Clean(consentsOf(&a.Spec)))
	if !r.wait {
		r.e.Printf("next: kubectl countersign wait %s -n %s, and %s\n", a.Name, a.Namespace, terminal.Clean(then))
	}
	return nil
}

package command

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/fields"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/cmd/kubectl-countersign/terminal"
	"github.com/countersign-dev/countersign/internal/approval"
)

const waitHelp = `Wait until a request is decided, and say by the exit code how it ended. It is meant for agents and scripts: what was
refused with "ASK: approval NS/NAME is pending" can be repeated once this returns 0.

Exit codes:
  0    what was waited for has come: the approval can be used
  1    something failed: the server, the credentials, the rights
  2    the command was called wrongly
  3    --timeout is over
  4    Denied: a person refused
  5    Revoked: a person took consent back
  6    Expired: nobody decided in time, or the time of the approval is over
  7    Void: what was approved is not what would happen any more; repeat the command to ask anew
  8    Spent: it was used already
  9    NoLongerNeeded: the windows are open; repeat the command
  10   the approval was deleted`

const waitExamples = `  # Wait up to two hours, and repeat the command that was refused
  kubectl countersign wait web-78wgjchsgtvcf83nb0xp -n shop --timeout 2h && kubectl apply -f web.yaml

  # Wait until what was approved has ended, in whatever way
  kubectl countersign wait restarts-tonight -n shop --for ended`

// What the exit codes of wait mean. They are published.
const (
	exitTimeout        = 3
	exitDenied         = 4
	exitRevoked        = 5
	exitExpired        = 6
	exitVoid           = 7
	exitSpent          = 8
	exitNoLongerNeeded = 9
	exitDeleted        = 10
)

// goals are what can be waited for.
var goals = map[string]func(*v1alpha1.ActionApproval, approval.State) bool{
	"approved": func(_ *v1alpha1.ActionApproval, s approval.State) bool { return s == approval.Approved },
	"decided": func(a *v1alpha1.ActionApproval, _ approval.State) bool {
		return meta.IsStatusConditionTrue(a.Status.Conditions, v1alpha1.ApprovalDecided)
	},
	"ended": func(_ *v1alpha1.ActionApproval, s approval.State) bool { return s.Terminal() },
}

func newWait(e *Environment) *cobra.Command {
	var (
		goal    string
		timeout time.Duration
	)
	c := &cobra.Command{
		Use: "wait NAME", Short: "Wait until a request is decided", Long: waitHelp, Example: waitExamples,
		Args: cobra.ExactArgs(1), ValidArgsFunction: e.completeApprovals(isUnfinished),
	}
	c.Flags().StringVar(&goal, "for", "approved", "What to wait for: approved, decided or ended")
	c.Flags().DurationVar(&timeout, "timeout", 0, "How long to wait, such as 2h; 0: as long as the request can be decided or used")
	completeFlag(c, "for", oneOf("approved", "decided", "ended"))
	c.RunE = func(c *cobra.Command, args []string) error {
		reached, known := goals[goal]
		if !known {
			return usageError{fmt.Errorf("--for %q: must be approved, decided or ended", goal)}
		}
		if timeout < 0 {
			return usageError{errors.New("--timeout must not be negative")}
		}
		namespace, err := e.Namespace()
		if err != nil {
			return err
		}
		return e.wait(c.Context(), namespace, args[0], reached, timeout)
	}
	return c
}

func (e *Environment) wait(
	ctx context.Context, namespace, name string, reached func(*v1alpha1.ActionApproval, approval.State) bool, timeout time.Duration,
) error {
	client, err := e.approvals()
	if err != nil {
		return err
	}
	found, err := client.get(ctx, namespace, name)
	if err != nil {
		return err
	}
	if e.Screen.Interactive && !e.stateOf(found).Terminal() {
		e.Warnf("waiting: %s is %s, until %s", terminal.Clean(keyOf(found)), e.stateOf(found), e.moment(e.expiryOf(found)))
	}
	bounded, cancel := ctx, context.CancelFunc(func() {})
	if timeout > 0 {
		bounded, cancel = context.WithTimeout(ctx, timeout)
	}
	defer cancel()
	w := waiter{e: e, key: namespace + "/" + name, reached: reached}
	f := follower{
		e: e, client: client, namespace: namespace, selector: fields.OneTermEqualSelector("metadata.name", name), changed: w.changed,
		reached: true,
	}
	err = f.run(bounded)
	if ctx.Err() == nil && errors.Is(bounded.Err(), context.DeadlineExceeded) {
		return exitWith(exitTimeout, fmt.Sprintf("%s is still %s after %s", w.key, strings.ToLower(string(w.last)), timeout))
	}
	return err
}

// waiter watches one approval.
type waiter struct {
	e       *Environment
	key     string
	reached func(*v1alpha1.ActionApproval, approval.State) bool
	last    approval.State
}

func (w *waiter) changed(now view, _ *v1alpha1.ActionApproval) error {
	a, exists := now[w.key]
	if !exists {
		return enough{exitWith(exitDeleted, w.key+" was deleted")}
	}
	state := w.e.stateOf(a)
	w.last = state
	switch {
	case w.reached(a, state):
		w.e.Printf("actionapproval.countersign.dev/%s %s\n", a.Name, strings.ToLower(string(state)))
		return enough{}
	case state.Terminal():
		return enough{exitWith(codeOf(state), terminal.Clean(w.key+" is "+string(state)+because(a)))}
	default:
		return nil
	}
}

// because is the operator's message about a state, without the name of the state with which some begin.
func because(a *v1alpha1.ActionApproval) string {
	if c := meta.FindStatusCondition(a.Status.Conditions, v1alpha1.ApprovalApproved); c != nil && c.Message != "" {
		return ": " + strings.TrimPrefix(c.Message, c.Reason+": ")
	}
	return ""
}

// codeOf is the exit code of a state that an approval has ended in.
func codeOf(s approval.State) int {
	switch s {
	case approval.Denied:
		return exitDenied
	case approval.Revoked:
		return exitRevoked
	case approval.Expired:
		return exitExpired
	case approval.Void:
		return exitVoid
	case approval.Spent:
		return exitSpent
	case approval.NoLongerNeeded:
		return exitNoLongerNeeded
	default:
		return exitFailed
	}
}

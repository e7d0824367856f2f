package command

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/cmd/kubectl-countersign/terminal"
	"github.com/countersign-dev/countersign/internal/approval"
)

const approveHelp = `Approve requests: shows what each asks for, asks whether that is meant, and records the consent.

Consent is given to what was shown and to nothing else. Should the request have been changed, or deleted and made again,
since it was shown, nothing is recorded. Who may approve, and how many must, is up to the policy and to RBAC: the API
server refuses everybody else. It is the same patch of spec.decision that kubectl patch would send.`

const approveExamples = `  # Look at a request, and approve it when asked
  kubectl countersign approve web-78wgjchsgtvcf83nb0xp -n shop -m "see the ticket"

  # Approve a run of a task for three actions within ten minutes
  kubectl countersign approve restarts-tonight -n shop --max-actions 3 --valid-for 10m

  # Try whether you could, and record nothing
  kubectl countersign approve web-78wgjchsgtvcf83nb0xp -n shop --yes --dry-run=server`

const denyHelp = `Deny requests: shows what each asks for, asks whether that is meant, and ends it. One person suffices.

The same cannot be asked for again for as long as a request waits for people. "kubectl countersign revoke" ends that
earlier. The comment is shown to whoever may read the object, and not to the agent in its refusals.`

const denyExamples = `  # Deny a request, and say why
  kubectl countersign deny web-78wgjchsgtvcf83nb0xp -n shop -m "not before the audit"`

const revokeHelp = `Revoke approvals: what was admitted already stays done, and nothing more is admitted. After a denial it lets the same be
asked for again.`

const revokeExamples = `  # Take an approval back, without being asked whether that is meant
  kubectl countersign revoke web-78wgjchsgtvcf83nb0xp -n shop --yes`

// decider records one verdict on some requests.
type decider struct {
	e       *Environment
	client  *approvals
	verdict v1alpha1.DecisionVerdict
	// verb is the word for the verdict in a question.
	verb    string
	comment string
	limits  v1alpha1.DecisionLimits
	yes     bool
	dryRun  string
	// answers is where questions are answered.
	answers *bufio.Reader
}

func newApprove(e *Environment) *cobra.Command {
	d := &decider{e: e, verdict: v1alpha1.VerdictApprove, verb: "Approve"}
	c := d.command("approve NAME...", "Consent to what a request asks for", approveHelp, approveExamples, isPending)
	c.Flags().Int32Var(&d.limits.MaxActions, "max-actions", 0, "Allow a run of a task fewer actions than it asks for")
	c.Flags().StringVar((*string)(&d.limits.ValidFor), "valid-for", "", "Let the approval be good for less time than is asked, such as 10m")
	return c
}

func newDeny(e *Environment) *cobra.Command {
	d := &decider{e: e, verdict: v1alpha1.VerdictDeny, verb: "Deny"}
	return d.command("deny NAME...", "Refuse what a request asks for", denyHelp, denyExamples, isPending)
}

func newRevoke(e *Environment) *cobra.Command {
	d := &decider{e: e, verdict: v1alpha1.VerdictRevoke, verb: "Revoke"}
	return d.command("revoke NAME...", "Take an approval back, or lift a denial", revokeHelp, revokeExamples, isRevocable)
}

func (d *decider) command(use, short, long, examples string, offered stateFilter) *cobra.Command {
	c := &cobra.Command{
		Use: use, Short: short, Long: long, Example: examples, Args: cobra.MinimumNArgs(1),
		ValidArgsFunction: d.e.completeApprovals(offered),
		RunE:              func(c *cobra.Command, names []string) error { return d.run(c.Context(), names) },
	}
	c.Flags().StringVarP(&d.comment, "message", "m", "", "Why: recorded with the verdict, and not shown to the agent")
	c.Flags().BoolVarP(&d.yes, "yes", "y", false, "Do not ask whether what is shown is meant")
	c.Flags().StringVar(&d.dryRun, "dry-run", "none", `"server": the API server says what it would record, or why not, and stores nothing`)
	completeFlag(c, "dry-run", oneOf("none", "server"))
	return c
}

func (d *decider) run(ctx context.Context, names []string) error {
	switch {
	case d.dryRun != "none" && d.dryRun != "server":
		return usageError{fmt.Errorf("--dry-run %q: must be none or server", d.dryRun)}
	case !d.yes && !terminal.CanAsk(d.e.In):
		return usageError{errors.New("nobody can be asked here whether it is meant: give --yes")}
	}
	client, err := d.e.approvals()
	if err != nil {
		return err
	}
	namespace, err := d.e.Namespace()
	if err != nil {
		return err
	}
	d.client, d.answers = client, bufio.NewReader(d.e.In)
	for i, name := range names {
		if i > 0 {
			d.e.Printf("\n")
		}
		shown, err := client.get(ctx, namespace, name)
		if err != nil {
			return err
		}
		if err := d.one(ctx, shown); err != nil {
			return err
		}
	}
	return nil
}

// one shows a request, asks, and records.
func (d *decider) one(ctx context.Context, shown *v1alpha1.ActionApproval) error {
	d.e.Printf("%s\n", d.e.describe(shown))
	if !d.yes {
		meant, err := d.ask(ctx)
		if err != nil {
			return err
		}
		if !meant {
			d.e.Printf("Nothing was recorded.\n")
			return exitWith(exitFailed, "")
		}
	}
	recorded, err := d.record(ctx, shown)
	if err != nil {
		return err
	}
	d.e.Printf("%s\n", d.result(recorded))
	return nil
}

// ask asks whether what was shown is meant. Ctrl-C answers too.
func (d *decider) ask(ctx context.Context) (bool, error) {
	d.e.Printf("%s this? [y/N] ", d.verb)
	type reply struct {
		line string
		err  error
	}
	replies := make(chan reply, 1)
	go func() {
		line, err := d.answers.ReadString('\n')
		replies <- reply{line, err}
	}()
	select {
	case <-ctx.Done():
		d.e.Printf("\n")
		return false, fmt.Errorf("asking: %w", ctx.Err())
	case r := <-replies:
		if r.err != nil {
			d.e.Printf("\n")
			return false, nil //nolint:nilerr // no answer is a no
		}
		answer := strings.ToLower(strings.TrimSpace(r.line))
		return answer == "y" || answer == "yes", nil
	}
}

// maxConflicts is how often others may write while a verdict is being recorded: verdicts and states come one by one.
const maxConflicts = 10

// record patches the verdict in, on the state that was shown. Where others have written meanwhile, it is tried on what they
// left, as long as it asks for the same.
func (d *decider) record(ctx context.Context, shown *v1alpha1.ActionApproval) (*v1alpha1.ActionApproval, error) {
	decision := v1alpha1.Decision{Verdict: d.verdict, Comment: d.comment}
	if d.limits != (v1alpha1.DecisionLimits{}) {
		decision.Limits = &d.limits
	}
	meant, err := fingerprint(shown)
	if err != nil {
		return nil, err
	}
	current := shown
	for range maxConflicts {
		recorded, err := d.client.patch(ctx, current, map[string]any{"decision": decision}, d.dryRun == "server")
		if !apierrors.IsConflict(err) {
			return recorded, err
		}
		if current, err = d.client.get(ctx, shown.Namespace, shown.Name); err != nil {
			return nil, err
		}
		switch now, err := fingerprint(current); {
		case err != nil:
			return nil, err
		case now != meant:
			return nil, fmt.Errorf("%s is not what was shown any more, nothing was recorded: look at it again", keyOf(shown))
		}
	}
	return nil, fmt.Errorf("others write to %s all the time, nothing was recorded: try again", keyOf(shown))
}

// result says what a recorded verdict amounts to by now.
func (d *decider) result(a *v1alpha1.ActionApproval) string {
	name, note := "actionapproval.countersign.dev/"+a.Name, ""
	if d.dryRun == "server" {
		note = " (server dry run)"
	}
	state := d.e.stateAfter(a)
	switch {
	case d.verdict == v1alpha1.VerdictApprove && state == approval.Pending:
		return name + " has your consent" + note + ", and needs more: " + terminal.Clean(consentsOf(&a.Spec))
	case d.verdict == v1alpha1.VerdictRevoke && state == approval.Denied:
		return name + " stays denied" + note + ", and the same may be asked for again"
	default:
		return name + " " + d.e.Screen.Paint(styleOf(state), strings.ToLower(string(state))) + note
	}
}

package command

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/countersign-dev/countersign/cmd/kubectl-countersign/terminal"
	"github.com/countersign-dev/countersign/internal/privilege"
)

const reviewHelp = `Hold what RBAC grants agents against what the tasks of their policies cover and what they used lately.

Without SUBJECT there is a row for everybody whom an Enforce policy governs, with the number of findings of each type, the
worst first. With SUBJECT there is the whole report. SUBJECT is a service account as --as of can-i takes it,
system:serviceaccount:NAMESPACE:NAME, or NAMESPACE/NAME; or User/NAME, or Group/NAME.

  routes       rights by which Countersign is not asked, or asked about somebody else: impersonation, escalate and bind,
               tokens, admission configuration, kubelets, certificates, reading Secrets
  too much     writes that no task covers, or that RBAC grants more widely than tasks do
  unbounded    writes that no task covers and that pass: outOfScope: Allow, or no policy is about them
  unused       what tasks cover and was not used lately, where that is recorded; "?" where it is not
  other        accounts that do not exist, approvals that can still be used, requests that nobody answered, tasks of which
               RBAC grants nothing, roles and resources that do not exist

What an agent reads, admission does not see: reads are neither called too much nor unused, but for those of Secrets. Uses are
known from AgentActivities, which exist only where a policy needs them, and from approvals. Rights that other authorizers than
RBAC give are not seen.

-o manifests writes roles, bindings and policies that could replace those there are: the writes that tasks cover, the reads
that there are but for routes, and tasks no wider than what RBAC grants. Wildcards are spelled out. Nothing is applied.

Nothing is written, and no right is needed but to read RBAC, namespaces, service accounts and the kinds of Countersign. What
cannot be read is said in the report.

Exit codes: 0 it was reported, also where there are findings; 1 it was not, or with --exit-code there are findings; 2 the
command was called wrongly.`

const reviewExamples = `  # All agents, the worst first
  kubectl countersign review

  # One of them, with everything that it is granted
  kubectl countersign review ci/deploy-bot --details

  # Would the API server take what could replace its roles and policies?
  kubectl countersign review ci/deploy-bot -o manifests | kubectl apply --dry-run=server -f -

  # In a pipeline: fail where an agent has a route around the gate
  kubectl countersign review -o json | jq -e '[.reports[].findings[] | select(.type == "RouteAroundGate")] == []'`

// outputManifests writes what could replace roles and policies.
const outputManifests = "manifests"

type reviewOptions struct {
	*Environment
	form     string
	groups   []string
	details  bool
	exitCode bool
}

func newReview(e *Environment) *cobra.Command {
	o := &reviewOptions{Environment: e}
	c := &cobra.Command{
		Use: "review [SUBJECT]", Short: "Hold what agents are granted against what they need", Long: reviewHelp, Example: reviewExamples,
		Args: cobra.MaximumNArgs(1), ValidArgsFunction: o.completeSubjects,
		RunE: func(c *cobra.Command, args []string) error { return o.runReview(c.Context(), args) },
	}
	f := c.Flags()
	f.StringVarP(&o.form, "output", "o", outputTable, "how it is written: table, json, yaml or manifests")
	f.StringSliceVar(&o.groups, "as-group", nil, "groups of SUBJECT, besides those that follow from its name")
	f.BoolVar(&o.details, "details", false, "show every right that findings are about, and all that is granted")
	f.BoolVar(&o.exitCode, "exit-code", false, "end with 1 where there are findings")
	completeFlag(c, "output", oneOf(outputTable, "json", "yaml", outputManifests))
	return c
}

func (o *reviewOptions) runReview(ctx context.Context, args []string) error {
	if !slices.Contains([]string{"", outputTable, "json", "yaml", outputManifests}, o.form) {
		return usageError{fmt.Errorf("-o %s: write table, json, yaml or manifests", o.form)}
	}
	if len(o.groups) > 0 && len(args) == 0 {
		return usageError{fmt.Errorf("--as-group: say whose groups these are, such as User/robot")}
	}
	var asked []privilege.Subject
	for _, arg := range args {
		subject, err := privilege.ParseSubject(arg)
		if err != nil {
			return usageError{fmt.Errorf("%q: %w", arg, err)}
		}
		asked = append(asked, subject)
	}
	review, err := o.readCluster(ctx, asked)
	if err != nil {
		return err
	}
	subjects := asked
	if len(args) == 0 {
		subjects = review.Subjects()
	}
	reports := make([]*privilege.Report, len(subjects))
	for i, s := range subjects {
		reports[i] = review.Report(s, o.groups)
	}
	slices.SortStableFunc(reports, privilege.Worst)
	if err := o.write(review, reports, len(args) > 0); err != nil {
		return err
	}
	if o.exitCode && slices.ContainsFunc(reports, func(r *privilege.Report) bool { return len(r.Findings) > 0 }) {
		return exitWith(exitFailed, "")
	}
	return nil
}

func (o *reviewOptions) write(review *privilege.Review, reports []*privilege.Report, one bool) error {
	switch o.form {
	case "json", "yaml":
		if one {
			return o.encode(reports[0])
		}
		return o.encode(struct {
			Reports  []*privilege.Report `json:"reports"`
			NotKnown []string            `json:"notKnown,omitempty"`
		}{reports, review.NotKnown})
	case outputManifests:
		return o.manifests(reports)
	default:
		if one {
			o.report(reports[0])
			return nil
		}
		return o.table(review, reports)
	}
}

// completeSubjects offers those whom policies name.
func (o *reviewOptions) completeSubjects(c *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(c.Context(), completionTime)
	defer cancel()
	policies, err := o.storedPolicies(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var names []string
	for _, p := range policies {
		for _, s := range p.Spec.Subjects {
			subject := privilege.Subject{Kind: s.Kind, Namespace: s.Namespace, Name: s.Name}
			if name := subject.String(); s.Name != "" && s.Name != "*" && !slices.Contains(names, name) && terminal.Clean(name) == name {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return names, cobra.ShellCompDirectiveNoFileComp
}

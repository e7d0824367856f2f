package command

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/canary"
	"github.com/countersign-dev/countersign/internal/protection"
)

const doctorHelp = `Look for what would keep Countersign from enforcing in this cluster, and name the command that mends it.

It looks at these, one after another. The names are those of "check" in -o json:

  server        the version of the API server, and its clock
  definitions   Countersign's kinds: are they what the operator and this plugin know, and who serves them
  webhooks      the webhook configurations: are they there, do they fail closed, what do they trust
  operator      the Deployment, and the replicas that are ready behind its Service
  certificate   what the operator serves, as its Secret has it, beside what the API server trusts
  replicas      what each replica tells: its version, its policies, and what its canary finds
  priority      in which queue the API server puts what the operator asks
  canary        is the canary refused by Countersign
  level         which level of protection is in force
  policies      is every policy understood and in force
  subjects      is there anybody whom a policy names
  seal          at level 4: do the files of the API server name every governed subject
  routes        what RBAC lets governed subjects do, in the whole cluster or their own namespace, that leads around Countersign;
                "kubectl countersign review" looks at all namespaces

As the canary it has a ConfigMap created, and the webhook configuration and the binding of the admission policy deleted, all
in dry runs, under the identity of a service account that Countersign refuses everything. At level 4 it also has admission
configuration changed, in dry runs, under the identity of governed subjects whom RBAC lets do that: their answers alone tell
whom the files name. As the operator it asks who it is. Nothing is stored.

What you have no right to look at is reported as unknown: an administrator sees all of it.

Exit codes:
  0    nothing was found that keeps Countersign from enforcing
  1    something was, or could not be looked at
  2    the command was called wrongly`

const doctorExamples = `  # Look at everything
  kubectl countersign doctor

  # What has to be done, for a program
  kubectl countersign doctor -o json | jq '.findings[] | select(.severity == "failure")'`

// doctor looks at a cluster.
type doctor struct {
	e       *Environment
	config  *rest.Config
	cluster kubernetes.Interface
	self    authenticationv1.UserInfo
	// namespace is that of the operator.
	namespace string
	hooks     []hookConfiguration
	operator  operatorFacts
	policies  []*v1alpha1.AgentActionPolicy
	accounts  accounts
	// skew is how far the clock here is ahead of the API server's.
	skew time.Duration
	// defined says that some of Countersign's kinds were found, or cannot be looked at.
	defined       bool
	canaryOutcome canary.Outcome
	level         protection.Level
	// bound says that there is the admission policy of level 3.
	bound bool
	// governed are those whom Enforce policies name, the first of them; unasked is how many more there are.
	governed []agent
	unasked  int

	report report
}

func newDoctor(e *Environment) *cobra.Command {
	d := &doctor{e: e, report: report{e: e}}
	c := &cobra.Command{
		Use: "doctor", Short: "Look for what would keep Countersign from enforcing", Long: doctorHelp, Example: doctorExamples,
		Args: cobra.NoArgs, ValidArgsFunction: cobra.NoFileCompletions,
	}
	c.Flags().StringVarP(&d.report.form, "output", "o", "", "Form of the output: json|yaml")
	c.Flags().StringVar(&d.namespace, "operator-namespace", "countersign-system", "Namespace of the operator, where its webhooks do not say")
	completeFlag(c, "output", oneOf("json", "yaml"))
	completeFlag(c, "operator-namespace", e.completeNamespaces)
	c.RunE = func(c *cobra.Command, _ []string) error {
		if form := d.report.form; form != "" && form != "json" && form != "yaml" {
			return usageError{fmt.Errorf("-o %q: must be json or yaml", form)}
		}
		if err := d.connect(c.Context()); err != nil {
			return err
		}
		d.examine(c.Context())
		if err := c.Context().Err(); err != nil {
			return fmt.Errorf("looking at the cluster: %w", err)
		}
		return d.report.end()
	}
	return c
}

// connect fails where nothing at all can be seen.
func (d *doctor) connect(ctx context.Context) error {
	var err error
	if d.config, err = d.e.RESTConfig(); err != nil {
		return err
	}
	if d.cluster, err = kubernetes.NewForConfig(d.config); err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	review, err := d.cluster.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("asking the API server who you are: %w", err)
	}
	d.self = review.Status.UserInfo
	d.locate(ctx)
	return nil
}

// examine looks at one thing after another. Where Countersign is not installed it ends early.
func (d *doctor) examine(ctx context.Context) {
	for _, check := range []struct {
		name string
		look func(context.Context)
	}{
		{"server", d.server}, {"definitions", d.definitions}, {"webhooks", d.webhooks}, {"operator", d.deployment},
		{"certificate", d.certificate}, {"replicas", d.replicas}, {"priority", d.priority}, {"canary", d.canary},
		{"level", d.protection}, {"policies", d.readPolicies}, {"subjects", d.subjects}, {"seal", d.seal},
		{"routes", d.routes},
	} {
		if check.name == "operator" && !d.defined && !d.hooked() || ctx.Err() != nil {
			return
		}
		d.report.check = check.name
		check.look(ctx)
	}
}

func (d *doctor) ok(format string, args ...any) { d.report.add(healthy, "", format, args...) }

func (d *doctor) warn(mend, format string, args ...any) { d.report.add(warning, mend, format, args...) }

func (d *doctor) fail(mend, format string, args ...any) { d.report.add(failing, mend, format, args...) }

// unknown reports what could not be looked at, and why.
func (d *doctor) unknown(err error, format string, args ...any) {
	d.report.add(unknown, "", "%s: %s", fmt.Sprintf(format, args...), d.e.explain(err))
}

package command

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/cmd/kubectl-countersign/terminal"
)

const doctorHelp = `Look for what would keep Countersign from enforcing in this cluster, and name the command that mends it.

It looks at the API server, the kinds, the webhook configurations with their certificates, every policy and its subjects,
and what RBAC lets the governed service accounts do to Countersign itself. As a canary it has a ConfigMap created in a dry
run under the identity of countersign-canary, which Countersign refuses. Nothing is stored.

What you have no right to look at is reported as unknown: an administrator sees all of it.

Exit codes:
  0    nothing was found that keeps Countersign from enforcing
  1    something was, or could not be looked at
  2    the command was called wrongly`

const doctorExamples = `  # Look at everything
  kubectl countersign doctor

  # For a program
  kubectl countersign doctor -o json`

// severity says how bad a finding is. The values are published.
type severity string

const (
	healthy severity = "ok"
	unknown severity = "unknown"
	warning severity = "warning"
	failing severity = "failure"
)

// finding is one thing that was looked at.
type finding struct {
	Severity severity `json:"severity"`
	// Text says what was found.
	Text string `json:"text"`
	// Mend is the command that mends it, empty where nothing has to be.
	Mend string `json:"mend,omitempty"`
}

// doctor looks at a cluster.
type doctor struct {
	e       *Environment
	cluster kubernetes.Interface
	self    authenticationv1.UserInfo
	// namespace is that of the operator.
	namespace string
	policies  []*v1alpha1.AgentActionPolicy
	findings  []finding
}

func (d *doctor) add(s severity, mend, format string, args ...any) {
	d.findings = append(d.findings, finding{Severity: s, Mend: mend, Text: fmt.Sprintf(format, args...)})
}

func newDoctor(e *Environment) *cobra.Command {
	var form string
	d := &doctor{e: e}
	c := &cobra.Command{
		Use: "doctor", Short: "Look for what would keep Countersign from enforcing", Long: doctorHelp, Example: doctorExamples,
		Args: cobra.NoArgs, ValidArgsFunction: cobra.NoFileCompletions,
	}
	c.Flags().StringVarP(&form, "output", "o", "", "Form of the output: json|yaml")
	c.Flags().StringVar(&d.namespace, "operator-namespace", "countersign-system", "Namespace of the operator, where its webhooks do not say")
	completeFlag(c, "output", oneOf("json", "yaml"))
	completeFlag(c, "operator-namespace", e.completeNamespaces)
	c.RunE = func(c *cobra.Command, _ []string) error {
		if form != "" && form != "json" && form != "yaml" {
			return usageError{fmt.Errorf("-o %q: must be json or yaml", form)}
		}
		if err := d.examine(c.Context()); err != nil {
			return err
		}
		return d.report(form)
	}
	return c
}

// examine looks at one thing after another. It fails where nothing at all can be seen.
func (d *doctor) examine(ctx context.Context) error {
	config, err := d.e.RESTConfig()
	if err != nil {
		return err
	}
	if d.cluster, err = kubernetes.NewForConfig(config); err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	review, err := d.cluster.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("asking the API server who you are: %w", err)
	}
	d.self = review.Status.UserInfo
	if err := d.server(ctx, config); err != nil {
		return err
	}
	d.webhooks(ctx)
	d.readPolicies(ctx)
	d.subjects(ctx)
	d.routes(ctx)
	d.canary(ctx, config)
	return nil
}

// report writes what was found, in the order in which it was looked at.
func (d *doctor) report(form string) error {
	count := map[severity]int{}
	for i := range d.findings {
		count[d.findings[i].Severity]++
	}
	switch form {
	case "json", "yaml":
		if err := d.encode(form); err != nil {
			return err
		}
	default:
		for i := range d.findings {
			d.line(&d.findings[i])
		}
	}
	switch {
	case count[failing] > 0:
		return exitWith(exitFailed, fmt.Sprintf("keeps Countersign from enforcing, or may: %d of %d findings", count[failing], len(d.findings)))
	case count[unknown] > 0:
		return exitWith(exitFailed, fmt.Sprintf("could not be looked at: %d of %d", count[unknown], len(d.findings)))
	default:
		return nil
	}
}

func (d *doctor) encode(form string) error {
	text, err := yaml.Marshal(map[string]any{"findings": d.findings})
	if err == nil && form == "json" {
		text, err = yaml.YAMLToJSON(text)
		text = append(text, '\n')
	}
	if err != nil {
		return fmt.Errorf("writing the findings: %w", err)
	}
	d.e.Printf("%s", text)
	return nil
}

// line writes a finding, wrapped at the width of the screen, with what mends it in a line of its own to copy.
func (d *doctor) line(f *finding) {
	const indent = 9
	style := map[severity]terminal.Style{healthy: terminal.Green, unknown: terminal.Faint, warning: terminal.Yellow, failing: terminal.Red}
	label, left := string(f.Severity), 0
	if d.e.Screen.Width > 0 {
		left = max(d.e.Screen.Width-indent, leastWidth/2)
	}
	for i, part := range terminal.Wrap(terminal.Clean(f.Text), left) {
		if i > 0 {
			label = ""
		}
		d.e.Printf("%s%*s%s\n", d.e.Screen.Paint(style[f.Severity], label), indent-len(label), "", part)
	}
	if f.Mend != "" {
		d.e.Printf("%*s%s\n", indent, "", d.e.Screen.Paint(terminal.Bold, terminal.Clean(f.Mend)))
	}
}

package command

import (
	"context"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/canary"
	"github.com/countersign-dev/countersign/internal/policy"
	"github.com/countersign-dev/countersign/internal/protection"
)

func (d *doctor) account() canary.Account {
	name := policy.ServiceAccountUsername(d.namespace, d.operator.canary())
	return canary.AccountFor(policy.Identity{Username: d.self.Username, Groups: d.self.Groups}, name, d.namespace)
}

// canary tries whether the identity that Countersign always governs is refused.
func (d *doctor) canary(ctx context.Context) {
	write, err := canary.Writer(d.config, d.account())
	if err != nil {
		d.unknown(err, "the canary could not try")
		return
	}
	err = write(ctx)
	result := canary.Classify(err)
	d.canaryOutcome = result.Outcome
	switch result.Outcome {
	case canary.Refused:
		d.ok("the canary was refused by Countersign: the API server asks it, and it answers")
	case canary.Passed:
		d.fail(d.restart(),
			"the canary was not refused: agents may do what RBAC lets them do (is the operator in namespace %s, with --canary %s?)",
			d.namespace, d.operator.canary())
	case canary.Unanswered:
		d.fail(d.restart(), "Countersign does not answer the API server, so agents are refused everything%s: %s",
			blame(result.Detail), result.Detail)
	case canary.Forbidden:
		d.unknown(err, "the canary could not try")
	case canary.Unreachable:
		d.unknown(err, "the canary got no answer")
	default:
		d.fail("", "the canary had an outcome that this plugin does not know: %s", result.Outcome)
	}
}

// blame says what it is, where the API server says so in the words of a library.
func blame(detail string) string {
	switch {
	case strings.Contains(detail, "x509:"), strings.Contains(detail, "tls:"):
		return ", because the certificate that is served does not match the caBundle"
	case strings.Contains(detail, "no endpoints available"), strings.Contains(detail, "connection refused"):
		return ", because nobody listens"
	case strings.Contains(detail, "context deadline exceeded"), strings.Contains(detail, "i/o timeout"):
		return ", because it takes too long"
	default:
		return ""
	}
}

// levelAnnotation is where the operator tells the level that it has found.
const levelAnnotation = v1alpha1.GroupName + "/protection-level"

// protection finds out the level of protection as the operator does, and compares it with what the operator tells.
func (d *doctor) protection(ctx context.Context) {
	told := ""
	for _, c := range d.hooks {
		if c.name == policiesConfiguration {
			told = c.annotations[levelAnnotation]
		}
	}
	finding := d.tryLevel(ctx)
	d.level = finding.Level
	kept := "; an agent with the rights of cluster-admin is not contained"
	switch finding.Level {
	case protection.Unknown:
		d.report.add(unknown, "", "the level of protection could not be tried: %s%s", finding.Reason, toldLevel(told))
		return
	case protection.Rights:
		d.fail(d.restart(), "level of protection 1: nothing but RBAC keeps agents from anything: %s", finding.Reason)
	case protection.Webhooks:
		mend := d.upgrade("--set admissionPolicy.enabled=true")
		if d.operator.url != "" {
			mend = d.restart("--admission-policy")
		}
		d.warn(mend, "level of protection 2: %s%s", finding.Reason, kept)
	case protection.Policy:
		d.ok("level of protection 3: an admission policy keeps agents from the webhook configurations%s", kept)
	case protection.Sealed:
		d.ok("level of protection 4: %s", finding.Reason)
	default:
		d.fail("", "a level of protection that this plugin does not know: %d", finding.Level)
	}
	if tried := strconv.Itoa(int(finding.Level)); told != "" && told != tried {
		d.warn("kubectl countersign doctor", "the operator tells level %s, and looks once a minute: believe what was tried, and look again", told)
	}
}

func toldLevel(told string) string {
	if told == "" {
		return ""
	}
	return " (the operator tells level " + told + ")"
}

// tryLevel asks the API server what it answers the canary.
func (d *doctor) tryLevel(ctx context.Context) protection.Finding {
	if d.canaryOutcome != canary.Refused && d.canaryOutcome != canary.Passed && d.canaryOutcome != canary.Unanswered {
		return protection.Finding{Reason: "the canary could not try"}
	}
	binding := protection.PolicyName
	_, err := d.cluster.AdmissionregistrationV1().ValidatingAdmissionPolicyBindings().Get(ctx, binding, metav1.GetOptions{})
	d.bound = err == nil
	if apierrors.IsNotFound(err) {
		binding = ""
	}
	probe, err := canary.NewProbe(d.config, d.account(), actionsConfiguration, binding)
	if err != nil {
		return protection.Finding{Reason: err.Error()}
	}
	answers := probe.Ask(ctx)
	answers.Enforced = d.canaryOutcome == canary.Refused || d.canaryOutcome == canary.Unanswered
	if apierrors.IsNotFound(answers.Configuration) {
		return protection.Finding{Level: protection.Rights, Reason: "there is no webhook configuration " + actionsConfiguration}
	}
	return protection.Judge(&answers)
}

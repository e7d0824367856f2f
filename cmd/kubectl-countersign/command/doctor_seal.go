package command

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/countersign-dev/countersign/internal/canary"
	"github.com/countersign-dev/countersign/internal/protection"
)

// somebody is who acts for a group: requests come from a user. It is nobody's name.
const somebody = "countersign:doctor:somebody"

// impersonation is what the files of level 4 deny whom they name, whatever RBAC says.
var impersonation = protection.Probe{Resource: "users", Verb: "impersonate"}

// sealAttempt is a dry run that the files of level 4 refuse whom they name, and which RBAC lets pass whoever has the right.
type sealAttempt struct {
	right      protection.Probe
	ofWebhooks bool
	try        func(context.Context, kubernetes.Interface) error
}

// sealAttempts are such, the first best.
func sealAttempts() []sealAttempt {
	const group = admissionregistrationv1.GroupName
	dryRun := []string{metav1.DryRunAll}
	return []sealAttempt{
		{
			protection.Probe{Group: group, Resource: "validatingwebhookconfigurations", Verb: "delete"}, true,
			func(ctx context.Context, as kubernetes.Interface) error {
				hooks := as.AdmissionregistrationV1().ValidatingWebhookConfigurations()
				return hooks.Delete(ctx, actionsConfiguration, metav1.DeleteOptions{DryRun: dryRun})
			},
		},
		{
			protection.Probe{Group: group, Resource: "mutatingwebhookconfigurations", Verb: "create"}, true,
			func(ctx context.Context, as kubernetes.Interface) error {
				empty := &admissionregistrationv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{GenerateName: "countersign-doctor-"}}
				_, err := as.AdmissionregistrationV1().MutatingWebhookConfigurations().Create(ctx, empty, metav1.CreateOptions{DryRun: dryRun})
				return err
			},
		},
		{
			protection.Probe{Group: group, Resource: "validatingadmissionpolicybindings", Verb: "delete"}, false,
			func(ctx context.Context, as kubernetes.Interface) error {
				bindings := as.AdmissionregistrationV1().ValidatingAdmissionPolicyBindings()
				return bindings.Delete(ctx, protection.PolicyName, metav1.DeleteOptions{DryRun: dryRun})
			},
		},
	}
}

// seal finds out at level 4 whom of the governed subjects the files of the API server name. The level is that of the canary.
func (d *doctor) seal(ctx context.Context) {
	if d.level != protection.Sealed {
		return
	}
	d.gatherAgents(ctx)
	if len(d.governed) == 0 {
		return
	}
	err := d.askAll(ctx, d.findNaming)
	again := ""
	if err == nil {
		again, err = d.sealAgain(ctx)
	}
	if err != nil {
		d.unknown(err, "whom the files of level 4 name cannot be asked")
		return
	}
	d.leftOut(protection.Unnamed, again, "the files of level 4 do not name", "")
	const lone = "of the files of level 4, only %s names"
	const older = " The others are older, or cannot be used, which the API server's log says then."
	d.leftOut(protection.AuthorizationOnly, again, fmt.Sprintf(lone, protection.AuthorizationFile), older)
	d.leftOut(protection.AdmissionOnly, again, fmt.Sprintf(lone, protection.ManifestFile), older)
	d.named()
}

// named reports of whom the files name all, and of whom that cannot be told.
func (d *doctor) named() {
	named := 0
	var untold []string
	var err error
	for i := range d.governed {
		switch a := &d.governed[i]; a.hold.Naming {
		case protection.Named:
			named++
		case protection.Unnamed, protection.AuthorizationOnly, protection.AdmissionOnly:
		default:
			untold = append(untold, a.text)
			err = cmp.Or(err, a.untold)
		}
	}
	if len(untold) > 0 {
		d.unknown(err, "of the files of level 4, %s names%s; whether %s does could not be tried",
			protection.AuthorizationFile, someOf("", "", untold), protection.ManifestFile)
	}
	if named < len(d.governed) {
		return
	}
	untried := ""
	if n := d.untried(); n > 0 {
		untried = fmt.Sprintf("; for %d of them only %s says so, because RBAC lets them change no admission configuration",
			n, protection.AuthorizationFile)
	}
	d.ok("the files of level 4 name every governed subject: %d asked about%s", named, untried)
}

// untried counts those who could not try what the files for admission refuse.
func (d *doctor) untried() int {
	n := 0
	for i := range d.governed {
		if !d.governed[i].tried {
			n++
		}
	}
	return n
}

// findNaming finds out which files name somebody.
func (d *doctor) findNaming(ctx context.Context, a *agent) error {
	var trial protection.Trial
	var err error
	if trial.Impersonation, err = d.review(ctx, a, &impersonation); err != nil {
		return err
	}
	attempts := sealAttempts()
	for i := range attempts {
		may, err := d.may(ctx, a, &attempts[i].right)
		if err != nil {
			return err
		}
		if !may {
			continue
		}
		if err = d.tryAs(ctx, a, attempts[i].try); !apierrors.IsNotFound(err) {
			trial.Tried, trial.Admission, trial.OfWebhooks = true, err, attempts[i].ofWebhooks
			break
		}
	}
	a.tried = trial.Tried
	a.hold, a.untold = trial.Judge(d.belowSeal())
	return nil
}

// belowSeal is the level without the files.
func (d *doctor) belowSeal() protection.Level {
	if d.bound {
		return protection.Policy
	}
	return protection.Webhooks
}

// tryAs has somebody try something. The API server gives accounts and users their groups itself.
func (d *doctor) tryAs(ctx context.Context, a *agent, try func(context.Context, kubernetes.Interface) error) error {
	as := rest.CopyConfig(d.config)
	as.Impersonate = rest.ImpersonationConfig{UserName: a.user}
	if a.user == "" {
		as.Impersonate = rest.ImpersonationConfig{UserName: somebody, Groups: a.groups}
	}
	c, err := kubernetes.NewForConfig(as)
	if err != nil {
		return fmt.Errorf("connecting as %s: %w", a.text, err)
	}
	return try(ctx, c)
}

// leftOut reports whom the files name in such a way, and what to do. The cause is a sentence, or empty.
func (d *doctor) leftOut(naming protection.Naming, again, text, cause string) {
	for level := protection.Policy; level >= protection.Webhooks; level-- {
		for _, same := range gather(d.governed, func(a *agent) []string {
			if a.hold.Naming != naming || a.hold.Level != level {
				return nil
			}
			return []string{fmt.Sprintf("policy %s names them, since %s at the earliest", a.policy.Name,
				a.policy.CreationTimestamp.UTC().Format(stampFormat))}
		}) {
			d.warn(again, "%s %s (%s): they are at level %d.%s Render the files again, with these flags and those used before, "+
				"and copy them to %s, or where they lie, on every control-plane node: they are read within a minute",
				text, same.who(), same.routes[0], level, cause, protection.DefaultDirectory)
		}
	}
}

// sealAgain is the command that renders the files anew, for whom policies name now. Whether they deny reading Secrets can be
// seen, and is not lost; by which flags they name others cannot.
func (d *doctor) sealAgain(ctx context.Context) (string, error) {
	command := []string{"countersign seal --from-cluster --kubeconfig ~/.kube/config"}
	if d.namespace != "countersign-system" {
		command = append(command, "--namespace", d.namespace)
	}
	name := d.operator.canary()
	if name != canary.DefaultAccount {
		command = append(command, "--canary", name)
	}
	account := serviceAccount(d.namespace, name)
	secrets, err := d.review(ctx, &account, &protection.Probe{Resource: "secrets", Verb: "get"})
	if secrets.Denied {
		command = append(command, "--deny-secrets")
	}
	return strings.Join(append(command, "--output ./seal"), " "), err
}

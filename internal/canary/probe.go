package canary

import (
	"context"
	"fmt"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/countersign-dev/countersign/internal/protection"
)

// Probe asks the API server what the canary may do that webhooks are not asked about.
type Probe struct {
	account Account
	// own acts as the operator, as acts as the canary until it is disconnected, and connects anew then.
	own        kubernetes.Interface
	as         kubernetes.Interface
	disconnect func()
	// configuration and binding name what the canary tries to delete; binding is empty where there is no admission policy.
	configuration, binding string
}

// NewProbe makes a probe that tries to delete a webhook configuration and, where it is not empty, the binding of an
// admission policy.
func NewProbe(config *rest.Config, account Account, configuration, binding string) (*Probe, error) {
	own, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("connecting: %w", err)
	}
	p := &Probe{account: account, own: own, configuration: configuration, binding: binding}
	p.as, p.disconnect, err = connect(config, account)
	return p, err
}

// Ask asks anew, through new connections. Nothing is deleted: all are dry runs. What cannot be asked counts as the answer.
func (p *Probe) Ask(ctx context.Context) protection.Answers {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	a := protection.Answers{PolicyAsked: p.binding != ""}
	defer p.disconnect()
	dryRun := metav1.DeleteOptions{DryRun: []string{metav1.DryRunAll}}
	admission := p.as.AdmissionregistrationV1()
	a.Configuration = admission.ValidatingWebhookConfigurations().Delete(ctx, p.configuration, dryRun)
	if a.PolicyAsked {
		a.Policy = admission.ValidatingAdmissionPolicyBindings().Delete(ctx, p.binding, dryRun)
	}
	review, err := p.own.AuthorizationV1().SubjectAccessReviews().Create(ctx, p.impersonation(), metav1.CreateOptions{})
	if err == nil {
		a.Impersonation = review.Status
	}
	return a
}

// impersonation asks whether the canary may act as somebody else. The groups are those of its account, and never others
// that it was lent: of system:masters, nobody is asked.
func (p *Probe) impersonation() *authorizationv1.SubjectAccessReview {
	namespace, _, _ := strings.Cut(strings.TrimPrefix(p.account.Username, serviceAccountPrefix), ":")
	return &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User:               p.account.Username,
		Groups:             []string{"system:serviceaccounts", "system:serviceaccounts:" + namespace, "system:authenticated"},
		ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: "impersonate", Resource: "users", Name: "countersign-nobody"},
	}}
}

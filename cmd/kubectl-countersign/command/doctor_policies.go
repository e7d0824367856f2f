package command

import (
	"context"
	"fmt"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

// readPolicies looks at every policy: is it understood, and is it in force.
func (d *doctor) readPolicies(ctx context.Context) {
	all, err := d.e.storedPolicies(ctx)
	if err != nil {
		level, mend := unknown, ""
		if apierrors.IsNotFound(err) {
			level, mend = failing, mendInstall
		}
		d.add(level, mend, "policies cannot be looked at: %s", d.e.explain(err))
		return
	}
	d.policies = all
	counts := map[v1alpha1.Enforcement]int{}
	for _, p := range all {
		counts[p.Spec.Enforcement]++
		d.policy(p)
	}
	if counts[v1alpha1.Enforce] == 0 {
		d.add(warning, "kubectl get agentactionpolicies", "no policy has enforcement: Enforce, so nobody is governed")
		return
	}
	d.add(healthy, "", "policies: %d Enforce, %d Warn, %d Audit", counts[v1alpha1.Enforce], counts[v1alpha1.Warn], counts[v1alpha1.Audit])
}

func (d *doctor) policy(p *v1alpha1.AgentActionPolicy) {
	for _, kind := range []string{v1alpha1.PolicyReady, v1alpha1.PolicyEnforced} {
		c := meta.FindStatusCondition(p.Status.Conditions, kind)
		mend := "kubectl describe agentactionpolicy " + p.Name
		switch {
		case c == nil || c.ObservedGeneration != p.Generation:
			d.add(failing, d.restart(), "policy %s: the operator has not looked at its present state", p.Name)
			return
		case c.Status != metav1.ConditionTrue:
			d.add(failing, mend, "policy %s is not %s: %s", p.Name, kind, c.Message)
			return
		}
	}
}

// accounts are the service accounts that Enforce policies name, each once, with the first policy that does.
func (d *doctor) accounts() (accounts []v1alpha1.Subject, namedBy map[v1alpha1.Subject]string) {
	namedBy = map[v1alpha1.Subject]string{}
	for _, p := range d.policies {
		if p.Spec.Enforcement != v1alpha1.Enforce {
			continue
		}
		for _, s := range p.Spec.Subjects {
			if s.Kind == v1alpha1.SubjectServiceAccount && s.Name != "*" && namedBy[s] == "" {
				namedBy[s] = p.Name
				accounts = append(accounts, s)
			}
		}
	}
	return accounts, namedBy
}

// subjects looks for accounts that do not exist.
func (d *doctor) subjects(ctx context.Context) {
	accounts, namedBy := d.accounts()
	found := 0
	for _, s := range accounts {
		_, err := d.cluster.CoreV1().ServiceAccounts(s.Namespace).Get(ctx, s.Name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			d.add(warning, fmt.Sprintf("kubectl create serviceaccount %s --namespace %s", s.Name, s.Namespace),
				"policy %s names service account %s/%s, which does not exist", namedBy[s], s.Namespace, s.Name)
		case err != nil:
			d.add(unknown, "", "service account %s/%s cannot be looked at: %s", s.Namespace, s.Name, d.e.explain(err))
			return
		default:
			found++
		}
	}
	if found > 0 && found == len(accounts) {
		d.add(healthy, "", "every service account that a policy governs exists: %d", found)
	}
}

// route is a right that leads around Countersign.
type route struct {
	group, resource, subresource, verb string
}

// routesAround are rights after which Countersign is not asked, or asked about somebody else. Changes of admission
// configurations are never sent to webhooks; the others the operator refuses while it answers.
var routesAround = []route{
	{"admissionregistration.k8s.io", "validatingwebhookconfigurations", "", "delete"},
	{"admissionregistration.k8s.io", "validatingwebhookconfigurations", "", "patch"},
	{"admissionregistration.k8s.io", "mutatingwebhookconfigurations", "", "create"},
	{"", "users", "", "impersonate"},
	{"", "serviceaccounts", "", "impersonate"},
	{"", "nodes", "proxy", "get"},
	{"rbac.authorization.k8s.io", "clusterroles", "", "escalate"},
}

// routes asks what RBAC lets the governed accounts do to Countersign itself.
func (d *doctor) routes(ctx context.Context) {
	accounts, _ := d.accounts()
	asked := false
	reach := false
	for _, s := range accounts {
		var open []string
		for _, r := range routesAround {
			allowed, err := d.allowed(ctx, s, r)
			if err != nil {
				d.add(unknown, "", "what the governed accounts may do cannot be asked: %s", d.e.explain(err))
				return
			}
			asked = true
			if allowed {
				open = append(open, r.text())
			}
		}
		if len(open) > 0 {
			reach = true
			user := "system:serviceaccount:" + s.Namespace + ":" + s.Name
			d.add(failing, "kubectl auth can-i --list --as "+user, "RBAC lets %s/%s reach around Countersign: %s", s.Namespace, s.Name,
				strings.Join(open, ", "))
		}
	}
	if asked && !reach {
		d.add(healthy, "", "RBAC lets no governed service account reach around Countersign")
	}
}

func (r route) text() string {
	resource := r.resource
	if r.subresource != "" {
		resource += "/" + r.subresource
	}
	return r.verb + " " + resource
}

func (d *doctor) allowed(ctx context.Context, s v1alpha1.Subject, r route) (bool, error) {
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User:   "system:serviceaccount:" + s.Namespace + ":" + s.Name,
		Groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + s.Namespace, "system:authenticated"},
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Group: r.group, Resource: r.resource, Subresource: r.subresource, Verb: r.verb,
		},
	}}
	answer, err := d.cluster.AuthorizationV1().SubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
	if err != nil {
		return false, fmt.Errorf("asking what somebody may do: %w", err)
	}
	return answer.Status.Allowed && !answer.Status.Denied, nil
}

package webhooks_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/internal/operatortest"
	"github.com/countersign-dev/countersign/internal/protection"
)

// protectedAttempts are what the admission policy refuses agents, by kubectl, with part of the refusal. All are dry runs.
var protectedAttempts = map[string]struct{ run, input, says string }{
	"delete a webhook configuration":  {"delete validatingwebhookconfiguration protected", "", "admission webhooks"},
	"edit a webhook configuration":    {"label validatingwebhookconfiguration protected a=b", "", "admission webhooks"},
	"delete all":                      {"delete --raw /apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations?dryRun=All", "", "admission webhooks"},
	"create a mutating one":           {"create -f -", "{apiVersion: admissionregistration.k8s.io/v1, kind: MutatingWebhookConfiguration, metadata: {name: new}}", "admission webhooks"},
	"edit a definition":               {"label crd actionapprovals.countersign.dev a=b", "", "resource definitions"},
	"delete definitions":              {"delete --raw /apis/apiextensions.k8s.io/v1/customresourcedefinitions?dryRun=All", "", "resource definitions"},
	"serve the API oneself":           {"label apiservice v1alpha1.countersign.dev a=b", "", "serves Countersign's API"},
	"serve access reviews oneself":    {"label apiservice v1.authorization.k8s.io a=b", "", "serves Countersign's API"},
	"edit a policy":                   {"label agentactionpolicy p-NAMESPACE a=b", "", "Countersign's own objects"},
	"delete what agents did":          {"delete --raw /apis/countersign.dev/v1alpha1/agentactionpolicies?dryRun=All", "", "Countersign's own objects"},
	"make a token of another account": {"create token default", "", "tokens for another account"},
	"delete the owner":                {"delete clusterrole countersign-anchor", "", "belong to"},
}

// allowedAttempts are next to them.
var allowedAttempts = map[string]struct{ run, input string }{
	"delete an admission policy": {"delete validatingadmissionpolicybinding countersign", ""}, // no policy in the API is asked about it
	"edit another definition":    {"create -f -", widgets},
	"edit another role":          {"create clusterrole another --verb=get --resource=pods", ""},
	"make a token of its own":    {"create token agent", ""},
	"do its work":                {"create configmap x", ""},
}

const widgets = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: protectedwidgets.example.test}
spec:
  group: example.test
  scope: Namespaced
  names: {plural: protectedwidgets, singular: protectedwidget, kind: ProtectedWidget, listKind: ProtectedWidgetList}
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]
`

const protectedObjects = `
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: protected}
`

// try runs kubectl as a dry run where it knows of that.
func (f *fence) try(ctx context.Context, who *identity, run, input string) error {
	args := strings.Fields(run)
	if !slices.Contains(args, "--raw") && !strings.HasPrefix(run, "create token") {
		args = append(args, "--dry-run=server")
	}
	return f.kubectl(ctx, who, args, input)
}

func newProtected(t *testing.T, flags ...string) *fence {
	t.Helper()
	f := &fence{environment: newOwned(t, flags...), cache: t.TempDir()}
	f.admin, f.words = f.identity(t, "admin", f.plane.Kubeconfig("admin")), strings.NewReplacer()
	f.prepare(t, "apply", "--server-side", "-f", "-")(protectedObjects)
	f.namespace = f.environment.namespace(t)
	f.words = strings.NewReplacer("NAMESPACE", f.namespace)
	f.agent = f.environment.agent(t, f.namespace)
	f.policy(t, f.namespace, "enforcement: Enforce\nsubjects: [AGENT]\noutOfScope: Allow\n")
	f.waitGovernedByPolicy(t, slices.Contains(flags, "--admission-policy"))
	return f
}

// waitGovernedByPolicy waits until the API server has taken up what is stored, or sees that there is nothing.
func (f *fence) waitGovernedByPolicy(t *testing.T, want bool) {
	t.Helper()
	operatortest.Eventually(t, "the admission policy is in force, or not", func(ctx context.Context) error {
		err := f.try(ctx, f.agent, "delete validatingwebhookconfiguration protected", "")
		if want != (err != nil) || want && !strings.Contains(err.Error(), "ValidatingAdmissionPolicy 'countersign'") {
			return fmt.Errorf("the answer is %w", err)
		}
		return nil
	})
}

// TestAdmissionPolicy shows what it keeps while the webhooks are not even there, so that nothing else can be what refuses.
func TestAdmissionPolicy(t *testing.T) {
	f := newProtected(t, "--admission-policy")
	person := f.person(t, "protected-person")
	if err := f.operator.Kill(); err != nil {
		t.Fatal(err)
	}
	for _, o := range []client.Object{
		&admissionregistrationv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "countersign-actions"}},
		&admissionregistrationv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "countersign-policies"}},
		&admissionregistrationv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "countersign-approvals"}},
	} {
		allowed(t, f.environment.admin.Delete(t.Context(), o))
	}
	operatortest.Eventually(t, "the webhooks are gone", func(ctx context.Context) error {
		return f.try(ctx, f.agent, "create configmap x", "")
	})
	for name, a := range protectedAttempts {
		t.Run(name, func(t *testing.T) {
			err := f.try(t.Context(), f.agent, a.run, a.input)
			if err == nil || !strings.Contains(err.Error(), a.says) || !strings.Contains(err.Error(), "reasons=ReservedAction]") {
				t.Errorf("an agent is answered by %v, want a refusal that says %q", err, a.says)
			}
			if err := f.try(t.Context(), person, a.run, a.input); err != nil {
				t.Errorf("a person is answered by %v", err)
			}
		})
	}
	for name, a := range allowedAttempts {
		t.Run(name, func(t *testing.T) {
			if err := f.try(t.Context(), f.agent, a.run, a.input); err != nil {
				t.Errorf("an agent is answered by %v, want success", err)
			}
		})
	}
}

// TestNoAdmissionPolicy is the control: without it no one keeps an agent from the webhook configurations.
func TestNoAdmissionPolicy(t *testing.T) {
	f := newProtected(t)
	if err := f.try(t.Context(), f.agent, "delete validatingwebhookconfiguration countersign-actions", ""); err != nil {
		t.Errorf("the answer is %v", err)
	}
	f.waitLevel(t, "2")
}

// waitLevel waits until the operator says where kubectl shows it which level it has found.
func (f *fence) waitLevel(t *testing.T, want string) {
	t.Helper()
	operatortest.Eventually(t, "the level is "+want, func(ctx context.Context) error {
		var shown admissionregistrationv1.ValidatingWebhookConfiguration
		if err := f.environment.admin.Get(ctx, client.ObjectKey{Name: "countersign-policies"}, &shown); err != nil {
			return err
		}
		if got := shown.Annotations["countersign.dev/protection-level"]; got != want {
			return fmt.Errorf("it is %q", got)
		}
		return nil
	})
}

// TestLevelIsLowered takes the admission policy away from an operator that cannot repair it: its owner is lost.
func TestLevelIsLowered(t *testing.T) {
	metrics := fmt.Sprintf("127.0.0.1:%d", operatortest.FreePort(t))
	f := newProtected(t, "--admission-policy", "--metrics-bind-address", metrics)
	f.waitLevel(t, "3")
	metric(t, metrics, "countersign_protection_level 3")
	binding := &admissionregistrationv1.ValidatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: protection.PolicyName}}
	allowed(t, f.agent.Delete(t.Context(), binding.DeepCopy()))
	f.waitGovernedByPolicy(t, true)
	metric(t, metrics, `countersign_admission_drift_total{kind="ValidatingAdmissionPolicyBinding",name="countersign"} 1`)
	f.wantEvent(t, "ValidatingAdmissionPolicyBinding", "Drift")

	anchor := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: anchorName}}
	orphan := metav1.DeletePropagationOrphan
	allowed(t, f.environment.admin.Delete(t.Context(), anchor, &client.DeleteOptions{PropagationPolicy: &orphan}))
	allowed(t, f.agent.Delete(t.Context(), binding.DeepCopy()))
	// Where the API server takes the change up late it is found when the level is next looked at, a minute later.
	err := wait.PollUntilContextTimeout(t.Context(), time.Second, 3*time.Minute, true, func(ctx context.Context) (bool, error) {
		text, err := operatortest.Fetch(ctx, "http://"+metrics+"/metrics")
		return strings.Contains(text, "\ncountersign_protection_level 2\n"), err
	})
	if err != nil {
		t.Fatalf("the level is not lower: %v", err)
	}
	f.wantEvent(t, "ValidatingWebhookConfiguration", "ProtectionLevelLowered")
	if log := f.operator.LogText(t); !strings.Contains(log, "The level of protection is lower than before") {
		t.Errorf("the log does not say so:\n%s", log)
	}
}

func (f *fence) wantEvent(t *testing.T, kind, reason string) {
	t.Helper()
	operatortest.Eventually(t, "there is an event "+reason, func(ctx context.Context) error {
		var list eventsv1.EventList
		if err := f.environment.admin.List(ctx, &list); err != nil {
			return err
		}
		for i := range list.Items {
			if e := &list.Items[i]; e.Reason == reason && e.Regarding.Kind == kind && e.Regarding.UID != "" && e.Type == corev1.EventTypeWarning {
				return nil
			}
		}
		return errors.New("there is none")
	})
}

// TestAdmissionPolicyIsRepaired changes and deletes it, takes it away by the flag, and puts the subjects back.
func TestAdmissionPolicyIsRepaired(t *testing.T) {
	f := newProtected(t, "--admission-policy")
	key := client.ObjectKey{Name: protection.PolicyName}
	policy := &admissionregistrationv1.ValidatingAdmissionPolicy{}
	binding := &admissionregistrationv1.ValidatingAdmissionPolicyBinding{}
	admin := f.environment.admin
	back := func(t *testing.T) {
		t.Helper()
		operatortest.Eventually(t, "it is as before", func(ctx context.Context) error {
			var p admissionregistrationv1.ValidatingAdmissionPolicy
			var b admissionregistrationv1.ValidatingAdmissionPolicyBinding
			if err := errors.Join(admin.Get(ctx, key, &p), admin.Get(ctx, key, &b)); err != nil {
				return err
			}
			if len(p.Spec.Validations) != len(policy.Spec.Validations) || len(b.Spec.ValidationActions) != 2 || len(p.OwnerReferences) != 1 {
				return errors.New("it is not repaired")
			}
			return nil
		})
		f.waitGovernedByPolicy(t, true)
	}
	allowed(t, errors.Join(admin.Get(t.Context(), key, policy), admin.Get(t.Context(), key, binding)))
	t.Run("no validations", func(t *testing.T) {
		changed := policy.DeepCopy()
		changed.Spec.Validations = changed.Spec.Validations[:1]
		allowed(t, admin.Update(t.Context(), changed))
		back(t)
	})
	t.Run("only warnings", func(t *testing.T) {
		changed := binding.DeepCopy()
		changed.Spec.ValidationActions = []admissionregistrationv1.ValidationAction{admissionregistrationv1.Warn}
		allowed(t, admin.Update(t.Context(), changed))
		back(t)
	})
	t.Run("deleted by the agent", func(t *testing.T) {
		allowed(t, f.agent.Delete(t.Context(), binding.DeepCopy()))
		back(t)
		allowed(t, admin.Delete(t.Context(), policy.DeepCopy()))
		back(t)
	})
	t.Run("switched off", func(t *testing.T) {
		if err := f.operator.Kill(); err != nil {
			t.Fatal(err)
		}
		operatortest.Start(t, f.plane.Kubeconfig("admin"), "--owner-cluster-role", anchorName)
		operatortest.Eventually(t, "it is gone", func(ctx context.Context) error {
			for _, o := range []client.Object{policy.DeepCopy(), binding.DeepCopy()} {
				if err := admin.Get(ctx, key, o); !apierrors.IsNotFound(err) {
					return fmt.Errorf("%T is there: %w", o, err)
				}
			}
			return nil
		})
		f.waitGovernedByPolicy(t, false)
	})
}

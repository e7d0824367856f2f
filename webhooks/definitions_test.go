package webhooks_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/operatortest"
)

const (
	policiesDefinition  = "agentactionpolicies.countersign.dev"
	approvalsDefinition = "actionapprovals.countersign.dev"
)

// definition reads the definition of a kind.
func (e *environment) definition(ctx context.Context, name string) (*apiextensionsv1.CustomResourceDefinition, error) {
	crd := &apiextensionsv1.CustomResourceDefinition{}
	return crd, e.admin.Get(ctx, client.ObjectKey{Name: name}, crd)
}

// change changes a definition, and puts it back in the end.
func (e *environment) change(t *testing.T, name string, how func(*apiextensionsv1.CustomResourceDefinition)) (restore func()) {
	t.Helper()
	edit := func(how func(*apiextensionsv1.CustomResourceDefinition)) {
		t.Helper()
		operatortest.Eventually(t, name+" is changed", func(ctx context.Context) error {
			crd, err := e.definition(ctx, name)
			if err != nil {
				return err
			}
			how(crd)
			return e.admin.Update(ctx, crd)
		})
	}
	before, err := e.definition(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	edit(how)
	return func() {
		t.Helper()
		edit(func(crd *apiextensionsv1.CustomResourceDefinition) { crd.Spec = before.Spec })
	}
}

// waitAnswer waits until an action is refused for exactly one reason, or passes where that is empty.
func waitAnswer(t *testing.T, what string, do func(context.Context) error, reason string) {
	t.Helper()
	operatortest.Eventually(t, what, func(ctx context.Context) error { return answers(do(ctx), reason) })
}

func answers(err error, reason string) error {
	if reason == "" {
		return err
	}
	if err == nil || !strings.Contains(err.Error(), "reasons="+reason+"]") && !strings.Contains(err.Error(), "reasons="+reason+" ") {
		return fmt.Errorf("the answer is %w, want a refusal because of %s", err, reason)
	}
	return nil
}

// newImage is an action that the policy images covers.
func newImage(agent *identity, web *appsv1.Deployment) func(context.Context) error {
	n := 1
	return func(ctx context.Context) error {
		n++
		return patch(ctx, agent, web, types.StrategicMergePatchType,
			fmt.Sprintf(`{"spec":{"template":{"spec":{"containers":[{"name":"web","image":"web:%d"}]}}}}`, n))
	}
}

// TestChangedDefinitions changes the definition of policies under a running operator: agents are refused, nobody else, until
// it is put back.
func TestChangedDefinitions(t *testing.T) {
	address := fmt.Sprintf("127.0.0.1:%d", operatortest.FreePort(t))
	e := newEnvironment(t, "--metrics-bind-address", address)
	namespace, agent, web := governed(t, e, images)
	act, person := newImage(agent, web), newImage(e.person(t, "erin"), web)
	waitAnswer(t, "the agent may act", act, "")
	schemaOf := func(crd *apiextensionsv1.CustomResourceDefinition) *apiextensionsv1.JSONSchemaProps {
		return crd.Spec.Versions[0].Schema.OpenAPIV3Schema
	}
	for name, how := range map[string]func(*apiextensionsv1.CustomResourceDefinition){
		"no status subresource": func(crd *apiextensionsv1.CustomResourceDefinition) { crd.Spec.Versions[0].Subresources = nil },
		"fewer rules": func(crd *apiextensionsv1.CustomResourceDefinition) {
			spec := schemaOf(crd).Properties["spec"]
			spec.XValidations = nil
			schemaOf(crd).Properties["spec"] = spec
		},
		"another version": func(crd *apiextensionsv1.CustomResourceDefinition) {
			v := crd.Spec.Versions[0].DeepCopy()
			v.Name, v.Storage, v.Subresources = "v1beta1", false, nil
			crd.Spec.Versions = append(crd.Spec.Versions, *v)
		},
		"not served": func(crd *apiextensionsv1.CustomResourceDefinition) { crd.Spec.Versions[0].Served = false },
		"converted by a webhook": func(crd *apiextensionsv1.CustomResourceDefinition) {
			crd.Spec.Conversion = &apiextensionsv1.CustomResourceConversion{
				Strategy: apiextensionsv1.WebhookConverter,
				Webhook: &apiextensionsv1.WebhookConversion{
					ConversionReviewVersions: []string{"v1"}, ClientConfig: &apiextensionsv1.WebhookClientConfig{URL: new("https://127.0.0.1:1/")},
				},
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			restore := e.change(t, policiesDefinition, how)
			defer restore()
			waitAnswer(t, "the agent is refused", act, "DefinitionsChanged")
			metric(t, address, `countersign_definition_intact{name="`+policiesDefinition+`"} 0`)
			allowed(t, person(t.Context()))
			restore()
			waitAnswer(t, "the agent may act again", act, "")
			metric(t, address, `countersign_definition_intact{name="`+policiesDefinition+`"} 1`)
		})
	}
	t.Run("more fields and stricter rules are an upgrade", func(t *testing.T) {
		restore := e.change(t, policiesDefinition, func(crd *apiextensionsv1.CustomResourceDefinition) {
			spec := schemaOf(crd).Properties["spec"]
			spec.Properties["later"] = apiextensionsv1.JSONSchemaProps{Type: "string"}
			spec.XValidations = append(spec.XValidations, apiextensionsv1.ValidationRule{Rule: "!has(self.later) || self.later != 'x'"})
			schemaOf(crd).Properties["spec"] = spec
		})
		defer restore()
		for range 5 {
			allowed(t, act(t.Context()))
		}
	})
	t.Run("an event tells of it", func(t *testing.T) {
		operatortest.Eventually(t, "there is one", func(ctx context.Context) error {
			list := &unstructured.UnstructuredList{}
			list.SetGroupVersionKind(schema.GroupVersionKind{Group: "events.k8s.io", Version: "v1", Kind: "EventList"})
			if err := e.admin.List(ctx, list); err != nil {
				return err
			}
			for i := range list.Items {
				if list.Items[i].Object["reason"] == "DefinitionsChanged" {
					return nil
				}
			}
			return errors.New("there is none")
		})
	})
	if len(e.operator.DecisionLines(t, namespace)) == 0 {
		t.Error("the refusals are not recorded")
	}
}

// TestHijackedService has another server put in the place of the API server for Countersign's kinds.
func TestHijackedService(t *testing.T) {
	e := newEnvironment(t)
	_, agent, web := governed(t, e, images)
	act := newImage(agent, web)
	waitAnswer(t, "the agent may act", act, "")
	service := &unstructured.Unstructured{}
	service.SetAPIVersion("apiregistration.k8s.io/v1")
	service.SetKind("APIService")
	service.SetName("v1alpha1.countersign.dev")
	hijack := `{"metadata":{"labels":{"kube-aggregator.kubernetes.io/automanaged":null}},"spec":{"insecureSkipTLSVerify":true,` +
		`"service":{"namespace":"default","name":"evil","port":443}}}`
	allowed(t, e.admin.Patch(t.Context(), service.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(hijack))))
	t.Cleanup(func() {
		if err := e.admin.Delete(context.Background(), service); client.IgnoreNotFound(err) != nil {
			t.Error(err)
		}
	})
	waitAnswer(t, "the agent is refused", act, "DefinitionsChanged")
	allowed(t, newImage(e.person(t, "erin"), web)(t.Context()))
	// Without it the API server serves them itself again.
	allowed(t, e.admin.Delete(t.Context(), service))
	waitAnswer(t, "the agent may act again", act, "")
}

// TestDeletedDefinition deletes the definition of policies, and all policies with it, under a running operator: their
// subjects stay refused, while it is gone, when it is back without them, and after a restart; until they are restored.
func TestDeletedDefinition(t *testing.T) {
	e := newEnvironment(t)
	namespace, agent, web := governed(t, e, images)
	act := newImage(agent, web)
	waitAnswer(t, "the agent may act", act, "")
	crd, err := e.definition(t.Context(), policiesDefinition)
	if err != nil {
		t.Fatal(err)
	}
	allowed(t, e.admin.Delete(t.Context(), crd))
	waitAnswer(t, "the agent is refused", act, "DefinitionsChanged")
	operatortest.Eventually(t, "the definition is gone", func(ctx context.Context) error {
		if _, err := e.definition(ctx, policiesDefinition); !apierrors.IsNotFound(err) {
			return fmt.Errorf("reading it: %w", err)
		}
		return nil
	})
	staysRefused(t, e, act)
	operatortest.ApplyDefinitions(t, e.admin)
	waitEntry(t, e, "lost.countersign.dev", true)
	staysRefused(t, e, act)

	allowed(t, e.operator.Kill())
	e.operator = operatortest.Start(t, e.plane.Kubeconfig("admin"))
	waitAnswer(t, "the agent is refused by an operator that has never known the policy", act, "DefinitionsChanged")
	allowed(t, newImage(e.person(t, "erin"), web)(t.Context()))
	other := e.namespace(t)
	stranger := e.agent(t, other)
	e.policy(t, other, images)
	e.waitGoverned(t, stranger, other)
	staysRefused(t, e, act)

	err = act(t.Context())
	if !strings.Contains(err.Error(), "have vanished with the resource definition of policies") {
		t.Errorf("the refusal is %v", err)
	}
	e.policy(t, namespace, images)
	waitAnswer(t, "the agent may act under the policy that is back", act, "")
	// The other policy came meanwhile, so that the subjects are not those that were: a person says that it is well.
	waitEntry(t, e, "lost.countersign.dev", true)
	allowed(t, e.admin.Delete(t.Context(), &admissionregistrationv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: actionsConfiguration}}))
	waitEntry(t, e, "lost.countersign.dev", false)
}

// TestRestoredDefinition brings back the very policies that have vanished: nobody has to say anything.
func TestRestoredDefinition(t *testing.T) {
	e := newEnvironment(t)
	namespace, agent, web := governed(t, e, images)
	act := newImage(agent, web)
	crd, err := e.definition(t.Context(), policiesDefinition)
	if err != nil {
		t.Fatal(err)
	}
	allowed(t, e.admin.Delete(t.Context(), crd))
	waitAnswer(t, "the agent is refused", act, "DefinitionsChanged")
	operatortest.Eventually(t, "the definition is back", func(ctx context.Context) error {
		_, err := e.definition(ctx, policiesDefinition)
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("it is still there: %w", err)
	})
	operatortest.ApplyDefinitions(t, e.admin)
	waitEntry(t, e, "lost.countersign.dev", true)
	e.policy(t, namespace, images)
	waitEntry(t, e, "lost.countersign.dev", false)
	waitAnswer(t, "the agent may act", act, "")
	p := e.policyNamed(t, "more-"+namespace, namespace, images)
	allowed(t, e.admin.Delete(t.Context(), p))
}

// staysRefused acts several times.
func staysRefused(t *testing.T, e *environment, act func(context.Context) error) {
	t.Helper()
	for range 20 {
		if err := answers(act(t.Context()), "DefinitionsChanged"); err != nil {
			t.Fatalf("%v\n%s", err, e.operator.LogText(t))
		}
	}
}

// waitEntry waits until the stored configuration has an entry, or has not.
func waitEntry(t *testing.T, e *environment, name string, want bool) {
	t.Helper()
	operatortest.Eventually(t, fmt.Sprintf("there is an entry %s: %v", name, want), func(ctx context.Context) error {
		stored := &admissionregistrationv1.ValidatingWebhookConfiguration{}
		if err := e.admin.Get(ctx, client.ObjectKey{Name: actionsConfiguration}, stored); err != nil {
			return err
		}
		has := slices.ContainsFunc(stored.Webhooks, func(w admissionregistrationv1.ValidatingWebhook) bool { return w.Name == name })
		if has != want {
			return fmt.Errorf("it is %v", has)
		}
		return nil
	})
}

// TestForgedApproval takes the status subresource from approvals, so that whoever may update one may write that it was
// approved: neither that nor honest consent lets an agent pass, and consent that was forged does not when it is back.
func TestForgedApproval(t *testing.T) {
	e := newEnvironment(t)
	s := newStory(t, e, consentToAll)
	honest := s.grant(t, s.scaling(t, 3))
	pending := s.asked(t, s.scaling(t, 4))
	restore := e.change(t, approvalsDefinition, func(crd *apiextensionsv1.CustomResourceDefinition) { crd.Spec.Versions[0].Subresources = nil })
	waitAnswer(t, "consent does not count", func(context.Context) error { return s.scaling(t, 3)() }, "DefinitionsChanged")
	forged := `{"status":{"conditions":[
{"type":"Decided","status":"True","reason":"Approved","message":"","lastTransitionTime":"2026-11-25T12:00:00Z"},
{"type":"Approved","status":"True","reason":"Approved","message":"","lastTransitionTime":"2026-11-25T12:00:00Z"}]}}`
	operatortest.Eventually(t, "the API server stores a forged status", func(ctx context.Context) error {
		if err := e.admin.Patch(ctx, pending, client.RawPatch(types.MergePatchType, []byte(forged))); err != nil {
			return err
		}
		if c := meta.FindStatusCondition(pending.Status.Conditions, v1alpha1.ApprovalApproved); c == nil || c.Status != metav1.ConditionTrue {
			return fmt.Errorf("it is %+v", pending.Status)
		}
		return nil
	})
	refused(t, s.scaling(t, 4)(), "DefinitionsChanged")
	refused(t, s.scaling(t, 3)(), "DefinitionsChanged")
	// What needs no consent is decided as ever.
	allowed(t, patch(t.Context(), s.agent, s.web, types.MergePatchType, `{"metadata":{}}`))

	restore()
	waitAnswer(t, "what was forged does not count", func(context.Context) error { return s.scaling(t, 4)() }, "ActionOutOfScope")
	redeem(t, s.scaling(t, 3))
	s.wantUses(t, honest, 1)
}

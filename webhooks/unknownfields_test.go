package webhooks_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/hack/controlplane"
	"github.com/countersign-dev/countersign/internal/operatortest"
)

// specOf is the schema of a spec.
func specOf(crd *apiextensionsv1.CustomResourceDefinition) map[string]apiextensionsv1.JSONSchemaProps {
	return crd.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"].Properties
}

// withQuota is the definition of policies as a later version might have it: tasks have a quota.
func withQuota(crd *apiextensionsv1.CustomResourceDefinition) {
	specOf(crd)["tasks"].Items.Schema.Properties["quota"] = apiextensionsv1.JSONSchemaProps{Type: "string"}
}

const (
	laterField  = "spec.tasks[0].quota"
	unknownToIt = ": Forbidden: this version of Countersign does not know the field"
)

// storeLater stores a policy of a later version. No version of the operator is there to be asked.
func (e *environment) storeLater(t *testing.T, namespace string) *unstructured.Unstructured {
	t.Helper()
	text := strings.NewReplacer("AGENT", "{kind: ServiceAccount, namespace: "+namespace+", name: agent}", "NAMESPACE", namespace).Replace(images)
	var spec map[string]any
	if err := yaml.Unmarshal([]byte(text), &spec); err != nil {
		t.Fatal(err)
	}
	spec["tasks"].([]any)[0].(map[string]any)["quota"] = "one a day"
	p := &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
	p.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("AgentActionPolicy"))
	p.SetName("p-" + namespace)
	operatortest.Eventually(t, "the API server stores the field", func(ctx context.Context) error {
		stored := p.DeepCopy()
		if err := e.admin.Create(ctx, stored); err != nil {
			return err
		}
		if fmt.Sprint(stored.Object["spec"]) != fmt.Sprint(p.Object["spec"]) {
			return fmt.Errorf("it has dropped it: %w", e.admin.Delete(ctx, stored))
		}
		return nil
	})
	t.Cleanup(func() {
		if err := e.admin.Delete(context.Background(), p); client.IgnoreNotFound(err) != nil {
			t.Error(err)
		}
	})
	return p
}

// waitUnknown waits until the status of a policy says that it has a field which the operator does not know.
func (e *environment) waitUnknown(t *testing.T, name string) {
	t.Helper()
	operatortest.Eventually(t, "policy "+name+" has an unknown field", func(ctx context.Context) error {
		var p v1alpha1.AgentActionPolicy
		if err := e.admin.Get(ctx, client.ObjectKey{Name: name}, &p); err != nil {
			return err
		}
		for _, kind := range []string{v1alpha1.PolicyReady, v1alpha1.PolicyEnforced} {
			c := meta.FindStatusCondition(p.Status.Conditions, kind)
			if c == nil || c.Status != "False" || c.Reason != v1alpha1.ReasonUnknownFields || !strings.Contains(c.Message, laterField) {
				return fmt.Errorf("condition %s is %+v", kind, c)
			}
		}
		return nil
	})
}

// TestPoliciesOfALaterVersion brings the definition of a later version, and a policy that uses it, under a running operator,
// as in an upgrade, and has the operator find both when it starts, as after a rollback. The policy refuses its subjects;
// nobody else notices.
func TestPoliciesOfALaterVersion(t *testing.T) {
	e := &environment{plane: controlplane.Shared(t)}
	e.admin = operatortest.NewClient(t, e.plane.AdminConfig())
	operatortest.ApplyDefinitions(t, e.admin)
	line := operatortest.NewLine(t, e.plane.Kubeconfig("admin"))
	e.operator = operatortest.Start(t, line.Kubeconfig)
	_, other, otherWeb := governed(t, e, images)
	unaffected := newImage(other, otherWeb)
	namespace := e.namespace(t)
	agent, web := e.agent(t, namespace), deployment(namespace, "web")
	allowed(t, e.admin.Create(t.Context(), web))
	act, person := newImage(agent, web), newImage(e.person(t, "erin"), web)

	// More than are read one by one, or on one page.
	for i := range 110 {
		e.policyNamed(t, fmt.Sprintf("many-%d-%s", i, namespace), fmt.Sprintf("nobody-%d", i), images)
	}

	// A replica of the later version would let the policy pass. There is none, so nobody is asked while it is stored.
	line.Cut()
	t.Cleanup(line.Restore)
	allowed(t, e.admin.Delete(t.Context(), &admissionregistrationv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "countersign-policies"}}))
	restore := e.change(t, policiesDefinition, withQuota)
	defer restore()
	later := e.storeLater(t, namespace)
	line.Restore()

	refusedByField := func(t *testing.T) {
		t.Helper()
		waitAnswer(t, "the agent is refused", act, "PolicyInvalid")
		if err := act(t.Context()); err == nil || !strings.Contains(err.Error(), laterField+unknownToIt) {
			t.Errorf("the refusal is %v", err)
		}
		e.waitUnknown(t, later.GetName())
		for range 5 {
			allowed(t, unaffected(t.Context()))
		}
		allowed(t, person(t.Context()))
	}
	refusedByField(t)
	t.Run("policies are written", func(t *testing.T) { testWritesOfALaterVersion(t, e, later) })
	allowed(t, e.operator.Kill())
	e.operator = operatortest.Start(t, e.plane.Kubeconfig("admin"))
	waitAnswer(t, "the others may act after a start", unaffected, "")
	refusedByField(t)
	t.Run("the field is taken out", func(t *testing.T) {
		e.waitPoliciesValidated(t)
		allowed(t, e.admin.Patch(t.Context(), later.DeepCopy(), client.RawPatch(types.JSONPatchType, []byte(`[{"op":"remove","path":"/spec/tasks/0/quota"}]`))))
		waitAnswer(t, "the agent may act", act, "")
		e.waitEnforced(t, &v1alpha1.AgentActionPolicy{ObjectMeta: metav1.ObjectMeta{Name: later.GetName()}})
		refused(t, patch(t.Context(), agent, web, types.MergePatchType, toFive), "FieldOutOfScope")
		allowed(t, unaffected(t.Context()))
	})
	t.Run("the definition is as it was", func(t *testing.T) {
		restore()
		for range 5 {
			allowed(t, unaffected(t.Context()))
			allowed(t, act(t.Context()))
		}
	})
}

// testWritesOfALaterVersion writes policies with a field that the operator does not know.
func testWritesOfALaterVersion(t *testing.T, e *environment, later *unstructured.Unstructured) {
	e.waitPoliciesValidated(t)
	unknown := func(err error) {
		t.Helper()
		if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), laterField+unknownToIt) {
			t.Errorf("the answer is %v", err)
		}
	}
	another := &unstructured.Unstructured{Object: map[string]any{"spec": later.Object["spec"]}}
	another.SetGroupVersionKind(later.GroupVersionKind())
	another.SetName("another-" + later.GetName())
	unknown(e.admin.Create(t.Context(), another, client.DryRunAll))
	change := func(body string) error {
		return e.admin.Patch(t.Context(), later.DeepCopy(), client.RawPatch(types.JSONPatchType, []byte(body)), client.DryRunAll)
	}
	unknown(change(`[{"op":"replace","path":"/spec/tasks/0/quota","value":"two a day"}]`))
	unknown(change(`[{"op":"add","path":"/spec/outOfScope","value":"Allow"}]`))
	allowed(t, change(`[{"op":"add","path":"/metadata/labels","value":{"a":"b"}}]`))
}

// TestApprovalsOfALaterVersion has consent say what the operator does not know. It lets nothing pass, and no verdict is
// recorded without what the approver said.
func TestApprovalsOfALaterVersion(t *testing.T) {
	e := newEnvironment(t)
	s := newStory(t, e, consentToAll)
	granted, pending := s.grant(t, s.scaling(t, 3)), s.asked(t, s.scaling(t, 4))
	restore := e.change(t, approvalsDefinition, func(crd *apiextensionsv1.CustomResourceDefinition) {
		specOf(crd)["decision"].Properties["limits"].Properties["hosts"] = apiextensionsv1.JSONSchemaProps{Type: "string"}
		specOf(crd)["later"] = apiextensionsv1.JSONSchemaProps{Type: "string"}
	})
	defer restore()
	const limited = `{"spec":{"decision":{"verdict":"Approve","limits":{"hosts":"one"}}}}`
	operatortest.Eventually(t, "a limit is refused that nobody would hold to", func(ctx context.Context) error {
		err := patch(ctx, s.person, pending, types.MergePatchType, limited)
		if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "spec.decision.limits.hosts"+unknownToIt) {
			return fmt.Errorf("the answer is %w", err)
		}
		return nil
	})
	// The operator may write what a later one writes.
	s.later(t, `{"spec":{"later":"x"}}`, granted, pending)
	if err := decide(t.Context(), s.person, pending, "Approve"); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "spec.later"+unknownToIt) {
		t.Errorf("a verdict is answered by %v", err)
	}
	for range 3 {
		if err := refused(t, s.scaling(t, 3)(), "ActionOutOfScope", "ApprovalUnusable"); !strings.Contains(err.Error(), "does not know its field spec.later") {
			t.Errorf("the refusal is %v", err)
		}
	}
	s.wantUses(t, granted, 0)

	s.later(t, `{"spec":{"later":null}}`, granted, pending)
	allowed(t, decide(t.Context(), s.person, pending, "Approve"))
	waitState(t, e, pending, "Approved")
	redeem(t, s.scaling(t, 3))
	s.wantUses(t, granted, 1)
}

// later patches approvals in the name of the operator.
func (s *story) later(t *testing.T, body string, approvals ...*v1alpha1.ActionApproval) {
	t.Helper()
	for _, a := range approvals {
		allowed(t, s.admin.Patch(t.Context(), a.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(body))))
	}
}

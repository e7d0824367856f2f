package webhooks_test

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/hack/controlplane"
	"github.com/countersign-dev/countersign/internal/operatortest"
)

// meddler is somebody else's mutating webhook, which is called after Countersign's.
type meddler struct {
	mu     sync.Mutex
	change func(*v1alpha1.ActionApproval)
	calls  int
}

func (m *meddler) handle(_ context.Context, r admission.Request) admission.Response {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls++
	a := &v1alpha1.ActionApproval{}
	if err := json.Unmarshal(r.Object.Raw, a); err != nil {
		return admission.Errored(http.StatusBadRequest, err)
	}
	if m.change != nil {
		m.change(a)
	}
	changed, err := json.Marshal(a)
	if err != nil {
		return admission.Errored(http.StatusInternalServerError, err)
	}
	return admission.PatchResponseFromRaw(r.Object.Raw, changed)
}

func (m *meddler) set(change func(*v1alpha1.ActionApproval)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.change = change
}

func (m *meddler) called() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.calls
}

// meddler starts the webhook and waits until the API server calls it for the approvals of the scene.
func (s *scene) meddler(t *testing.T) *meddler {
	t.Helper()
	m := &meddler{}
	server := httptest.NewTLSServer(&admission.Webhook{Handler: admission.HandlerFunc(m.handle)})
	t.Cleanup(server.Close)
	none := admissionregistrationv1.SideEffectClassNone
	config := &admissionregistrationv1.MutatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "zz-meddler-" + s.namespace},
		Webhooks: []admissionregistrationv1.MutatingWebhook{{
			Name: "meddler.example.com", SideEffects: &none, AdmissionReviewVersions: []string{"v1"}, Rules: updatesOfApprovals(),
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": s.namespace}},
			ClientConfig: admissionregistrationv1.WebhookClientConfig{
				URL:      &server.URL,
				CABundle: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}),
			},
		}},
	}
	s.createForTest(t, config)
	operatortest.Eventually(t, "the other webhook is called", func(ctx context.Context) error {
		err := patch(ctx, s.person(t, "erin"), s.request, types.MergePatchType, fmt.Sprintf(`{"metadata":{"labels":{"tried":"%d"}}}`, time.Now().UnixNano()))
		if m.called() == 0 {
			return errors.Join(errors.New("not yet"), err)
		}
		return err
	})
	return m
}

func updatesOfApprovals() []admissionregistrationv1.RuleWithOperations {
	return []admissionregistrationv1.RuleWithOperations{{
		Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Update},
		Rule: admissionregistrationv1.Rule{
			APIGroups: []string{"countersign.dev"}, APIVersions: []string{"v1alpha1"}, Resources: []string{"actionapprovals"},
		},
	}}
}

func (e *environment) createForTest(t *testing.T, o client.Object) {
	t.Helper()
	allowed(t, e.admin.Create(t.Context(), o))
	t.Cleanup(func() {
		if err := e.admin.Delete(context.Background(), o); client.IgnoreNotFound(err) != nil {
			t.Errorf("deleting %s: %v", o.GetName(), err)
		}
	})
}

// TestMeddlingWebhook has another webhook change what Countersign's has recorded.
func TestMeddlingWebhook(t *testing.T) {
	s := newEnvironment(t).scene(t, three)
	frank := s.person(t, "frank")
	allowed(t, decide(t.Context(), s.person(t, "erin"), s.request, "Approve"))
	m := s.meddler(t)
	last := func(change func(*v1alpha1.RecordedDecision)) func(*v1alpha1.ActionApproval) {
		return func(a *v1alpha1.ActionApproval) { change(&a.Spec.Decisions[len(a.Spec.Decisions)-1]) }
	}
	verdict, label := `{"spec":{"decision":{"verdict":"Approve"}}}`, `{"metadata":{"labels":{"seen":"by-frank"}}}`
	for name, tc := range map[string]struct {
		// body is what frank writes.
		body   string
		change func(*v1alpha1.ActionApproval)
		want   string
	}{
		"who decided":    {verdict, last(func(d *v1alpha1.RecordedDecision) { d.Approver.Username = "grace" }), "not who writes it"},
		"their groups":   {verdict, last(func(d *v1alpha1.RecordedDecision) { d.Approver.Groups = append(d.Approver.Groups, "sre") }), "not who writes it"},
		"the credential": {verdict, last(func(d *v1alpha1.RecordedDecision) { d.Approver.CredentialID = "" }), "not who writes it"},
		"when":           {verdict, last(func(d *v1alpha1.RecordedDecision) { d.Time.Time = d.Time.Add(-time.Minute) }), "away from the time"},
		"an earlier one": {verdict, func(a *v1alpha1.ActionApproval) { a.Spec.Decisions[0].Approver.Username = "grace" }, "cannot be changed or removed"},
		"all":            {verdict, func(a *v1alpha1.ActionApproval) { a.Spec.Decisions = nil }, "cannot be changed or removed"},
		"one more": {verdict, func(a *v1alpha1.ActionApproval) {
			a.Spec.Decisions = append(a.Spec.Decisions, a.Spec.Decisions[1])
			a.Spec.Decisions[2].Approver.Username = "grace"
		}, "one verdict at a time"},
		"somebody else's": {label, func(a *v1alpha1.ActionApproval) {
			a.Spec.Decisions = append(a.Spec.Decisions, a.Spec.Decisions[0])
			a.Spec.Decisions[1].Approver.Username = "grace"
		}, "not who writes it"},
		"the mailbox": {label, func(a *v1alpha1.ActionApproval) {
			a.Spec.Decision = &v1alpha1.Decision{Verdict: v1alpha1.VerdictApprove}
		}, "decisions are recorded by Countersign's webhook"},
		"the mailbox again": {verdict, func(a *v1alpha1.ActionApproval) {
			a.Spec.Decision = &v1alpha1.Decision{Verdict: v1alpha1.VerdictApprove}
		}, "decisions are recorded by Countersign's webhook"},
		"what was asked": {verdict, func(a *v1alpha1.ActionApproval) { a.Spec.Action.Changes = nil }, "what was asked cannot be changed"},
	} {
		t.Run(name, func(t *testing.T) {
			before := s.read(t)
			m.set(tc.change)
			checkRefusal(t, patch(t.Context(), frank, s.request, types.MergePatchType, tc.body), tc.want)
			if diff := cmp.Diff(before, s.read(t)); diff != "" {
				t.Errorf("something was stored (-before +after):\n%s", diff)
			}
		})
	}
	m.set(nil)
	allowed(t, decide(t.Context(), frank, s.request, "Approve"))
}

// TestMeddlingPolicy has an admission policy that the API server applies again after Countersign's webhook.
func TestMeddlingPolicy(t *testing.T) {
	controlplane.NeedFeature(t, controlplane.Shared(t), "MutatingAdmissionPolicy")
	s := newEnvironment(t).scene(t, three)
	frank := s.person(t, "frank")
	allowed(t, decide(t.Context(), s.person(t, "erin"), s.request, "Approve"))
	name := "meddler-" + s.namespace
	s.createForTest(t, &admissionregistrationv1.MutatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: admissionregistrationv1.MutatingAdmissionPolicySpec{
			ReinvocationPolicy: admissionregistrationv1.IfNeededReinvocationPolicy,
			MatchConstraints: &admissionregistrationv1.MatchResources{ResourceRules: []admissionregistrationv1.NamedRuleWithOperations{
				{RuleWithOperations: updatesOfApprovals()[0]},
			}},
			Mutations: []admissionregistrationv1.Mutation{{
				PatchType: admissionregistrationv1.PatchTypeJSONPatch,
				JSONPatch: &admissionregistrationv1.JSONPatch{
					// Before Countersign's webhook it does nothing.
					Expression: `size(object.spec.decisions) > size(oldObject.spec.decisions) ? ` +
						`[JSONPatch{op: "add", path: "/spec/decisions/-", value: object.spec.decisions[0]}] : []`,
				},
			}},
		},
	})
	s.createForTest(t, &admissionregistrationv1.MutatingAdmissionPolicyBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: admissionregistrationv1.MutatingAdmissionPolicyBindingSpec{PolicyName: name, MatchResources: &admissionregistrationv1.MatchResources{
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": s.namespace}},
		}},
	})
	before := s.read(t)
	body := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"decision":{"verdict":"Approve"}}}`))
	operatortest.Eventually(t, "the policy meddles, and is found out", func(ctx context.Context) error {
		err := frank.Patch(ctx, s.request.DeepCopy(), body, client.DryRunAll)
		if err == nil || !strings.Contains(err.Error(), "one verdict at a time") {
			return errors.Join(errors.New("not refused for it"), err)
		}
		return nil
	})
	checkRefusal(t, decide(t.Context(), frank, s.request, "Approve"), "one verdict at a time")
	if diff := cmp.Diff(before.Spec, s.read(t).Spec); diff != "" {
		t.Errorf("something was stored (-before +after):\n%s", diff)
	}
}

const stampConfiguration = "countersign-approvals"

// TestStampMissing has people decide while nobody records verdicts.
func TestStampMissing(t *testing.T) {
	e := newEnvironment(t)
	s := e.scene(t, asks)
	erin := s.person(t, "erin")
	waitState(t, e, s.request, "Pending")
	before := s.read(t)
	unchanged := func() {
		t.Helper()
		if diff := cmp.Diff(before, s.read(t)); diff != "" {
			t.Errorf("something was stored (-before +after):\n%s", diff)
		}
	}
	allowed(t, e.operator.Kill())
	checkRefusal(t, decide(t.Context(), erin, s.request, "Approve"), "failed calling webhook \"stamp")
	unchanged()
	configuration := &admissionregistrationv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: stampConfiguration}}
	allowed(t, e.admin.Delete(t.Context(), configuration))
	operatortest.Eventually(t, "the schema refuses the verdict", func(ctx context.Context) error {
		err := decide(ctx, erin, s.request, "Approve")
		if err == nil || !strings.Contains(err.Error(), "decisions are recorded by Countersign's webhook, which did not answer: nothing was stored, try again") {
			return errors.Join(errors.New("not refused by the schema"), err)
		}
		return nil
	})
	unchanged()
}

// TestStampVanishes deletes the configuration again and again while somebody decides.
func TestStampVanishes(t *testing.T) {
	e := newEnvironment(t)
	s := e.scene(t, three)
	erin := s.person(t, "erin")
	for range 50 {
		configuration := &admissionregistrationv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: stampConfiguration}}
		allowed(t, client.IgnoreNotFound(e.admin.Delete(t.Context(), configuration)))
		if err := decide(t.Context(), erin, s.request, "Approve"); err != nil {
			checkRefusal(t, err, "decisions are recorded by Countersign's webhook, which did not answer")
		}
		if a := s.read(t); a.Spec.Decision != nil || len(a.Spec.Decisions) > 1 {
			t.Fatalf("stored are %+v and %+v", a.Spec.Decision, a.Spec.Decisions)
		}
	}
	operatortest.Eventually(t, "verdicts are recorded again", func(ctx context.Context) error { return decide(ctx, erin, s.request, "Approve") })
	s.checkRecorded(t, []string{"erin Approve because"})
}

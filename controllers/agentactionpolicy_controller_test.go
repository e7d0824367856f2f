package controllers_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	eventsv1 "k8s.io/api/events/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	certutil "k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/retry"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/yaml"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/controllers"
	"github.com/countersign-dev/countersign/hack/controlplane"
	"github.com/countersign-dev/countersign/internal/canary"
	"github.com/countersign-dev/countersign/internal/definitions"
	"github.com/countersign-dev/countersign/internal/heartbeat"
	"github.com/countersign-dev/countersign/internal/operatortest"
	"github.com/countersign-dev/countersign/internal/policy"
	"github.com/countersign-dev/countersign/internal/registry"
)

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	controlplane.Main(m, controlplane.Options{ControllerManager: true})
}

func adminClient(t *testing.T) client.Client {
	t.Helper()
	c := operatortest.NewClient(t, controlplane.Shared(t).AdminConfig())
	operatortest.ApplyDefinitions(t, c)
	return c
}

// bench is a policy with the reconcilers around it, driven by hand under a clock that tests set.
type bench struct {
	client.Client
	clock         *clocktesting.FakePassiveClock
	registry      *registry.Registry
	policies      *controllers.AgentActionPolicyReconciler
	configuration *controllers.WebhookConfigurationReconciler
	recorder      *events.FakeRecorder
	stored        *v1alpha1.AgentActionPolicy
	// canary and replicas are what these say. A canary that is up has seen the configuration as it is stored.
	canary   canary.Status
	replicas heartbeat.Standing
	// untrusted is why Countersign's kinds cannot be trusted.
	untrusted error
}

const policySpec = `
enforcement: Enforce
subjects: [{kind: ServiceAccount, namespace: ci, name: bot}]
timeZone: Europe/Berlin
windows:
- {name: nights, weekly: {days: [Mon, Tue, Wed, Thu], start: "22:00", end: "06:00"}}
- {name: early, weekly: {days: [Mon], start: "20:00", end: "21:00"}}
- {name: year-end, once: {from: "2026-12-18T17:00:00+01:00", to: "2027-01-04T08:00:00+01:00"}}
changeWindows: {allowed: [nights]}
freezes: [{window: year-end, reason: Year-end close}]
tasks:
- name: images
  scope: {resourceRules: [{apiGroups: [apps], resources: [deployments], operations: [UPDATE]}]}
  changeWindows: {allowed: [early]}
`

func newBench(t *testing.T, spec string, now time.Time) *bench {
	t.Helper()
	b := &bench{
		Client: adminClient(t), clock: clocktesting.NewFakePassiveClock(now), recorder: events.NewFakeRecorder(100),
		registry: registry.New(policy.Identity{Username: "operator"}, policy.Operator{}),
		stored:   &v1alpha1.AgentActionPolicy{ObjectMeta: metav1.ObjectMeta{GenerateName: "p-"}},
	}
	endpoint := controllers.Endpoint{URL: "https://127.0.0.1:1"}
	authority, _, err := certutil.GenerateSelfSignedCertKey("127.0.0.1", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	bundle := func() ([]byte, error) { return authority, nil }
	b.policies = &controllers.AgentActionPolicyReconciler{
		Client: b, Registry: b.registry, Endpoint: endpoint, CABundle: bundle, Recorder: b.recorder, Clock: b.clock,
		Canary: func() canary.Status { return b.canary }, Replicas: func(string) heartbeat.Standing { return b.replicas },
		Definitions: func() error { return b.untrusted },
	}
	b.configuration = &controllers.WebhookConfigurationReconciler{
		Client: b, Live: b, Registry: b.registry, Endpoint: endpoint, CABundle: bundle, Recorder: b.recorder,
	}
	if err := yaml.UnmarshalStrict([]byte(spec), &b.stored.Spec); err != nil {
		t.Fatal(err)
	}
	if err := b.Create(t.Context(), b.stored); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.remove(t) })
	return b
}

// remove leaves nothing behind: what these configurations name does not answer.
func (b *bench) remove(t *testing.T) {
	t.Helper()
	configuration := &admissionregistrationv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: controllers.ActionsConfiguration}}
	for _, o := range []client.Object{configuration, b.stored} {
		if err := b.Delete(context.Background(), o); client.IgnoreNotFound(err) != nil {
			t.Error(err)
		}
	}
}

// reconcile runs the policy's reconciler once and reads the policy.
func (b *bench) reconcile(t *testing.T) reconcile.Result {
	t.Helper()
	result, err := b.policies.Reconcile(t.Context(), reconcile.Request{NamespacedName: client.ObjectKeyFromObject(b.stored)})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Get(t.Context(), client.ObjectKeyFromObject(b.stored), b.stored); err != nil {
		t.Fatal(err)
	}
	return result
}

func (b *bench) configure(t *testing.T) error {
	t.Helper()
	_, err := b.configuration.Reconcile(t.Context(), reconcile.Request{NamespacedName: client.ObjectKey{Name: controllers.ActionsConfiguration}})
	return err
}

// prove has the canary say that it was refused since the configuration was stored.
func (b *bench) prove(t *testing.T) {
	t.Helper()
	stored := &admissionregistrationv1.ValidatingWebhookConfiguration{}
	if err := b.Get(t.Context(), client.ObjectKey{Name: controllers.ActionsConfiguration}, stored); err != nil {
		t.Fatal(err)
	}
	b.canary = canary.Status{Up: true, Result: canary.Result{Outcome: canary.Refused}, Proven: stored.ResourceVersion}
}

func (b *bench) condition(t *testing.T, kind string) metav1.Condition {
	t.Helper()
	c := meta.FindStatusCondition(b.stored.Status.Conditions, kind)
	if c == nil {
		t.Fatalf("there is no condition %s: %+v", kind, b.stored.Status)
	}
	return *c
}

func berlin(t *testing.T, s string) time.Time {
	t.Helper()
	parsed, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// TestTransitions steps a clock through a window and checks that the reconciler asks to come back at each change.
func TestTransitions(t *testing.T) {
	at := func(s string) time.Time { return berlin(t, s) }
	b := newBench(t, policySpec, at("2026-11-23T12:00:00+01:00"))
	b.registry.Update([]*v1alpha1.AgentActionPolicy{b.stored})
	steps := []struct {
		now, next string
		state     v1alpha1.WindowState
		task      v1alpha1.WindowState
		column    string
	}{
		{"2026-11-23T12:00:00+01:00", "2026-11-23T20:00:00+01:00", "Closed", "Closed", "Mon 2026-11-23 22:00 CET"},
		{"2026-11-23T20:00:00+01:00", "2026-11-23T21:00:00+01:00", "Closed", "Open", "Mon 2026-11-23 22:00 CET"},
		{"2026-11-23T21:59:59.999999999+01:00", "2026-11-23T22:00:00+01:00", "Closed", "Closed", "Mon 2026-11-23 22:00 CET"},
		{"2026-11-23T22:00:00+01:00", "2026-11-24T06:00:00+01:00", "Open", "Closed", "Tue 2026-11-24 06:00 CET"},
		{"2026-11-24T06:00:00+01:00", "2026-11-24T22:00:00+01:00", "Closed", "Closed", "Tue 2026-11-24 22:00 CET"},
		{"2026-12-18T17:00:00+01:00", "2026-12-21T20:00:00+01:00", "Frozen", "Closed", "Mon 2027-01-04 22:00 CET"},
	}
	for _, s := range steps {
		b.clock.SetTime(at(s.now))
		result := b.reconcile(t)
		if want := at(s.next).Sub(at(s.now)); result.RequeueAfter != want {
			t.Errorf("at %s it comes back after %s, want %s", s.now, result.RequeueAfter, want)
		}
		window := b.stored.Status.Window
		if window.State != s.state || window.Next != s.column {
			t.Errorf("at %s the window is %s until %q, want %s until %q", s.now, window.State, window.Next, s.state, s.column)
		}
		if task := b.stored.Status.Tasks[0]; task.Window != s.task {
			t.Errorf("at %s the task is %s, want %s", s.now, task.Window, s.task)
		}
	}
	version := b.stored.ResourceVersion
	b.reconcile(t)
	if b.stored.ResourceVersion != version {
		t.Error("a second pass at the same instant writes the status again")
	}
}

// TestEnforced follows the condition through the steps that lead to it and away from it.
func TestEnforced(t *testing.T) {
	b := newBench(t, policySpec, time.Now())
	b.reconcile(t)
	if len(b.stored.Status.Conditions) != 0 {
		t.Errorf("a policy that nobody has compiled has conditions: %+v", b.stored.Status)
	}
	b.registry.Update([]*v1alpha1.AgentActionPolicy{b.stored.DeepCopy()})
	b.reconcile(t)
	if c := b.condition(t, v1alpha1.PolicyEnforced); c.Reason != v1alpha1.ReasonConfigurationPending {
		t.Errorf("without a webhook configuration the condition is %+v", c)
	}
	if err := b.configure(t); err != nil {
		t.Fatal(err)
	}
	testProof(t, b)
	b.stored.Spec.Subjects[0].Name = "other"
	if err := b.Update(t.Context(), b.stored); err != nil {
		t.Fatal(err)
	}
	b.reconcile(t)
	if c := b.condition(t, v1alpha1.PolicyEnforced); c.Reason != v1alpha1.ReasonNotServing || c.ObservedGeneration != 2 {
		t.Errorf("before the new generation is compiled the condition is %+v", c)
	}
	if got := <-b.recorder.Events; !strings.Contains(got, "Normal Compiled") {
		t.Errorf("the event is %q", got)
	}
}

// testProof follows the condition through what the canary and the replicas say.
func testProof(t *testing.T, b *bench) {
	t.Helper()
	want := func(what string, status metav1.ConditionStatus, reason, text string) {
		t.Helper()
		b.reconcile(t)
		c := b.condition(t, v1alpha1.PolicyEnforced)
		if c.Status != status || c.Reason != reason || !strings.Contains(c.Message, text) {
			t.Errorf("%s: the condition is %+v", what, c)
		}
	}
	want("the canary has not asked", metav1.ConditionFalse, v1alpha1.ReasonCanaryPending, "not been refused yet")
	b.canary = canary.Status{Up: true, Proven: "another version"}
	want("the canary was refused before", metav1.ConditionFalse, v1alpha1.ReasonCanaryPending, "not been refused yet")
	b.prove(t)
	b.replicas = heartbeat.Standing{Lagging: []string{"pod-1", "pod-2"}, Patient: true}
	want("replicas lag", metav1.ConditionFalse, v1alpha1.ReasonReplicasPending, "by pod-1, pod-2;")
	b.replicas = heartbeat.Standing{}
	want("refused, everywhere", metav1.ConditionTrue, v1alpha1.ReasonServing, "canary was refused")
	version := b.stored.ResourceVersion
	b.canary.Proven = "another version"
	b.replicas = heartbeat.Standing{Lagging: []string{"pod-1"}, Patient: true}
	want("another policy changes", metav1.ConditionTrue, v1alpha1.ReasonServing, "canary was refused")
	if b.stored.ResourceVersion != version {
		t.Error("the change of another policy is written into the status")
	}
	b.replicas.Patient = false
	want("a replica does not follow", metav1.ConditionFalse, v1alpha1.ReasonReplicasPending, "by pod-1;")
	b.replicas = heartbeat.Standing{Blind: []string{"pod-2: Passed"}}
	want("another replica's canary passes", metav1.ConditionFalse, v1alpha1.ReasonCanaryNotRefused, "from pod-2: Passed")
	b.replicas = heartbeat.Standing{}
	for outcome, text := range map[canary.Outcome]string{
		canary.Passed: "agents are not refused", canary.Unanswered: "agents are refused everything",
		canary.Forbidden: "stopped before", canary.Unreachable: "gets no answer", "": "nobody knows",
	} {
		b.canary = canary.Status{Down: true, Result: canary.Result{Outcome: outcome}}
		want("the canary is answered "+string(outcome), metav1.ConditionFalse, v1alpha1.ReasonCanaryNotRefused, text)
	}
	b.untrusted = &definitions.ChangedError{Name: definitions.Approvals, Problem: "it is gone"}
	want("a definition is gone", metav1.ConditionFalse, v1alpha1.ReasonDefinitionsChanged, definitions.Approvals+" is not as it was installed: it is gone")
	b.untrusted = nil
	b.prove(t)
	want("refused again", metav1.ConditionTrue, v1alpha1.ReasonServing, "canary was refused")
}

func TestNotReady(t *testing.T) {
	b := newBench(t, strings.Replace(policySpec, "allowed: [nights]", "allowed: [days]", 1), time.Now())
	b.registry.Update([]*v1alpha1.AgentActionPolicy{b.stored})
	b.reconcile(t)
	c := b.condition(t, v1alpha1.PolicyReady)
	if c.Status != metav1.ConditionFalse || c.Reason != v1alpha1.ReasonInvalid || !strings.Contains(c.Message, "spec.changeWindows.allowed[0]") {
		t.Errorf("the condition is %+v", c)
	}
	if got := <-b.recorder.Events; !strings.Contains(got, "Warning Invalid") {
		t.Errorf("the event is %q", got)
	}
}

// TestOwner checks that no configuration is written without the ClusterRole that would take it along.
func TestOwner(t *testing.T) {
	b := newBench(t, policySpec, time.Now())
	b.registry.Update([]*v1alpha1.AgentActionPolicy{b.stored})
	b.configuration.OwnerClusterRole = "anchor"
	if err := b.configure(t); !apierrors.IsNotFound(err) {
		t.Fatalf("without the owner the answer is %v", err)
	}
	anchor := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "anchor"}}
	if err := b.Create(t.Context(), anchor); err != nil {
		t.Fatal(err)
	}
	if err := b.configure(t); err != nil {
		t.Fatal(err)
	}
	if err := b.Delete(t.Context(), anchor); err != nil {
		t.Fatal(err)
	}
	operatortest.Eventually(t, "the configuration goes with its owner", func(ctx context.Context) error {
		err := b.Get(ctx, client.ObjectKey{Name: controllers.ActionsConfiguration}, &admissionregistrationv1.ValidatingWebhookConfiguration{})
		if err == nil {
			return fmt.Errorf("it is still there")
		}
		return client.IgnoreNotFound(err)
	})
	if err := b.configure(t); !apierrors.IsNotFound(err) {
		t.Errorf("after the owner has gone the answer is %v", err)
	}
}

// TestDrift changes and deletes the stored configuration under a running operator.
func TestDrift(t *testing.T) {
	c := adminClient(t)
	address := fmt.Sprintf("127.0.0.1:%d", operatortest.FreePort(t))
	operatortest.Start(t, controlplane.Shared(t).Kubeconfig("admin"), "--metrics-bind-address", address)
	key := client.ObjectKey{Name: controllers.PoliciesConfiguration}
	stored := &admissionregistrationv1.ValidatingWebhookConfiguration{}
	whole := func(ctx context.Context) error {
		if err := c.Get(ctx, key, stored); err != nil {
			return err
		}
		if len(stored.Webhooks) != 3 || *stored.Webhooks[0].FailurePolicy != admissionregistrationv1.Fail ||
			len(stored.Webhooks[0].ObjectSelector.MatchLabels) != 0 {
			return fmt.Errorf("the configuration is %+v", stored.Webhooks)
		}
		return nil
	}
	operatortest.Eventually(t, "the configuration is there", whole)
	for name, change := range map[string]func(){
		"weakened": func() {
			ignore := admissionregistrationv1.Ignore
			stored.Webhooks[0].FailurePolicy = &ignore
		},
		"selective": func() {
			stored.Webhooks[0].ObjectSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"a": "b"}}
		},
		"emptied": func() { stored.Webhooks = nil },
	} {
		// The operator writes here at any time, for instance the level of protection.
		err := retry.RetryOnConflict(retry.DefaultBackoff, func() error {
			if err := c.Get(t.Context(), key, stored); err != nil {
				return err
			}
			change()
			return c.Update(t.Context(), stored)
		})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		operatortest.Eventually(t, "the configuration that was "+name+" is repaired", whole)
	}
	if err := c.Delete(t.Context(), stored); err != nil {
		t.Fatal(err)
	}
	operatortest.Eventually(t, "the configuration that was deleted is there again", whole)
	// What happens again soon is counted in the event of the first.
	operatortest.Eventually(t, "an event tells of it", func(ctx context.Context) error {
		var list eventsv1.EventList
		if err := c.List(ctx, &list); err != nil {
			return err
		}
		for i := range list.Items {
			e := &list.Items[i]
			if e.Reason == controllers.ReasonDrift && e.Regarding.Name == controllers.PoliciesConfiguration && strings.Contains(e.Note, "It is being repaired") {
				return nil
			}
		}
		return errors.New("there is none")
	})
	operatortest.Eventually(t, "repairs are counted", func(ctx context.Context) error {
		text, err := operatortest.Fetch(ctx, "http://"+address+"/metrics")
		want := `countersign_admission_drift_total{kind="ValidatingWebhookConfiguration",name="countersign-policies"} 4`
		if err == nil && !strings.Contains(text, "\n"+want+"\n") {
			err = fmt.Errorf("the metrics are %s", text)
		}
		return err
	})
}

package webhooks_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
)

// chained is a policy that grants everything but a probe, and a guard that sees what the agent did.
const chained = `
enforcement: Enforce
subjects: [AGENT]
tasks:
- name: work
  scope:
    resourceRules:
    - {apiGroups: [""], resources: [secrets], operations: ["*"]}
    - {apiGroups: [apps], resources: [deployments], operations: ["*"]}
    - {apiGroups: [rbac.authorization.k8s.io], resources: [roles], operations: ["*"]}
approval:
  requirements:
  - {name: sre, approvers: [{kind: User, name: erin}], minApprovals: 1}
guards:
`

const fewDeletes = chained + `
- name: few-deletes
  resourceRules: [{apiGroups: ["*"], resources: ["*"], operations: [DELETE]}]
  expression: recent.filter(a, a.operation == 'DELETE' && now - a.time < duration('10m')).size() < 3
  messageExpression: "'deleted ' + string(recent.filter(a, a.operation == 'DELETE').size()) + ' objects within 10 minutes'"
  lookBack: 10m
`

const quietAfterRights = chained + `
- name: quiet-after-rights
  resourceRules: [{apiGroups: [apps], resources: [deployments], operations: ["*"]}]
  expression: "!recent.exists(a, a.group == 'rbac.authorization.k8s.io' || a.group == '' && a.resource == 'secrets')"
  messageExpression: "'no Deployment is changed within 30 minutes after rights or Secrets'"
  lookBack: 30m
`

const firstTimeHere = chained + `
- name: first-time-here
  expression: recent.exists(a, a.namespace == request.namespace)
  messageExpression: "'the first action in namespace ' + request.namespace + ' for a week'"
  lookBack: 168h
  whenViolated: RequireApproval
`

func TestRecent(t *testing.T) {
	e := newEnvironment(t)
	for name, test := range map[string]func(*testing.T, *environment){
		"at most three deletes":                  testFewDeletes,
		"a collection ends at the third":         testFewOfCollection,
		"quiet after rights":                     testQuietAfterRights,
		"the first time in a namespace asks":     testFirstTimeHere,
		"guards run again after what came first": testGuardsInParallel,
	} {
		t.Run(name, func(t *testing.T) { test(t, e) })
	}
}

func testFewDeletes(t *testing.T, e *environment) {
	namespace, agent, _ := governed(t, e, fewDeletes)
	for i := range 4 {
		s := plainSecret(namespace, fmt.Sprintf("s-%d", i))
		allowed(t, agent.Create(t.Context(), s))
		if i < 3 {
			allowed(t, agent.Delete(t.Context(), s))
			continue
		}
		err := refused(t, agent.Delete(t.Context(), s), "GuardViolated")
		if want := "guard few-deletes (policy p-" + namespace + "): deleted 3 objects within 10 minutes"; !strings.Contains(err.Error(), want) {
			t.Errorf("the refusal does not say %q:\n%s", want, err)
		}
	}
	e.wantDid(t, agent, 7)
}

func testFewOfCollection(t *testing.T, e *environment) {
	namespace, agent, _ := governed(t, e, fewDeletes)
	for i := range 5 {
		s := plainSecret(namespace, fmt.Sprintf("s-%d", i))
		s.Labels = map[string]string{"set": "one"}
		allowed(t, e.admin.Create(t.Context(), s))
	}
	refused(t, agent.DeleteAllOf(t.Context(), plainSecret(namespace, ""), client.InNamespace(namespace), client.MatchingLabels{"set": "one"}),
		"GuardViolated")
	e.wantDid(t, agent, 3)
}

// testGuardsInParallel deletes ten objects at once, of which three may go.
func testGuardsInParallel(t *testing.T, e *environment) {
	namespace, agent, _ := governed(t, e, fewDeletes)
	for i := range 10 {
		allowed(t, e.admin.Create(t.Context(), plainSecret(namespace, fmt.Sprintf("s-%d", i))))
	}
	if passed := atOnce(10, func(i int) error {
		return agent.Delete(t.Context(), plainSecret(namespace, fmt.Sprintf("s-%d", i)))
	}); passed != 3 {
		t.Errorf("%d of 10 deletions pass, want 3", passed)
	}
	e.wantDid(t, agent, 3)
}

func testQuietAfterRights(t *testing.T, e *environment) {
	namespace, agent, web := governed(t, e, quietAfterRights)
	allowed(t, patch(t.Context(), agent, web, types.MergePatchType, `{"spec":{"replicas":3}}`))
	role := &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "reader"}}
	allowed(t, agent.Create(t.Context(), role, client.DryRunAll))
	allowed(t, patch(t.Context(), agent, web, types.MergePatchType, `{"spec":{"replicas":4}}`))
	allowed(t, agent.Create(t.Context(), role))
	refused(t, patch(t.Context(), agent, web, types.MergePatchType, `{"spec":{"replicas":5}}`), "GuardViolated")
	refused(t, scale(t.Context(), agent, web, 5), "GuardViolated")
	allowed(t, agent.Create(t.Context(), plainSecret(namespace, "s"))) // the guard is not about it
}

func testFirstTimeHere(t *testing.T, e *environment) {
	namespace, agent, _ := governed(t, e, firstTimeHere)
	elsewhere := e.namespace(t)
	for _, here := range []string{namespace, elsewhere} {
		first := func() error { return agent.Create(t.Context(), plainSecret(here, "first")) }
		a := grant(t, e, here, first)
		if got := a.Spec.Reasons[0]; got.Type != "GuardViolated" || got.Name != "first-time-here" {
			t.Errorf("the reason is %+v", got)
		}
		allowed(t, first())
		allowed(t, agent.Create(t.Context(), plainSecret(here, "second")))
	}
	e.wantDid(t, agent, 4)
}

// sliding is a policy whose budget is two actions in ten minutes.
var sliding = strings.Replace(budgeted, "budget: {maxActions: MOST, per: 1h}", "budget: {maxActions: 2, per: 10m}", 1)

// TestSlidingWindow steps the clock of a webhook over the instants at which a budget has room again.
func TestSlidingWindow(t *testing.T) {
	h := newHandlerFor(t, sliding)
	h.start = h.start.Add(-time.Hour)
	for _, step := range []struct {
		after time.Duration
		name  string
		want  bool
	}{
		{0, "one", true},
		{0, "one", true}, // reviewed again
		{4 * time.Minute, "two", true},
		{4*time.Minute + time.Second, "three", false},
		{10*time.Minute - 1, "three", false},
		{10 * time.Minute, "three", true}, // the first is past
		{10 * time.Minute, "four", false},
		{14*time.Minute - 1, "four", false},
		{14 * time.Minute, "four", true},
		{19 * time.Minute, "three", true}, // reviewed again, but much later: it counts from now on
		{24 * time.Minute, "five", true},  // the fourth is past
		{24 * time.Minute, "six", false},  // and the third would be, had it passed but once
		{29 * time.Minute, "six", true},
		{5 * 24 * time.Hour, "seven", true},
	} {
		h.clock.SetTime(h.start.Add(step.after))
		got := h.creation(t, step.name)
		if got.Allowed != step.want {
			t.Errorf("%s after the first, %s is allowed: %t (%+v)", step.after, step.name, got.Allowed, got.Result)
		}
	}
}

// TestBudgetOfOneProcess sends forty reviews at once to one webhook, of which two may pass.
func TestBudgetOfOneProcess(t *testing.T) {
	h := newHandlerFor(t, sliding)
	answers := make([]admission.Response, 40)
	if passed := atOnce(len(answers), func(i int) error {
		if answers[i] = h.creation(t, fmt.Sprint(i)); !answers[i].Allowed {
			return errors.New(answers[i].Result.Message)
		}
		return nil
	}); passed != 2 {
		t.Errorf("%d pass, want 2", passed)
	}
	for _, r := range answers {
		if !r.Allowed && !strings.Contains(r.Result.Message, "budget of task secrets") {
			t.Errorf("the answer is %s", r.Result.Message)
		}
	}
}

// creation has the creation of a Secret reviewed, which has the UID of its name.
func (h *handler) creation(t *testing.T, name string) admission.Response {
	t.Helper()
	namespace := h.web.Namespace
	s := plainSecret(namespace, name)
	s.UID, s.APIVersion, s.Kind = types.UID("uid-of-"+name), "v1", "Secret"
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return h.Handle(t.Context(), admission.Request{AdmissionRequest: admissionv1.AdmissionRequest{
		UID: "review", Operation: admissionv1.Create, Namespace: namespace, Name: name,
		Kind:     metav1.GroupVersionKind{Version: "v1", Kind: "Secret"},
		Resource: metav1.GroupVersionResource{Version: "v1", Resource: "secrets"},
		UserInfo: authenticationv1.UserInfo{Username: "system:serviceaccount:" + namespace + ":agent", UID: h.agentUID},
		Object:   runtime.RawExtension{Raw: text},
	}})
}

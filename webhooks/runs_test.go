package webhooks_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/action"
	"github.com/countersign-dev/countersign/internal/approval"
	"github.com/countersign-dev/countersign/internal/operatortest"
)

// runs is a policy with tasks that need consent, which is good for a run of three, or two, actions.
const runs = `
enforcement: Enforce
subjects: [AGENT, OTHER]
outOfScope: RequireApproval
timeZone: UTC
windows: [{name: long-ago, once: {from: "2020-01-01T00:00:00Z", to: "2020-01-02T00:00:00Z"}}]
tasks:
- name: set-data
  scope:
    resourceRules: [{apiGroups: [""], resources: [configmaps], operations: [UPDATE]}]
    namespaces: [NAMESPACE, "other-*"]
    fields: [data]
  changeWindows: {allowed: [long-ago], whenClosed: RequireApproval}
  approval: {when: Always, covers: Task, maxActions: 3, validFor: 30m}
- name: tidy-up
  scope:
    resourceRules: [{apiGroups: [""], resources: [pods], operations: [DELETE]}]
    namespaces: [NAMESPACE]
  approval: {when: Always, covers: Task, maxActions: 2}
- name: add-services
  scope:
    resourceRules: [{apiGroups: [""], resources: [services], operations: [CREATE]}]
    namespaces: [NAMESPACE]
  approval: {when: Always}
approval:
  validFor: 2h
  requestExpiresAfter: 20m
  requirements:
  - {name: sre, approvers: [{kind: User, name: erin}, {kind: User, name: frank}], minApprovals: 1}
`

// TestRuns goes through a real API server: consent to one run of a task.
func TestRuns(t *testing.T) {
	e := newEnvironment(t)
	for name, test := range map[string]func(*testing.T, *environment){
		"asked by a refusal, good for several":      testRunOfSeveral,
		"asked for ahead":                           testRunAhead,
		"narrowed by a person":                      testRunNarrowed,
		"out of the task's scope":                   testRunOutOfScope,
		"in one namespace, by one agent":            testRunElsewhere,
		"a changed policy ends it":                  testRunOfChangedPolicy,
		"taken back":                                testRunRevoked,
		"forged":                                    testForgedRuns,
		"named by the agent":                        testRunNamed,
		"that nobody could grant":                   testHopelessRuns,
		"asked for twice, and after a denial":       testRunAgain,
		"deletions with all their reviews":          testRunOfDeletions,
		"no more than allowed of parallel requests": testRunExactly,
		"a granted one before one that waits":       testRunBesidePending,
		"many in a row":                             testManyRuns,
	} {
		t.Run(name, func(t *testing.T) { test(t, e) })
	}
}

// crew is an agent with some ConfigMaps to change, under a policy that names another agent as well.
type crew struct {
	namespace    string
	agent, other *identity
	policy       *v1alpha1.AgentActionPolicy
	things       []*corev1.ConfigMap
}

func newCrew(t *testing.T, e *environment, spec string) *crew {
	t.Helper()
	c := &crew{namespace: e.namespace(t)}
	c.agent, c.other = e.agent(t, c.namespace), e.agentNamed(t, c.namespace, "other")
	for i := range 6 {
		thing := configMap(c.namespace, fmt.Sprintf("thing-%d", i))
		allowed(t, e.admin.Create(t.Context(), thing))
		c.things = append(c.things, thing)
	}
	other := "{kind: ServiceAccount, namespace: " + c.namespace + ", name: other}"
	c.policy = e.policy(t, c.namespace, strings.Replace(spec, "OTHER", other, 1))
	e.waitGoverned(t, c.agent, c.namespace)
	e.waitGoverned(t, c.other, c.namespace)
	return c
}

// set changes one ConfigMap within the task.
func (c *crew) set(ctx context.Context, who *identity, i int, value string) error {
	return patch(ctx, who, c.things[i], types.MergePatchType, `{"data":{"key":"`+value+`"}}`)
}

func (c *crew) asked(t *testing.T, e *environment, i int) *v1alpha1.ActionApproval {
	t.Helper()
	return asked(t, e, c.namespace, func() error { return c.set(t.Context(), c.agent, i, "new") })
}

// ahead creates a request for a run, from nothing but what the YAML says.
func ahead(ctx context.Context, who *identity, namespace, name, spec string) (*v1alpha1.ActionApproval, error) {
	o := &unstructured.Unstructured{Object: map[string]any{}}
	if err := yaml.UnmarshalStrict([]byte("apiVersion: countersign.dev/v1alpha1\nkind: ActionApproval\n"+spec), &o.Object); err != nil {
		return nil, fmt.Errorf("reading a request: %w", err)
	}
	if o.GetName() == "" {
		o.SetName(name)
	}
	o.SetNamespace(namespace)
	return &v1alpha1.ActionApproval{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: o.GetName()}},
		who.Create(ctx, o, client.FieldValidation(metav1.FieldValidationStrict))
}

// setData asks for a run of set-data and nothing else.
func (c *crew) setData() string {
	return "spec: {task: {policy: " + c.policy.Name + ", name: set-data}, justification: new settings for tonight}\n"
}

func (c *crew) ahead(t *testing.T, name string) *v1alpha1.ActionApproval {
	t.Helper()
	a, err := ahead(t.Context(), c.agent, c.namespace, name, c.setData())
	allowed(t, err)
	return a
}

func approveRun(t *testing.T, e *environment, a *v1alpha1.ActionApproval) {
	t.Helper()
	allowed(t, decide(t.Context(), e.person(t, "erin"), a, "Approve"))
	waitState(t, e, a, "Approved")
}

// checkUses compares how many uses were made, and how many are left.
func checkUses(t *testing.T, e *environment, a *v1alpha1.ActionApproval, used, left int) {
	t.Helper()
	allowed(t, e.admin.Get(t.Context(), client.ObjectKeyFromObject(a), a))
	if len(a.Status.Uses) != used || a.Status.Remaining == nil || int(*a.Status.Remaining) != left {
		t.Errorf("approval %s has uses %+v and %v left, want %d and %d", a.Name, a.Status.Uses, a.Status.Remaining, used, left)
	}
}

func testRunOfSeveral(t *testing.T, e *environment) {
	c := newCrew(t, e, runs)
	run := c.asked(t, e, 0)
	task := run.Spec.Task
	if task == nil || run.Spec.Action != nil || *task != (v1alpha1.RequestedTask{Policy: c.policy.Name, Name: "set-data", MaxActions: 3, ValidFor: "30m"}) {
		t.Fatalf("the request is for %+v and %+v", task, run.Spec.Action)
	}
	if other := c.asked(t, e, 1); other.Name != run.Name {
		t.Errorf("another action of the task opens %s beside %s", other.Name, run.Name)
	}
	approveRun(t, e, run)
	for i := range 3 {
		allowed(t, c.set(t.Context(), c.agent, i, "new"))
	}
	checkUses(t, e, run, 3, 0)
	next := c.asked(t, e, 3)
	if next.Name == run.Name || next.Spec.Follows != run.Name {
		t.Errorf("after its uses %s is followed by %s, which follows %q", run.Name, next.Name, next.Spec.Follows)
	}
	if again := c.asked(t, e, 4); again.Name != next.Name {
		t.Errorf("a second action opens %s beside %s", again.Name, next.Name)
	}
	approveRun(t, e, next)
	for i := range 3 {
		allowed(t, c.set(t.Context(), c.agent, i+3, "new"))
	}
	third := asked(t, e, c.namespace, func() error { return c.set(t.Context(), c.agent, 0, "newer") })
	if third.Spec.Follows != next.Name {
		t.Errorf("the third run follows %q, want %s", third.Spec.Follows, next.Name)
	}
}

func testRunAhead(t *testing.T, e *environment) {
	c := newCrew(t, e, runs)
	run := c.ahead(t, "tonight")
	waitState(t, e, run, "Pending")
	spec := run.Spec
	if spec.Requester.Username != c.agent.name || spec.Requester.UID == "" || spec.Task.MaxActions != 3 || spec.Task.ValidFor != "30m" ||
		len(spec.Requirements) != 1 || spec.Justification != "new settings for tonight" || spec.RequestExpiresAt == nil {
		t.Errorf("the request is stamped %+v", spec)
	}
	want := []v1alpha1.ApprovalReason{
		{Type: "ApprovalRequired", Policy: c.policy.Name, Task: "set-data"},
		{Type: "ChangeWindowClosed", Policy: c.policy.Name, Task: "set-data", Name: "long-ago"},
	}
	if fmt.Sprint(spec.Reasons) != fmt.Sprint(want) {
		t.Errorf("the reasons are %v, want %v", spec.Reasons, want)
	}
	if waiting := c.asked(t, e, 0); waiting.Name != run.Name {
		t.Errorf("an action of the task waits for %s, want %s", waiting.Name, run.Name)
	}
	allowed(t, patch(t.Context(), c.agent, run, types.MergePatchType, `{"spec":{"justification":"better words"}}`))
	approveRun(t, e, run)
	allowed(t, c.set(t.Context(), c.agent, 0, "new"))
	allowed(t, c.agent.Patch(t.Context(), c.things[1].DeepCopy(), client.RawPatch(types.MergePatchType, []byte(`{"data":{"a":"b"}}`)), client.DryRunAll))
	checkUses(t, e, run, 1, 2)
}

func testRunNarrowed(t *testing.T, e *environment) {
	c := newCrew(t, e, runs)
	run, erin := c.ahead(t, "tonight"), e.person(t, "erin")
	limit := func(limits string) error {
		return patch(t.Context(), erin, run, types.MergePatchType, `{"spec":{"decision":{"verdict":"Approve","limits":`+limits+`}}}`)
	}
	for _, wider := range []string{`{"maxActions":4}`, `{"validFor":"31m"}`} {
		if err := limit(wider); err == nil || !strings.Contains(err.Error(), "limits only narrow") {
			t.Errorf("limits %s are answered by %v", wider, err)
		}
	}
	allowed(t, limit(`{"maxActions":2,"validFor":"10m"}`))
	waitState(t, e, run, "Approved")
	if got := run.Status.ExpiresAt.Sub(run.Status.ApprovedAt.Time); got != 10*time.Minute {
		t.Errorf("it can be used for %s, want 10m", got)
	}
	for i := range 2 {
		allowed(t, c.set(t.Context(), c.agent, i, "new"))
	}
	if next := c.asked(t, e, 2); next.Spec.Follows != run.Name {
		t.Errorf("the third action asks for %s, which follows %q", next.Name, next.Spec.Follows)
	}
	checkUses(t, e, run, 2, 0)
}

func testRunOutOfScope(t *testing.T, e *environment) {
	c := newCrew(t, e, runs)
	run := c.asked(t, e, 0)
	approveRun(t, e, run)
	for name, act := range map[string]func() error{
		"another field": func() error {
			return patch(t.Context(), c.agent, c.things[0], types.MergePatchType, `{"metadata":{"labels":{"a":"b"}}}`)
		},
		"a field as well": func() error {
			return patch(t.Context(), c.agent, c.things[1], types.MergePatchType, `{"metadata":{"labels":{"a":"b"}},"data":{"a":"b"}}`)
		},
		"another verb":     func() error { return c.agent.Delete(t.Context(), c.things[2].DeepCopy()) },
		"of single action": func() error { return c.agent.Create(t.Context(), service(c.namespace)) },
	} {
		if own := asked(t, e, c.namespace, act); own.Spec.Action == nil || own.Spec.Task != nil {
			t.Errorf("%s: asked for a run of %+v", name, own.Spec.Task)
		}
	}
	checkUses(t, e, run, 0, 3)
	waitState(t, e, run, "Approved")
	allowed(t, c.set(t.Context(), c.agent, 0, "new"))
}

func service(namespace string) *corev1.Service {
	return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "web"}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}}}
}

func testRunElsewhere(t *testing.T, e *environment) {
	c := newCrew(t, e, runs)
	run := c.asked(t, e, 0)
	approveRun(t, e, run)
	elsewhere := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "other-"}}
	allowed(t, e.admin.Create(t.Context(), elsewhere))
	thing := configMap(elsewhere.Name, "thing")
	allowed(t, e.admin.Create(t.Context(), thing))
	there := asked(t, e, elsewhere.Name, func() error {
		return patch(t.Context(), c.agent, thing, types.MergePatchType, `{"data":{"key":"new"}}`)
	})
	if there.Spec.Task == nil || there.Spec.Follows != "" {
		t.Errorf("in another namespace the request is %+v", there.Spec)
	}
	others := asked(t, e, c.namespace, func() error { return c.set(t.Context(), c.other, 0, "new") })
	if others.Name == run.Name || others.Spec.Requester.Username != c.other.name {
		t.Errorf("another agent waits for %s of %s", others.Name, others.Spec.Requester.Username)
	}
	checkUses(t, e, run, 0, 3)
}

func testRunOfChangedPolicy(t *testing.T, e *environment) {
	c := newCrew(t, e, runs)
	run := c.asked(t, e, 0)
	approveRun(t, e, run)
	allowed(t, e.admin.Get(t.Context(), client.ObjectKeyFromObject(c.policy), c.policy))
	c.policy.Spec.Tasks[0].Scope.Fields = append(c.policy.Spec.Tasks[0].Scope.Fields, "binaryData")
	allowed(t, e.admin.Update(t.Context(), c.policy))
	e.waitEnforced(t, c.policy)
	next := c.asked(t, e, 0)
	if next.Name == run.Name || next.Spec.Follows != run.Name {
		t.Errorf("after the policy has changed %s is followed by %s, which follows %q", run.Name, next.Name, next.Spec.Follows)
	}
	waitState(t, e, run, "Void")
	checkUses(t, e, run, 0, 3)
}

func testRunRevoked(t *testing.T, e *environment) {
	c := newCrew(t, e, runs)
	run := c.asked(t, e, 0)
	approveRun(t, e, run)
	allowed(t, c.set(t.Context(), c.agent, 0, "new"))
	allowed(t, decide(t.Context(), e.person(t, "frank"), run, "Revoke"))
	waitState(t, e, run, "Revoked")
	if next := c.asked(t, e, 1); next.Spec.Follows != run.Name {
		t.Errorf("after a revocation the next request follows %q", next.Spec.Follows)
	}
}

// testForgedRuns has an agent ask for more than it may, in every place.
func testForgedRuns(t *testing.T, e *environment) {
	c := newCrew(t, e, runs)
	forged := func(more string) string {
		return "spec:\n  task: {policy: " + c.policy.Name + ", name: set-data}\n" + more
	}
	granted := "{verdict: Approve, approver: {username: erin}, time: \"2026-11-22T00:00:00Z\"}"
	reserved := "metadata: {name: agent-run-set-data-0123456789abcdefghjk}\n"
	action := "action: {operation: UPDATE, version: v1, resource: configmaps, hash: \"v1:x\"}"
	for name, tc := range map[string]struct{ spec, want string }{
		"with verdicts":       {forged("  decisions: [" + granted + "]\n"), "nobody can have decided yet"},
		"with a verdict":      {forged("  decision: {verdict: Approve}\n"), "nobody can have decided yet"},
		"more actions":        {strings.Replace(c.setData(), "set-data", "set-data, maxActions: 4", 1), "at most 3"},
		"for longer":          {strings.Replace(c.setData(), "set-data", "set-data, validFor: 31m", 1), "at most 30m"},
		"unreadable validity": {strings.Replace(c.setData(), "set-data", "set-data, validFor: soon", 1), "at most 30m"},
		"a reserved name":     {reserved + c.setData(), "given by Countersign"},
		"an owner":            {"metadata: {ownerReferences: [{apiVersion: v1, kind: ConfigMap, name: x, uid: u}]}\n" + c.setData(), "approvals have no owner"},
		"a digest":            {"metadata: {annotations: {countersign.dev/base: x}}\n" + c.setData(), "written by Countersign only"},
		"an action":           {"spec: {" + action + "}\n", "opened by Countersign when it refuses them"},
		"an action as well":   {forged("  " + action + "\n"), "opened by Countersign when it refuses them"},
		"nothing":             {"spec: {justification: please}\n", "opened by Countersign when it refuses them"},
	} {
		if _, err := ahead(t.Context(), c.agent, c.namespace, "forged", tc.spec); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: the answer is %v, want one with %q", name, err, tc.want)
		}
	}
	// What the operator writes is its own in any case.
	run, err := ahead(t.Context(), c.agent, c.namespace, "overwritten", forged(`  requester: {username: somebody, uid: else}
  reasons: [{type: FieldOutOfScope, policy: other}]
  requirements: [{policy: {name: x, uid: u, hash: h}, name: easy, minApprovals: 1}]
  follows: another
  validFor: 99h
  bindTo: Credential
  requestExpiresAt: "2036-01-01T00:00:00Z"
status: {remaining: 9, conditions: [{type: Approved, status: "True", reason: Approved, message: "", lastTransitionTime: "2026-11-22T00:00:00Z"}]}
`))
	allowed(t, err)
	waitState(t, e, run, "Pending")
	got := run.Spec
	if got.Requester.Username != c.agent.name || len(got.Reasons) != 2 || got.Requirements[0].Name != "sre" || got.Follows != "" ||
		got.ValidFor != "30m" || got.BindTo != v1alpha1.BindToUser || time.Until(got.RequestExpiresAt.Time) > 20*time.Minute || *run.Status.Remaining != 3 {
		t.Errorf("what was forged is stored: %+v, remaining %d", got, *run.Status.Remaining)
	}
	for name, body := range map[string]string{
		"more actions": `{"spec":{"task":{"maxActions":1000}}}`, "verdict": `{"spec":{"decision":{"verdict":"Approve"}}}`,
		"reasons": `{"spec":{"reasons":[{"type":"FieldOutOfScope","policy":"p"}]}}`,
	} {
		if err := patch(t.Context(), c.agent, run, types.MergePatchType, body); err == nil {
			t.Errorf("%s: the agent's patch passes", name)
		}
	}
	wider := `{"spec":{"task":{"maxActions":9},"decision":{"verdict":"Approve"}}}`
	if err := patch(t.Context(), e.person(t, "erin"), run, types.MergePatchType, wider); err == nil || !strings.Contains(err.Error(), "what was asked cannot be changed") {
		t.Errorf("a person who grants more than was asked is answered by %v", err)
	}
	err = c.agent.Status().Patch(t.Context(), run.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(`{"status":{"remaining":9}}`)))
	if err == nil {
		t.Error("the agent writes the status")
	}
}

// testRunNamed has an agent give its request the name that the operator would, and no other of that shape.
func testRunNamed(t *testing.T, e *environment) {
	c := newCrew(t, e, runs)
	account := &corev1.ServiceAccount{}
	allowed(t, e.admin.Get(t.Context(), client.ObjectKey{Namespace: c.namespace, Name: "agent"}, account))
	request := approval.Request{
		Task:      &approval.Task{Policy: c.policy.Name, Name: "set-data", Namespace: c.namespace, MaxActions: 3},
		Requester: action.Actor{Username: c.agent.name, UID: string(account.UID)},
		Reasons: []v1alpha1.ApprovalReason{
			{Type: "ApprovalRequired", Policy: c.policy.Name, Task: "set-data"},
			{Type: "ChangeWindowClosed", Policy: c.policy.Name, Task: "set-data", Name: "long-ago"},
		},
	}
	_, err := ahead(t.Context(), c.agent, c.namespace, request.Name(), strings.Replace(c.setData(), "set-data", "set-data, maxActions: 2", 1))
	if err == nil || !strings.Contains(err.Error(), "given by Countersign") {
		t.Errorf("the name of a longer run is answered by %v", err)
	}
	run := c.ahead(t, request.Name())
	approveRun(t, e, run)
	for i := range 3 {
		allowed(t, c.set(t.Context(), c.agent, i, "new"))
	}
	if next := c.asked(t, e, 3); next.Spec.Follows != run.Name {
		t.Errorf("the next request follows %q, want %s", next.Spec.Follows, run.Name)
	}
}

// testHopelessRuns reads what whoever asks for a run is told that nobody could grant.
func testHopelessRuns(t *testing.T, e *environment) {
	c := newCrew(t, e, runs)
	outside := e.namespace(t)
	task := func(policy, name string) string {
		return "spec: {task: {policy: " + policy + ", name: " + name + "}}\n"
	}
	here := "runs can be asked for here of " + c.policy.Name + "/set-data, " + c.policy.Name + "/tidy-up"
	for name, tc := range map[string]struct {
		who       *identity
		namespace string
		spec      string
		want      []string
	}{
		"unknown policy":    {c.agent, c.namespace, task("nowhere", "set-data"), []string{"no policy nowhere names", here}},
		"unknown task":      {c.agent, c.namespace, task(c.policy.Name, "nothing"), []string{"has no task nothing", here}},
		"single actions":    {c.agent, c.namespace, task(c.policy.Name, "add-services"), []string{"takes consent to single actions only", here}},
		"another namespace": {c.agent, outside, task(c.policy.Name, "set-data"), []string{"does not cover namespace " + outside}},
		"not governed":      {e.person(t, "erin"), c.namespace, task(c.policy.Name, "set-data"), []string{"no policy " + c.policy.Name + " names erin"}},
	} {
		_, err := ahead(t.Context(), tc.who, tc.namespace, "hopeless", tc.spec)
		if err == nil {
			t.Errorf("%s: it is stored", name)
			continue
		}
		for _, want := range tc.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: the answer is %v, want one with %q", name, err, want)
			}
		}
	}
}

func testRunAgain(t *testing.T, e *environment) {
	c := newCrew(t, e, runs)
	run := c.ahead(t, "tonight")
	waitState(t, e, run, "Pending")
	_, err := ahead(t.Context(), c.agent, c.namespace, "tomorrow", c.setData())
	if err == nil || !strings.Contains(err.Error(), "approval "+c.namespace+"/tonight asks for a run of this task already") {
		t.Errorf("a second request is answered by %v", err)
	}
	allowed(t, decide(t.Context(), e.person(t, "erin"), run, "Deny"))
	waitState(t, e, run, "Denied")
	_, err = ahead(t.Context(), c.agent, c.namespace, "tomorrow", c.setData())
	if err == nil || !strings.Contains(err.Error(), "people refused this in approval "+c.namespace+"/tonight") {
		t.Errorf("after a denial a request is answered by %v", err)
	}
	if err := c.set(t.Context(), c.agent, 0, "new"); err == nil || !strings.Contains(err.Error(), "people refused this") {
		t.Errorf("after a denial an action is answered by %v", err)
	}
	var list v1alpha1.ActionApprovalList
	allowed(t, e.admin.List(t.Context(), &list, client.InNamespace(c.namespace)))
	if len(list.Items) != 1 {
		t.Errorf("there are %d requests", len(list.Items))
	}
}

// testRunOfDeletions deletes pods, for each of which the API server makes several reviews.
func testRunOfDeletions(t *testing.T, e *environment) {
	c := newCrew(t, e, runs)
	for _, name := range []string{"one", "two", "three"} {
		allowed(t, e.admin.Create(t.Context(), pod(c.namespace, name)))
	}
	remove := func(name string) error { return c.agent.Delete(t.Context(), pod(c.namespace, name)) }
	run := asked(t, e, c.namespace, func() error { return remove("one") })
	approveRun(t, e, run)
	for _, name := range []string{"one", "two"} {
		allowed(t, remove(name))
		operatortest.Eventually(t, "the pod is gone", func(ctx context.Context) error {
			err := e.admin.Get(ctx, client.ObjectKey{Namespace: c.namespace, Name: name}, &corev1.Pod{})
			if err == nil {
				return errors.New("it is still there")
			}
			return client.IgnoreNotFound(err)
		})
	}
	checkUses(t, e, run, 2, 0)
	if next := asked(t, e, c.namespace, func() error { return remove("three") }); next.Spec.Follows != run.Name {
		t.Errorf("the third deletion asks for %s, which follows %q", next.Name, next.Spec.Follows)
	}
}

// testRunExactly makes many more changes at once than the run holds.
func testRunExactly(t *testing.T, e *environment) {
	c := newCrew(t, e, runs)
	run := c.asked(t, e, 0)
	approveRun(t, e, run)
	var group sync.WaitGroup
	var passed atomic.Int32
	for i := range 30 {
		group.Go(func() {
			if c.set(context.WithoutCancel(t.Context()), c.agent, i%len(c.things), fmt.Sprintf("value-%d", i)) == nil {
				passed.Add(1)
			}
		})
	}
	group.Wait()
	allowed(t, e.admin.Get(t.Context(), client.ObjectKeyFromObject(run), run))
	// A use is spent where a write was admitted and came too late; none is made twice.
	if n := int(passed.Load()); n > 3 || len(run.Status.Uses) != 3 {
		t.Errorf("%d of 30 passed, with uses %+v", n, run.Status.Uses)
	}
}

func testRunBesidePending(t *testing.T, e *environment) {
	c := newCrew(t, e, runs)
	run := c.asked(t, e, 0)
	approveRun(t, e, run)
	// It expires before the first one does, and stands in front of it.
	later := c.ahead(t, "later")
	waitState(t, e, later, "Pending")
	if !later.Status.ExpiresAt.Before(run.Status.ExpiresAt) {
		t.Fatalf("the second expires at %s, the first at %s", later.Status.ExpiresAt, run.Status.ExpiresAt)
	}
	for i := range 3 {
		allowed(t, c.set(t.Context(), c.agent, i, "new"))
	}
	if waiting := c.asked(t, e, 3); waiting.Name != later.Name {
		t.Errorf("after the first run an action waits for %s", waiting.Name)
	}
}

// testManyRuns has an agent ask for runs without end: it may ask for some, and then no faster than it may open others.
func testManyRuns(t *testing.T, e *environment) {
	var tasks strings.Builder
	for i := range 12 {
		fmt.Fprintf(&tasks, `- name: task-%d
  scope: {resourceRules: [{apiGroups: [""], resources: [configmaps], operations: [UPDATE]}], fields: ["data.key%d"]}
  approval: {when: Always, covers: Task, maxActions: 1}
`, i, i)
	}
	c := newCrew(t, e, "enforcement: Enforce\nsubjects: [AGENT, OTHER]\ntasks:\n"+tasks.String())
	opened := 0
	var last error
	for i := range 12 {
		_, err := ahead(t.Context(), c.agent, c.namespace, fmt.Sprintf("run-%d", i), fmt.Sprintf("spec: {task: {policy: %s, name: task-%d}}\n", c.policy.Name, i))
		if err == nil {
			opened++
			continue
		}
		last = err
	}
	if opened < 5 || opened == 12 || last == nil || !strings.Contains(last.Error(), "too fast") {
		t.Errorf("%d of 12 were opened; the last answer is %v", opened, last)
	}
}

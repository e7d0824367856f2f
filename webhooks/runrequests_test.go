package webhooks_test

import (
	"context"
	"fmt"
	"strings"
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
)

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

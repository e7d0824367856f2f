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
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/api/v1alpha1"
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
	// Writes that were admitted and came too late have their uses back, or are about to; none is made twice.
	made := 0
	for _, use := range run.Status.Uses {
		if use.Outcome != v1alpha1.UseReturned {
			made++
		}
	}
	if n := int(passed.Load()); n > 3 || n > made || made > 3 {
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

package webhooks_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/operatortest"
)

// asks is a policy under which the agent may roll images, and needs consent to everything else.
const asks = `
enforcement: Enforce
subjects: [AGENT]
outOfScope: RequireApproval
tasks:
- name: roll-images
  scope:
    resourceRules: [{apiGroups: [apps], resources: [deployments], operations: [UPDATE]}]
    namespaces: [NAMESPACE]
    fields: ["spec.template.spec.containers[*].image"]
approval:
  requirements:
  - {name: sre, approvers: [{kind: User, name: erin}, {kind: User, name: frank}, {kind: User, name: grace}], minApprovals: 1}
`

// TestApprovals goes through a real API server: refused actions open requests, people grant them by patches, and each
// is spent exactly once.
func TestApprovals(t *testing.T) {
	e := newEnvironment(t)
	for name, test := range map[string]func(*testing.T, *environment){
		"asked, granted, spent once":        testGranted,
		"denied, and not asked again":       testDenied,
		"who may decide":                    testDeciders,
		"nothing else can be changed":       testImmutable,
		"two people must consent":           testQuorum,
		"drift makes void":                  testDrift,
		"a deletion with all its reviews":   testApprovedDelete,
		"a forced deletion is another one":  testForcedDelete,
		"dry run opens and spends nothing":  testDryRunApproval,
		"an agent in a loop opens only one": testLoop,
	} {
		t.Run(name, func(t *testing.T) { test(t, e) })
	}
}

var approvalInTail = regexp.MustCompile(`approval=[^/ ]*/([^ \]]*)`)

// notYet are the answers that tell an agent to repeat its command: while controllers still write the object, an earlier
// use is being settled, or it asks for too much at once.
var notYet = regexp.MustCompile("changed while it was reviewed|is being used|opens requests too fast")

// asked makes a forbidden change, and returns the request that it opened.
func asked(t testing.TB, e *environment, namespace string, act func() error) *v1alpha1.ActionApproval {
	t.Helper()
	var err error
	operatortest.Eventually(t, "the object keeps still", func(context.Context) error {
		err = act()
		if err != nil && notYet.MatchString(err.Error()) {
			return err
		}
		return nil
	})
	if err == nil || !strings.Contains(err.Error(), "ASK: approval ") {
		t.Fatalf("the answer is %v, want a refusal that asks for approval", err)
	}
	match := approvalInTail.FindStringSubmatch(err.Error())
	if match == nil {
		t.Fatalf("the refusal names no approval: %v", err)
	}
	a := &v1alpha1.ActionApproval{}
	if err := e.admin.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: match[1]}, a); err != nil {
		t.Fatal(err)
	}
	return a
}

func decide(ctx context.Context, who *identity, a *v1alpha1.ActionApproval, verdict string) error {
	body := fmt.Sprintf(`{"spec":{"decision":{"verdict":%q,"comment":"because"}}}`, verdict)
	return patch(ctx, who, a, types.MergePatchType, body)
}

// waitState waits until the STATE column says so.
func waitState(t testing.TB, e *environment, a *v1alpha1.ActionApproval, state string) {
	t.Helper()
	operatortest.Eventually(t, "approval "+a.Name+" is "+state, func(ctx context.Context) error {
		if err := e.admin.Get(ctx, client.ObjectKeyFromObject(a), a); err != nil {
			return err
		}
		if c := meta.FindStatusCondition(a.Status.Conditions, v1alpha1.ApprovalApproved); c == nil || c.Reason != state {
			return fmt.Errorf("condition is %+v", c)
		}
		return nil
	})
}

const toFive = `{"spec":{"replicas":5}}`

func testGranted(t *testing.T, e *environment) {
	namespace, agent, web := governed(t, e, asks)
	first := asked(t, e, namespace, func() error { return patch(t.Context(), agent, web, types.MergePatchType, toFive) })
	waitState(t, e, first, "Pending")
	if got := first.Spec.Action.Changes; len(got) != 1 || got[0].Path != "spec.replicas" || got[0].To != "5" {
		t.Errorf("the request shows the changes %+v", got)
	}
	if !strings.Contains(first.Spec.Action.Diff, "+  replicas: 5") {
		t.Errorf("the request shows the diff\n%s", first.Spec.Action.Diff)
	}
	again := asked(t, e, namespace, func() error { return scale(t.Context(), agent, web, 5) })
	if again.Name != first.Name {
		t.Errorf("the same by another route opens %s beside %s", again.Name, first.Name)
	}
	allowed(t, decide(t.Context(), e.person(t, "erin"), first, "Approve"))
	waitState(t, e, first, "Approved")
	if d := first.Spec.Decisions; len(d) != 1 || d[0].Approver.Username != "erin" || first.Spec.Decision != nil {
		t.Errorf("the recorded decisions are %+v", d)
	}
	allowed(t, scale(t.Context(), agent, web, 5))
	allowed(t, e.admin.Get(t.Context(), client.ObjectKeyFromObject(web), web))
	if *web.Spec.Replicas != 5 {
		t.Errorf("replicas are %d", *web.Spec.Replicas)
	}
	allowed(t, e.admin.Get(t.Context(), client.ObjectKeyFromObject(first), first))
	if len(first.Status.Uses) != 1 || *first.Status.Remaining != 0 {
		t.Errorf("after one use the status is %+v", first.Status)
	}
	allowed(t, patch(t.Context(), e.person(t, "erin"), web, types.MergePatchType, `{"spec":{"replicas":2}}`))
	next := asked(t, e, namespace, func() error { return patch(t.Context(), agent, web, types.MergePatchType, toFive) })
	if next.Name == first.Name || next.Spec.Follows != first.Name {
		t.Errorf("after its one use %s is followed by %s, which follows %q", first.Name, next.Name, next.Spec.Follows)
	}
}

func testDenied(t *testing.T, e *environment) {
	namespace, agent, web := governed(t, e, asks)
	request := asked(t, e, namespace, func() error { return patch(t.Context(), agent, web, types.MergePatchType, toFive) })
	allowed(t, decide(t.Context(), e.person(t, "erin"), request, "Deny"))
	waitState(t, e, request, "Denied")
	err := patch(t.Context(), agent, web, types.MergePatchType, toFive)
	if err == nil || !strings.Contains(err.Error(), "people refused this") || strings.Contains(err.Error(), "because") {
		t.Errorf("after a denial the agent is answered by %v", err)
	}
	var list v1alpha1.ActionApprovalList
	allowed(t, e.admin.List(t.Context(), &list, client.InNamespace(namespace)))
	if len(list.Items) != 1 {
		t.Errorf("there are %d requests after a denial", len(list.Items))
	}
}

func testDeciders(t *testing.T, e *environment) {
	namespace, agent, web := governed(t, e, asks)
	request := asked(t, e, namespace, func() error { return patch(t.Context(), agent, web, types.MergePatchType, toFive) })
	other := e.agentNamed(t, namespace, "other")
	for name, who := range map[string]*identity{"the requester": agent, "a service account": other, "somebody not named": e.person(t, "mallory")} {
		if err := decide(t.Context(), who, request, "Approve"); err == nil {
			t.Errorf("%s may approve", name)
		}
	}
	kubeconfig, err := e.plane.PersonKubeconfig("grace")
	if err != nil {
		t.Fatal(err)
	}
	grace := e.identity(t, "grace", kubeconfig)
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "patch-" + namespace}, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{"countersign.dev"}, Resources: []string{"actionapprovals"}, Verbs: []string{"get", "patch"}},
	}}
	allowed(t, e.admin.Create(t.Context(), role))
	allowed(t, e.admin.Create(t.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: role.Name}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: "grace"}},
	}))
	operatortest.Eventually(t, "grace may patch, and not approve", func(ctx context.Context) error {
		if err := decide(ctx, grace, request, "Approve"); err == nil || !strings.Contains(err.Error(), "verb approve") {
			return fmt.Errorf("the answer is %w", errors.Join(errors.New("not about the verb"), err))
		}
		return nil
	})
	role.Rules[0].Verbs = append(role.Rules[0].Verbs, "approve")
	allowed(t, e.admin.Update(t.Context(), role))
	operatortest.Eventually(t, "grace may approve", func(ctx context.Context) error { return decide(ctx, grace, request, "Approve") })
	waitState(t, e, request, "Approved")
	// An approver who loses the right takes the consent along.
	role.Rules[0].Verbs = []string{"get"}
	allowed(t, e.admin.Update(t.Context(), role))
	operatortest.Eventually(t, "consent is void without the right", func(ctx context.Context) error {
		target := web.DeepCopy()
		err := agent.Patch(ctx, target, client.RawPatch(types.MergePatchType, []byte(toFive)), client.DryRunAll)
		if err == nil {
			return errors.New("it still passes")
		}
		return nil
	})
	if err := patch(t.Context(), agent, web, types.MergePatchType, toFive); err == nil || !strings.Contains(err.Error(), "may not approve any more") {
		t.Errorf("the answer is %v", err)
	}
	waitState(t, e, request, "Void")
}

func testImmutable(t *testing.T, e *environment) {
	namespace, agent, web := governed(t, e, asks)
	request := asked(t, e, namespace, func() error { return patch(t.Context(), agent, web, types.MergePatchType, toFive) })
	erin := e.person(t, "erin")
	for name, body := range map[string]string{
		"the hash":      `{"spec":{"action":{"hash":"v1:other"}}}`,
		"with a grant":  `{"spec":{"validFor":"99h","decision":{"verdict":"Approve"}}}`,
		"forged":        `{"spec":{"decisions":[{"verdict":"Approve","approver":{"username":"frank"},"time":"2026-11-22T00:00:00Z"}]}}`,
		"justification": `{"spec":{"justification":"not mine"}}`,
		"base":          `{"metadata":{"annotations":{"countersign.dev/base":"b1.x:y:z"}}}`,
	} {
		if err := patch(t.Context(), erin, request, types.MergePatchType, body); err == nil {
			t.Errorf("%s: a patch passes", name)
		}
	}
	status := request.DeepCopy()
	if err := erin.Status().Patch(t.Context(), status, client.RawPatch(types.MergePatchType, []byte(`{"status":{"remaining":9}}`))); err == nil {
		t.Error("a person writes the status")
	}
	forged := request.DeepCopy()
	forged.ObjectMeta = metav1.ObjectMeta{Namespace: namespace, Name: "forged"}
	if err := erin.Create(t.Context(), forged); err == nil {
		t.Error("a person creates a request for somebody else's action")
	}
	allowed(t, patch(t.Context(), agent, request, types.MergePatchType, `{"spec":{"justification":"traffic doubles tonight"}}`))
	if err := patch(t.Context(), agent, request, types.MergePatchType, `{"metadata":{"labels":{"a":"b"}}}`); err == nil {
		t.Error("an agent changes more than its justification")
	}
}

func testQuorum(t *testing.T, e *environment) {
	namespace, agent, web := governed(t, e, strings.Replace(asks, "minApprovals: 1", "minApprovals: 2", 1))
	request := asked(t, e, namespace, func() error { return patch(t.Context(), agent, web, types.MergePatchType, toFive) })
	erin := e.person(t, "erin")
	allowed(t, decide(t.Context(), erin, request, "Approve"))
	allowed(t, decide(t.Context(), erin, request, "Approve"))
	asked(t, e, namespace, func() error { return patch(t.Context(), agent, web, types.MergePatchType, toFive) })
	allowed(t, decide(t.Context(), e.person(t, "frank"), request, "Approve"))
	operatortest.Eventually(t, "two people suffice", func(ctx context.Context) error { return patch(ctx, agent, web, types.MergePatchType, toFive) })
}

func testDrift(t *testing.T, e *environment) {
	namespace, agent, web := governed(t, e, asks)
	erin := e.person(t, "erin")
	request := asked(t, e, namespace, func() error { return patch(t.Context(), agent, web, types.MergePatchType, toFive) })
	allowed(t, decide(t.Context(), erin, request, "Approve"))
	waitState(t, e, request, "Approved")
	allowed(t, patch(t.Context(), erin, web, types.MergePatchType, `{"metadata":{"annotations":{"untouched":"by the agent"}}}`))
	allowed(t, patch(t.Context(), erin, web, types.MergePatchType, `{"spec":{"replicas":4}}`))
	next := asked(t, e, namespace, func() error { return patch(t.Context(), agent, web, types.MergePatchType, toFive) })
	if next.Name == request.Name {
		t.Error("an approval of 2 to 5 replicas serves for 4 to 5")
	}
	// Another agent's change of the same object takes the ground from what people saw.
	allowed(t, decide(t.Context(), erin, next, "Approve"))
	waitState(t, e, next, "Approved")
	allowed(t, patch(t.Context(), agent, web, types.StrategicMergePatchType, `{"spec":{"template":{"spec":{"containers":[{"name":"web","image":"web:2"}]}}}}`))
	waitState(t, e, next, "Void")
}

// testApprovedDelete deletes a pod, of which the API server makes several reviews.
func testApprovedDelete(t *testing.T, e *environment) {
	namespace, agent, _ := governed(t, e, asks)
	victim := pod(namespace, "victim")
	allowed(t, e.admin.Create(t.Context(), victim))
	request := asked(t, e, namespace, func() error { return agent.Delete(t.Context(), victim.DeepCopy()) })
	allowed(t, decide(t.Context(), e.person(t, "erin"), request, "Approve"))
	waitState(t, e, request, "Approved")
	allowed(t, agent.Delete(t.Context(), victim.DeepCopy()))
	operatortest.Eventually(t, "the pod is gone", func(ctx context.Context) error {
		err := e.admin.Get(ctx, client.ObjectKeyFromObject(victim), &corev1.Pod{})
		if err == nil {
			return errors.New("it is still there")
		}
		return client.IgnoreNotFound(err)
	})
	allowed(t, e.admin.Get(t.Context(), client.ObjectKeyFromObject(request), request))
	if len(request.Status.Uses) != 1 {
		t.Errorf("one deletion made the uses %+v", request.Status.Uses)
	}
}

// testForcedDelete has a pod on a node, which is given time to end: taking that away is another action.
func testForcedDelete(t *testing.T, e *environment) {
	namespace, agent, _ := governed(t, e, asks)
	victim := pod(namespace, "victim")
	victim.Spec.NodeName = "somewhere"
	allowed(t, e.admin.Create(t.Context(), victim))
	request := asked(t, e, namespace, func() error { return agent.Delete(t.Context(), victim.DeepCopy()) })
	allowed(t, decide(t.Context(), e.person(t, "erin"), request, "Approve"))
	waitState(t, e, request, "Approved")
	if err := agent.Delete(t.Context(), victim.DeepCopy(), client.GracePeriodSeconds(0)); err == nil {
		t.Error("a forced deletion passes under the approval of a graceful one")
	}
	allowed(t, agent.Delete(t.Context(), victim.DeepCopy()))
}

func testDryRunApproval(t *testing.T, e *environment) {
	namespace, agent, web := governed(t, e, asks)
	try := func() error {
		return agent.Patch(t.Context(), web.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(toFive)), client.DryRunAll)
	}
	if err := try(); err == nil || !strings.Contains(err.Error(), "without dry run opens a request") {
		t.Errorf("the answer to a dry run is %v", err)
	}
	var list v1alpha1.ActionApprovalList
	allowed(t, e.admin.List(t.Context(), &list, client.InNamespace(namespace)))
	if len(list.Items) != 0 {
		t.Errorf("a dry run opens %d requests", len(list.Items))
	}
	request := asked(t, e, namespace, func() error { return patch(t.Context(), agent, web, types.MergePatchType, toFive) })
	allowed(t, decide(t.Context(), e.person(t, "erin"), request, "Approve"))
	waitState(t, e, request, "Approved")
	allowed(t, try())
	allowed(t, e.admin.Get(t.Context(), client.ObjectKeyFromObject(request), request))
	if len(request.Status.Uses) != 0 {
		t.Errorf("a dry run spends %+v", request.Status.Uses)
	}
}

// testLoop has an agent that does not take no for an answer, and asks for more and more.
func testLoop(t *testing.T, e *environment) {
	namespace, agent, web := governed(t, e, asks)
	began := time.Now()
	for range 200 {
		if patch(t.Context(), agent, web, types.MergePatchType, toFive) == nil {
			t.Fatal("it passes")
		}
	}
	for i := range 30 {
		other := deployment(namespace, fmt.Sprintf("other-%d", i))
		if agent.Create(t.Context(), other) == nil {
			t.Fatal("it passes")
		}
	}
	var list v1alpha1.ActionApprovalList
	allowed(t, e.admin.List(t.Context(), &list, client.InNamespace(namespace)))
	// Five at once, and then one every five seconds, however long a machine takes for all this.
	if n, most := len(list.Items), 5+int(time.Since(began)/(5*time.Second)); n == 0 || n > most {
		t.Errorf("230 refusals open %d requests, want at most %d", n, most)
	}
	var deployments appsv1.DeploymentList
	allowed(t, e.admin.List(t.Context(), &deployments, client.InNamespace(namespace)))
	if len(deployments.Items) != 1 {
		t.Errorf("there are %d Deployments", len(deployments.Items))
	}
}

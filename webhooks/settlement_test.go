package webhooks_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/hack/controlplane"
	"github.com/countersign-dev/countersign/internal/operatortest"
)

// giveBackAfter is how long the operator of these tests waits for a creation.
const giveBackAfter = 2 * time.Second

// TestSettlement shows that a use whose action is refused after it was admitted comes back when history proves that it
// was not stored, and never otherwise.
func TestSettlement(t *testing.T) {
	e := newEnvironment(t, "--give-back-after", giveBackAfter.String())
	for name, test := range map[string]func(*testing.T, *environment){
		"what is stored spends":                        testStored,
		"a quota refuses a creation":                   testQuota,
		"a second webhook refuses the first time":      testRefusedOnce,
		"an update that cannot land comes back":        testOvertaken,
		"the object is deleted":                        testDeletedUnder,
		"the caller does not wait":                     testImpatient,
		"a write that lands late is no second use":     testLate,
		"the API server reads nothing meanwhile":       testSilent,
		"a change of a kind without generation lands":  testWithoutGeneration,
		"a creation that comes back leaves its budget": testBudgetOfCreation,
		"an update that comes back does, too":          testBudgetOfUpdate,
	} {
		t.Run(name, func(t *testing.T) { test(t, e) })
	}
}

// grant asks for an action, has a person approve it, and returns the approval.
func grant(t testing.TB, e *environment, namespace string, act func() error) *v1alpha1.ActionApproval {
	t.Helper()
	a := asked(t, e, namespace, act)
	allowed(t, decide(t.Context(), e.person(t, "erin"), a, "Approve"))
	waitState(t, e, a, "Approved")
	return a
}

// waitOutcome waits until the only use of an approval has an outcome.
func waitOutcome(t testing.TB, e *environment, a *v1alpha1.ActionApproval, want v1alpha1.UseOutcome) {
	t.Helper()
	operatortest.Eventually(t, "the use of "+a.Name+" is "+string(want), func(ctx context.Context) error {
		if err := e.admin.Get(ctx, client.ObjectKeyFromObject(a), a); err != nil {
			return err
		}
		if len(a.Status.Uses) != 1 || a.Status.Uses[0].Outcome != want {
			return fmt.Errorf("uses are %+v", a.Status.Uses)
		}
		return nil
	})
}

func testStored(t *testing.T, e *environment) {
	namespace, agent, web := governed(t, e, asks)
	victim := pod(namespace, "victim")
	allowed(t, e.admin.Create(t.Context(), victim))
	for name, act := range map[string]func() error{
		"by a patch":    func() error { return patch(t.Context(), agent, web, types.MergePatchType, toFive) },
		"by a scale":    func() error { return scale(t.Context(), agent, web, 7) },
		"by a creation": func() error { return agent.Create(t.Context(), deployment(namespace, "new")) },
		"with its own name": func() error {
			d := deployment(namespace, "")
			d.GenerateName = "generated-"
			return agent.Create(t.Context(), d)
		},
		"by a deletion": func() error { return agent.Delete(t.Context(), victim.DeepCopy()) },
	} {
		t.Run(name, func(t *testing.T) {
			a := grant(t, e, namespace, act)
			allowed(t, act())
			waitState(t, e, a, "Spent")
			// Where a controller writes at the same time the API server reviews a copy first that is too old, and comes again:
			// that is a use of its own, which comes back.
			kept := slices.DeleteFunc(slices.Clone(a.Status.Uses), func(u v1alpha1.ApprovalUse) bool { return u.Outcome == v1alpha1.UseReturned })
			if len(kept) != 1 || kept[0].Outcome != v1alpha1.UseStored || kept[0].SettledAt == nil {
				t.Errorf("the uses are %+v", a.Status.Uses)
			}
		})
	}
}

func testWithoutGeneration(t *testing.T, e *environment) {
	namespace, agent, _ := governed(t, e, asks)
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "other"}}
	allowed(t, e.admin.Create(t.Context(), account))
	act := func() error {
		return patch(t.Context(), agent, account, types.MergePatchType, `{"metadata":{"labels":{"team":"a"}}}`)
	}
	a := grant(t, e, namespace, act)
	allowed(t, act())
	waitState(t, e, a, "Spent")
	if o := a.Status.Uses[0].Object; o == nil || o.Generation != 0 || o.Name != "other" || o.Resource != "serviceaccounts" {
		t.Errorf("the use was of %+v", o)
	}
}

func testQuota(t *testing.T, e *environment) {
	namespace, agent, _ := governed(t, e, asks)
	quota := e.noServices(t, namespace)
	service := func() error { return agent.Create(t.Context(), frontService(namespace, "front")) }
	a := grant(t, e, namespace, service)
	waitExceeded(t, service)
	waitOutcome(t, e, a, v1alpha1.UseClosed)
	if *a.Status.Remaining != 0 {
		t.Errorf("while its use is closed, %d are left", *a.Status.Remaining)
	}
	waitOutcome(t, e, a, v1alpha1.UseReturned)
	if *a.Status.Remaining != 1 {
		t.Errorf("after its use came back, %d are left", *a.Status.Remaining)
	}
	allowed(t, e.admin.Delete(t.Context(), quota))
	operatortest.Eventually(t, "the creation passes under the same approval", func(context.Context) error { return service() })
	waitState(t, e, a, "Spent")
}

func frontService(namespace, name string) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}},
	}
}

// noServices makes a quota that lets nobody create a Service.
func (e *environment) noServices(t *testing.T, namespace string) *corev1.ResourceQuota {
	t.Helper()
	quota := &corev1.ResourceQuota{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "none"},
		Spec:       corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{"count/services": resource.MustParse("0")}},
	}
	allowed(t, e.admin.Create(t.Context(), quota))
	operatortest.Eventually(t, "the quota counts", func(ctx context.Context) error {
		if err := e.admin.Get(ctx, client.ObjectKeyFromObject(quota), quota); err != nil {
			return err
		}
		if len(quota.Status.Used) == 0 {
			return errors.New("not yet")
		}
		return nil
	})
	return quota
}

func waitExceeded(t *testing.T, create func() error) {
	t.Helper()
	operatortest.Eventually(t, "the quota refuses", func(context.Context) error {
		if err := create(); err == nil || !strings.Contains(err.Error(), "exceeded quota") {
			return fmt.Errorf("the answer is %w", err)
		}
		return nil
	})
}

// paid is a policy under which every action needs an approval, and only one an hour may pass.
const paid = `
enforcement: Enforce
subjects: [AGENT]
tasks:
- name: work
  scope:
    resourceRules:
    - {apiGroups: [apps], resources: [deployments], operations: [UPDATE]}
    - {apiGroups: [""], resources: [services], operations: [CREATE]}
    namespaces: [NAMESPACE]
  approval: {when: Always}
  budget: {maxActions: 1, per: 1h}
approval:
  requirements:
  - {name: sre, approvers: [{kind: User, name: erin}], minApprovals: 1}
`

func testBudgetOfCreation(t *testing.T, e *environment) {
	namespace, agent, _ := governed(t, e, paid)
	quota := e.noServices(t, namespace)
	front := func() error { return agent.Create(t.Context(), frontService(namespace, "front")) }
	another := func() error { return agent.Create(t.Context(), frontService(namespace, "another"), client.DryRunAll) }
	a := grant(t, e, namespace, front)
	waitExceeded(t, front)
	waitOutcome(t, e, a, v1alpha1.UseClosed)
	e.wantDid(t, agent, 1)
	refused(t, another(), "BudgetExceeded", "ApprovalRequired")
	waitOutcome(t, e, a, v1alpha1.UseReturned)
	if status := e.did(t, agent); len(status.Recent) != 0 || status.Admitted != 1 {
		t.Errorf("recorded are %+v", status)
	}
	refused(t, another(), "ApprovalRequired")
	allowed(t, e.admin.Delete(t.Context(), quota))
	operatortest.Eventually(t, "the creation passes under the same approval", func(context.Context) error { return front() })
	waitState(t, e, a, "Spent")
	if status := e.did(t, agent); len(status.Recent) != 1 {
		t.Errorf("recorded are %+v", status.Recent)
	}
	refused(t, another(), "BudgetExceeded", "ApprovalRequired")
}

func testBudgetOfUpdate(t *testing.T, e *environment) {
	namespace, agent, web := governed(t, e, paid)
	act := func() error { return patch(t.Context(), agent, web, types.MergePatchType, toFive) }
	a := useInVain(t, e, namespace, agent, web, act)
	e.wantDid(t, agent, 1)
	operatortest.Eventually(t, "a person may write again", func(ctx context.Context) error {
		return patch(ctx, e.person(t, "erin"), web, types.MergePatchType, `{"spec":{"minReadySeconds":3}}`)
	})
	waitOutcome(t, e, a, v1alpha1.UseReturned)
	if status := e.did(t, agent); len(status.Recent) != 0 {
		t.Errorf("recorded are %+v", status.Recent)
	}
	allowed(t, act())
	waitState(t, e, a, "Spent")
	if status := e.did(t, agent); len(status.Recent) != 1 {
		t.Errorf("recorded are %+v", status.Recent)
	}
}

// useInVain has an approved action of an agent refused after it was admitted, by somebody who then gives way.
func useInVain(
	t *testing.T, e *environment, namespace string, agent *identity, web *appsv1.Deployment, act func() error,
) *v1alpha1.ActionApproval {
	t.Helper()
	a := grant(t, e, namespace, act)
	remove := e.refuseUpdates(t, agent, web)
	if err := act(); err == nil || !strings.Contains(err.Error(), "not today") {
		t.Fatalf("the answer is %v, want a refusal by somebody else", err)
	}
	waitUses(t, e, a, 1)
	remove()
	return a
}

// testRefusedOnce has a policy of somebody else in the way, which comes after the operator or at the same time.
func testRefusedOnce(t *testing.T, e *environment) {
	namespace, agent, web := governed(t, e, asks)
	act := func() error { return patch(t.Context(), agent, web, types.MergePatchType, toFive) }
	a := useInVain(t, e, namespace, agent, web, act)
	key := a.Status.Uses[0].Key
	operatortest.Eventually(t, "the repeat passes", func(context.Context) error { return act() })
	waitState(t, e, a, "Spent")
	if u := a.Status.Uses; len(u) != 1 || u[0].Key != key {
		t.Errorf("the repeat made the uses %+v", u)
	}
}

func testOvertaken(t *testing.T, e *environment) {
	namespace, agent, web := governed(t, e, asks)
	act := func() error { return patch(t.Context(), agent, web, types.MergePatchType, toFive) }
	a := useInVain(t, e, namespace, agent, web, act)
	operatortest.Eventually(t, "a person may write again", func(ctx context.Context) error {
		return patch(ctx, e.person(t, "erin"), web, types.MergePatchType, `{"spec":{"minReadySeconds":3}}`)
	})
	waitOutcome(t, e, a, v1alpha1.UseReturned)
	allowed(t, act())
	waitState(t, e, a, "Spent")
}

func testDeletedUnder(t *testing.T, e *environment) {
	namespace, agent, web := governed(t, e, asks)
	act := func() error { return patch(t.Context(), agent, web, types.MergePatchType, toFive) }
	a := useInVain(t, e, namespace, agent, web, act)
	allowed(t, e.admin.Delete(t.Context(), web.DeepCopy()))
	waitOutcome(t, e, a, v1alpha1.UseReturned)
}

// testImpatient sends a request whose caller gives up before all have answered: admitted, and never written.
func testImpatient(t *testing.T, e *environment) {
	namespace, agent, web := governed(t, e, asks)
	act := func() error { return patch(t.Context(), agent, web, types.MergePatchType, toFive) }
	a := grant(t, e, namespace, act)
	gate := e.hold(t, agent, namespace, web.Name)
	if err := giveUp(t.Context(), agent, web); err == nil {
		t.Fatal("it is in time")
	}
	waitUses(t, e, a, 1)
	key := a.Status.Uses[0].Key
	close(gate.released)
	allowed(t, e.admin.Get(t.Context(), client.ObjectKeyFromObject(web), web))
	if *web.Spec.Replicas != 2 {
		t.Errorf("there are %d replicas", *web.Spec.Replicas)
	}
	allowed(t, act())
	waitState(t, e, a, "Spent")
	if u := a.Status.Uses; len(u) != 1 || u[0].Key != key {
		t.Errorf("the uses are %+v", u)
	}
}

// giveUp asks for five replicas, and waits for an answer no longer than a second.
func giveUp(ctx context.Context, who *identity, web *appsv1.Deployment) error {
	return who.AppsV1().RESTClient().Patch(types.MergePatchType).Namespace(web.Namespace).Resource("deployments").Name(web.Name).
		Param("timeout", "1s").Body([]byte(toFive)).Do(ctx).Error()
}

// testLate stops the storage between the admission of a creation and its write, for longer than a use is waited for.
func testLate(t *testing.T, e *environment) {
	namespace, agent, _ := governed(t, e, asks)
	create := func(ctx context.Context) error { return agent.Create(ctx, deployment(namespace, "late")) }
	a := grant(t, e, namespace, func() error { return create(t.Context()) })
	gate := e.hold(t, agent, namespace, "late")
	answer := make(chan error, 1)
	go func() { answer <- create(context.WithoutCancel(t.Context())) }()
	<-gate.arrived
	waitUses(t, e, a, 1)
	storage := e.plane.Component(controlplane.Etcd)
	allowed(t, storage.Pause())
	close(gate.released)
	<-time.After(giveBackAfter + 2*time.Second) // nothing can be observed while nothing is stored
	allowed(t, storage.Resume())
	t.Logf("the late request was answered by %v", <-answer)
	waitOutcome(t, e, a, v1alpha1.UseStored)
	if err := create(t.Context()); err == nil {
		t.Error("it passes twice")
	}
	var list appsv1.DeploymentList
	allowed(t, e.admin.List(t.Context(), &list, client.InNamespace(namespace)))
	if len(list.Items) != 2 { // web and the late one
		t.Errorf("there are %d Deployments", len(list.Items))
	}
}

// testSilent stops the storage before an approval can be read: the agent is told so, and that it may try again.
func testSilent(t *testing.T, e *environment) {
	namespace, agent, _ := governed(t, e, asks)
	create := func() error { return agent.Create(t.Context(), deployment(namespace, "silent")) }
	a := grant(t, e, namespace, create)
	storage := e.plane.Component(controlplane.Etcd)
	allowed(t, storage.Pause())
	err := create()
	allowed(t, storage.Resume())
	checkRefusal(t, err, "redeeming approval "+namespace+"/"+a.Name+": the API server did not answer in time, repeat the command")
	operatortest.Eventually(t, "it passes once the approval can be read", func(context.Context) error { return create() })
	waitState(t, e, a, "Spent")
}

// waitUses waits until an approval has a number of uses.
func waitUses(t testing.TB, e *environment, a *v1alpha1.ActionApproval, want int) {
	t.Helper()
	operatortest.Eventually(t, "uses are made of "+a.Name, func(ctx context.Context) error {
		if err := e.admin.Get(ctx, client.ObjectKeyFromObject(a), a); err != nil {
			return err
		}
		if len(a.Status.Uses) != want {
			return fmt.Errorf("uses are %+v", a.Status.Uses)
		}
		return nil
	})
}

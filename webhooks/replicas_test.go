package webhooks_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/hack/controlplane"
	"github.com/countersign-dev/countersign/internal/operatortest"
)

// operatorNamespace stands for the namespace of a release, and electionLease says in it who is elected.
const (
	operatorNamespace = "countersign-system"
	electionLease     = "countersign.countersign.dev"
)

// newReplicated is a cluster with n processes of the operator in front of it, one of which is elected, as in an
// installation. The environment has no operator of its own.
func newReplicated(t *testing.T, n int, flags ...string) (*environment, *operatortest.Replicas) {
	t.Helper()
	e := &environment{plane: controlplane.Shared(t)}
	e.admin = operatortest.NewClient(t, e.plane.AdminConfig())
	operatortest.ApplyDefinitions(t, e.admin)
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: operatorNamespace}}
	if err := e.admin.Create(t.Context(), ns); err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
	// One that was killed has not given it up, and would be waited for.
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: operatorNamespace, Name: electionLease}}
	if err := e.admin.Delete(t.Context(), lease); client.IgnoreNotFound(err) != nil {
		t.Fatal(err)
	}
	flags = append([]string{"--leader-elect", "--namespace", operatorNamespace}, flags...)
	return e, operatortest.StartReplicas(t, e.plane.Kubeconfig("admin"), n, flags...)
}

// TestReplicas has an agent at work in parallel before three replicas, kills one of them, and starts it again.
func TestReplicas(t *testing.T) {
	e, replicas := newReplicated(t, 3)
	namespace, agent, _ := governed(t, e, images)
	var webs []*appsv1.Deployment
	for i := range 6 {
		web := deployment(namespace, fmt.Sprintf("web-%d", i))
		if err := e.admin.Create(t.Context(), web); err != nil {
			t.Fatal(err)
		}
		webs = append(webs, web)
	}
	wantElection(t, e)
	if err := roll(t.Context(), agent, webs, 2, 12); err != nil {
		t.Errorf("three replicas run, and the agent is answered by %v", err)
	}
	wantShared(t, replicas.Operators, namespace, []int{0, 0, 0})

	if err := replicas.Kill(0); err != nil {
		t.Fatal(err)
	}
	// The API server may not have seen yet that connections ended, and each costs one request.
	operatortest.Eventually(t, "the agent notices nothing of the dead replica", func(ctx context.Context) error {
		return roll(ctx, agent, webs, 12, 14)
	})
	before := decided(t, replicas.Operators[1:], namespace)
	if err := roll(t.Context(), agent, webs, 14, 24); err != nil {
		t.Errorf("two replicas run, and the agent is answered by %v", err)
	}
	wantShared(t, replicas.Operators[1:], namespace, before)

	// The API server keeps the connections that it has, until those of another replica end.
	replicas.Restart(t, 0)
	if err := replicas.Kill(1); err != nil {
		t.Fatal(err)
	}
	operatortest.Eventually(t, "the replica that is back decides as well", func(ctx context.Context) error {
		if err := roll(ctx, agent, webs, 24, 26); err != nil {
			return err
		}
		if len(replicas.Operators[0].DecisionLines(t, namespace)) == 0 {
			return errors.New("it has decided nothing")
		}
		return nil
	})
}

// wantElection checks that a replica holds the lease: what follows was written by one that was elected.
func wantElection(t *testing.T, e *environment) {
	t.Helper()
	lease := &coordinationv1.Lease{}
	if err := e.admin.Get(t.Context(), client.ObjectKey{Namespace: operatorNamespace, Name: electionLease}, lease); err != nil {
		t.Fatal(err)
	}
	if ptr.Deref(lease.Spec.HolderIdentity, "") == "" {
		t.Errorf("nobody is elected: %+v", lease.Spec)
	}
}

// decided counts what each of some replicas has decided about a namespace.
func decided(t *testing.T, operators []*operatortest.Operator, namespace string) []int {
	t.Helper()
	var each []int
	for _, o := range operators {
		each = append(each, len(o.DecisionLines(t, namespace)))
	}
	return each
}

// wantShared checks that replicas have decided 60 more requests about a namespace than before, and each of them some.
func wantShared(t *testing.T, operators []*operatortest.Operator, namespace string, before []int) {
	t.Helper()
	more, sum := decided(t, operators, namespace), 0
	for i := range more {
		more[i] -= before[i]
		sum += more[i]
	}
	if slices.Min(more) == 0 || sum < 60 {
		t.Errorf("the replicas decided %v more requests, want 60 and some by each", more)
	}
}

// roll has an agent give Deployments one image after the other, all Deployments in parallel.
func roll(ctx context.Context, agent *identity, webs []*appsv1.Deployment, from, to int) error {
	errs := make([]error, len(webs))
	var all sync.WaitGroup
	for i, web := range webs {
		all.Go(func() {
			for tag := from; tag < to && errs[i] == nil; tag++ {
				image := fmt.Sprintf(`{"spec":{"template":{"spec":{"containers":[{"name":"web","image":"web:%d"}]}}}}`, tag)
				errs[i] = patch(ctx, agent, web, types.StrategicMergePatchType, image)
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// TestHeldAnswers decides about a request whose answer the API server hears late, or never.
func TestHeldAnswers(t *testing.T) {
	e, replicas := newReplicated(t, 1)
	_, agent, web := governed(t, e, images)
	begin := func(tag int) chan error {
		answer := make(chan error, 1)
		go func() { answer <- roll(t.Context(), agent, []*appsv1.Deployment{web}, tag, tag+1) }()
		operatortest.Eventually(t, "the request is decided", func(context.Context) error {
			if len(answer) > 0 {
				t.Fatalf("while answers are held a request is answered by %v", <-answer)
			}
			if len(replicas.DecisionLines(t, fmt.Sprintf("web:%d", tag))) == 0 {
				return errors.New("no decision is logged")
			}
			return nil
		})
		return answer
	}

	replicas.HoldAnswers(0)
	lost := begin(2)
	if err := replicas.Kill(0); err != nil {
		t.Fatal(err)
	}
	if err := <-lost; err == nil || !strings.Contains(err.Error(), "failed calling webhook") {
		t.Errorf("a request whose answer is lost is answered by %v", err)
	}

	replicas.Restart(t, 0)
	replicas.HoldAnswers(0)
	late := begin(3) // by a new connection
	replicas.Release(0)
	allowed(t, <-late)
}

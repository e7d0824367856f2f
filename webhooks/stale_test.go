package webhooks_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/hack/controlplane"
	"github.com/countersign-dev/countersign/internal/operatortest"
)

const (
	// staleRounds is how often an API server is made to lag behind at least, and mostRounds at most: it may have caught up
	// each time before it looks at the request.
	staleRounds, mostRounds = 4, 12
	// backlog is how many versions it has to catch up with.
	backlog = 100
)

// TestStaleCaches has an agent use an approval through an API server that is behind another one. Its first review shows
// the object as it was, from which the action is another one: that opens no request and ends no approval, and the
// API server comes again with the object as it is.
func TestStaleCaches(t *testing.T) {
	e := newSeveral(t, 2)
	namespace, agent, web := governed(t, e, asks)
	erin, behind := e.person(t, "erin"), e.through(t, 2, agent)
	round, stale := 0, 0
	for ; round < staleRounds || stale == 0 && round < mostRounds; round++ {
		set(t, erin, web, 4)
		a := asked(t, e, namespace, func() error { return patch(t.Context(), agent, web, types.MergePatchType, toFive) })
		allowed(t, decide(t.Context(), erin, a, "Approve"))
		set(t, erin, web, 2)
		waitSeen(t, behind, web, 2)
		if err := e.whileBehind(t, erin, web, func() error {
			return patch(context.WithoutCancel(t.Context()), behind, web, types.MergePatchType, toFive)
		}); err != nil {
			t.Errorf("round %d: the approved action is answered by %v", round, err)
		}
		waitState(t, e, a, "Spent")
		stale = len(e.operator.DecisionLines(t, `"path":"spec.replicas","from":"2","to":"5"`))
	}
	var list v1alpha1.ActionApprovalList
	allowed(t, e.admin.List(t.Context(), &list, client.InNamespace(namespace)))
	if len(list.Items) != round {
		t.Errorf("there are %d approvals after %d rounds", len(list.Items), round)
	}
	if t.Logf("%d of %d rounds had a stale review", stale, round); stale == 0 {
		t.Error("no review was stale: nothing was shown")
	}
}

// whileBehind stops the second API server, changes an object until it has four replicas, and has somebody act just as
// the server goes on.
func (e *environment) whileBehind(t *testing.T, who *identity, web *appsv1.Deployment, act func() error) error {
	t.Helper()
	second := e.plane.Component(controlplane.APIServer + "-2")
	allowed(t, second.Pause())
	for i := range backlog {
		allowed(t, patch(t.Context(), who, web, types.MergePatchType, fmt.Sprintf(`{"metadata":{"labels":{"noise":"%d"}}}`, i)))
	}
	set(t, who, web, 4)
	answer := make(chan error, 1)
	go func() { answer <- act() }()
	allowed(t, second.Resume())
	return <-answer
}

func set(t *testing.T, who *identity, web *appsv1.Deployment, replicas int) {
	t.Helper()
	allowed(t, patch(t.Context(), who, web, types.MergePatchType, fmt.Sprintf(`{"spec":{"replicas":%d}}`, replicas)))
}

// newSeveral is a cluster of its own with several API servers on one storage.
func newSeveral(t *testing.T, apiServers int) *environment {
	t.Helper()
	return newOwn(t, controlplane.Options{APIServers: apiServers, ControllerManager: true})
}

// newOwn is a cluster for one test.
func newOwn(t *testing.T, options controlplane.Options, flags ...string) *environment {
	t.Helper()
	plane, err := controlplane.Start(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := plane.Stop(); err != nil {
			t.Error(err)
		}
	})
	e := &environment{plane: plane, admin: operatortest.NewClient(t, plane.AdminConfig())}
	operatortest.ApplyDefinitions(t, e.admin)
	e.operator = operatortest.Start(t, plane.Kubeconfig("admin"), flags...)
	return e
}

// through is a user who asks the n-th API server.
func (e *environment) through(t *testing.T, n int, who *identity) *identity {
	t.Helper()
	config := e.plane.Through(n, who.config)
	set, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return &identity{name: who.name, config: config, Client: operatortest.NewClient(t, config), Interface: set}
}

// waitSeen waits until the cache of an API server shows a number of replicas.
func waitSeen(t *testing.T, who *identity, web *appsv1.Deployment, replicas int32) {
	t.Helper()
	operatortest.Eventually(t, "an API server has caught up", func(ctx context.Context) error {
		seen, err := who.AppsV1().Deployments(web.Namespace).Get(ctx, web.Name, metav1.GetOptions{ResourceVersion: "0"})
		if err != nil {
			return err
		}
		if *seen.Spec.Replicas != replicas {
			return errors.New("not yet")
		}
		return nil
	})
}

package webhooks_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/approval"
	"github.com/countersign-dev/countersign/internal/operatortest"
)

var rounds = flag.Int("rounds", 10, "how often many requests are sent at once under one approval")

// TestExactlyOnce sends one approved request fifty times at once to three replicas, again and again. However many reviews
// that makes, what was approved is stored once and costs one use.
func TestExactlyOnce(t *testing.T) {
	const parallel = 50
	e, _ := newReplicated(t, 3)
	namespace, agent, web := governed(t, e, asks)
	erin := e.person(t, "erin")
	act := func() error { return patch(t.Context(), agent, web, types.MergePatchType, toFive) }
	for round := range *rounds {
		a := asked(t, e, namespace, act)
		allowed(t, decide(t.Context(), erin, a, "Approve"))
		allowed(t, e.admin.Get(t.Context(), client.ObjectKeyFromObject(web), web))
		before := web.Generation
		passed := atOnce(parallel, func(int) error { return patch(t.Context(), agent, web, types.MergePatchType, toFive) })
		spend(t, e, a, func(int) { _ = act() })
		allowed(t, e.admin.Get(t.Context(), client.ObjectKeyFromObject(web), web))
		if web.Generation != before+1 || *web.Spec.Replicas != 5 || len(a.Status.Uses) != 1 {
			t.Fatalf("round %d: %d of %d passed, generation went from %d to %d, replicas are %d, uses are %+v",
				round, passed, parallel, before, web.Generation, *web.Spec.Replicas, a.Status.Uses)
		}
		allowed(t, patch(t.Context(), erin, web, types.MergePatchType, `{"spec":{"replicas":2}}`))
	}
	t.Logf("%d rounds of %d requests", *rounds, parallel)
}

// atOnce does the same n times at once, and returns how often it succeeded.
func atOnce(n int, act func(i int) error) int {
	results := make([]error, n)
	start := make(chan struct{})
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() {
			<-start
			results[i] = act(i)
		})
	}
	close(start)
	group.Wait()
	passed := 0
	for _, err := range results {
		if err == nil {
			passed++
		}
	}
	return passed
}

// TestCrashes has replicas die at the worst moments.
func TestCrashes(t *testing.T) {
	for name, test := range map[string]func(*testing.T){
		"between spending and answering": testKilledBeforeAnswer,
		"the one that settles":           testLeaderKilled,
	} {
		t.Run(name, test)
	}
}

// testKilledBeforeAnswer kills the replica that has recorded a use before the API server hears of it.
func testKilledBeforeAnswer(t *testing.T) {
	e, replicas := newReplicated(t, 3)
	namespace, agent, web := governed(t, e, asks)
	act := func() error {
		return patch(context.WithoutCancel(t.Context()), agent, web, types.MergePatchType, toFive)
	}
	a := grant(t, e, namespace, act)
	for i := range replicas.Operators {
		replicas.HoldAnswers(i)
	}
	answer := make(chan error, 1)
	go func() { answer <- act() }()
	waitUses(t, e, a, 1)
	key := a.Status.Uses[0].Key
	allowed(t, replicas.Kill(whoAllows(t, replicas)))
	for i := range replicas.Operators {
		replicas.Release(i)
	}
	if err := <-answer; err == nil {
		t.Error("what nobody answered passes")
	}
	allowed(t, e.admin.Get(t.Context(), client.ObjectKeyFromObject(web), web))
	if *web.Spec.Replicas != 2 {
		t.Fatalf("there are %d replicas", *web.Spec.Replicas)
	}
	repeat(t, "the repeat passes", act)
	waitState(t, e, a, "Spent")
	if u := a.Status.Uses; len(u) != 1 || u[0].Key != key {
		t.Errorf("the uses are %+v", u)
	}
}

// whoAllows waits for the line of a decision, which the replica writes after the use and before the answer.
func whoAllows(t *testing.T, replicas *operatortest.Replicas) int {
	t.Helper()
	var i int
	operatortest.Eventually(t, "a replica says that it allows the action", func(context.Context) error {
		i = slices.IndexFunc(replicas.Operators, func(o *operatortest.Operator) bool {
			return len(o.DecisionLines(t, `"outcome":"Allow"`)) > 0
		})
		if i < 0 {
			return errors.New("none has")
		}
		return nil
	})
	return i
}

// testLeaderKilled kills the replica that finds out what became of uses. The others redeem as before, and one of them
// settles when it is elected.
func testLeaderKilled(t *testing.T) {
	e, replicas := newReplicated(t, 3)
	namespace, agent, web := governed(t, e, asks)
	act := func() error { return patch(t.Context(), agent, web, types.MergePatchType, toFive) }
	a := grant(t, e, namespace, act)
	leader := slices.IndexFunc(replicas.Operators, func(o *operatortest.Operator) bool {
		return strings.Contains(o.LogText(t), "Successfully acquired lease")
	})
	if leader < 0 {
		t.Fatal("nobody is elected")
	}
	allowed(t, replicas.Kill(leader))
	repeat(t, "the action passes", act)
	waitState(t, e, a, "Spent")
	if u := a.Status.Uses; len(u) != 1 || u[0].Outcome != v1alpha1.UseStored {
		t.Errorf("the uses are %+v", u)
	}
}

// repeat does what an agent does whose request was not answered: it tries again until it is.
func repeat(t *testing.T, what string, act func() error) {
	t.Helper()
	operatortest.Eventually(t, what, func(context.Context) error { return act() })
}

// TestBankedKey has an agent make the use of an approval with a request that cannot be stored, to keep it for later.
// Everything that ends or stops the approval stops that as well.
func TestBankedKey(t *testing.T) {
	e := newEnvironment(t)
	const spec = asks + "  validFor: 5s\n"
	for name, tc := range map[string]struct {
		spec string
		then func(t *testing.T, e *environment, p *v1alpha1.AgentActionPolicy, a *v1alpha1.ActionApproval)
	}{
		"after it has expired": {spec, func(t *testing.T, e *environment, _ *v1alpha1.AgentActionPolicy, a *v1alpha1.ActionApproval) {
			waitState(t, e, a, "Expired")
		}},
		"after it was revoked": {asks, func(t *testing.T, e *environment, _ *v1alpha1.AgentActionPolicy, a *v1alpha1.ActionApproval) {
			allowed(t, decide(t.Context(), e.person(t, "erin"), a, "Revoke"))
		}},
		"after the policy was edited": {asks, func(t *testing.T, e *environment, p *v1alpha1.AgentActionPolicy, _ *v1alpha1.ActionApproval) {
			allowed(t, patch(t.Context(), e.person(t, "erin"), p, types.MergePatchType, `{"spec":{"approval":{"validFor":"30m"}}}`))
		}},
		"in a freeze": {asks, func(t *testing.T, e *environment, p *v1alpha1.AgentActionPolicy, _ *v1alpha1.ActionApproval) {
			freeze := e.policyNamed(t, p.Name+"-freeze", strings.TrimPrefix(p.Name, "p-"), frozen)
			e.waitEnforced(t, freeze)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			namespace, agent, web := governed(t, e, tc.spec)
			p := &v1alpha1.AgentActionPolicy{ObjectMeta: metav1.ObjectMeta{Name: "p-" + namespace}}
			act := func() error { return patch(t.Context(), agent, web, types.MergePatchType, toFive) }
			a := grant(t, e, namespace, act)
			gate := e.hold(t, agent, namespace, web.Name)
			if err := giveUp(t.Context(), agent, web); err == nil {
				t.Fatal("it is stored")
			}
			waitUses(t, e, a, 1)
			close(gate.released)
			tc.then(t, e, p, a)
			if err := act(); err == nil {
				t.Error("the banked use passes")
			}
			allowed(t, e.admin.Get(t.Context(), client.ObjectKeyFromObject(web), web))
			if *web.Spec.Replicas != 2 {
				t.Errorf("there are %d replicas", *web.Spec.Replicas)
			}
		})
	}
}

// frozen is a policy that only restricts, with a freeze that has begun.
const frozen = `
enforcement: Enforce
subjects: [AGENT]
outOfScope: Allow
timeZone: UTC
windows:
- {name: always, once: {from: "2020-01-01T00:00:00Z", to: "2099-01-01T00:00:00Z"}}
freezes:
- {window: always, reason: Year-end close}
`

// TestExactlyAsOften has an agent do fifty things at once under a run of its task that allows five, again and again, before
// three replicas.
func TestExactlyAsOften(t *testing.T) {
	const parallel, most = 50, 5
	e, _ := newReplicated(t, 3)
	namespace, agent, _ := governed(t, e, strings.ReplaceAll(fleetTask, "MOST", strconv.Itoa(most)))
	erin := e.person(t, "erin")
	fleet := make([]*appsv1.Deployment, parallel)
	for i := range fleet {
		fleet[i] = deployment(namespace, fmt.Sprintf("web-%d", i))
		fleet[i].Spec.Replicas = new(int32(0))
		allowed(t, e.admin.Create(t.Context(), fleet[i]))
	}
	image := func(round, i int) error {
		body := fmt.Sprintf(`{"spec":{"template":{"spec":{"containers":[{"name":"web","image":"web:r%d"}]}}}}`, round)
		return patch(t.Context(), agent, fleet[i], types.StrategicMergePatchType, body)
	}
	for round := range *rounds {
		a := asked(t, e, namespace, func() error { return image(round, 0) })
		allowed(t, decide(t.Context(), erin, a, "Approve"))
		passed := atOnce(parallel, func(i int) error { return image(round, i) })
		spend(t, e, a, func(i int) { _ = image(round, i%parallel) })
		changed := 0
		var list appsv1.DeploymentList
		allowed(t, e.admin.List(t.Context(), &list, client.InNamespace(namespace)))
		for i := range list.Items {
			if list.Items[i].Spec.Template.Spec.Containers[0].Image == fmt.Sprintf("web:r%d", round) {
				changed++
			}
		}
		if passed > most || changed != most || len(a.Status.Uses) != most {
			t.Fatalf("round %d: %d passed and %d were changed, with %d uses, of %d", round, passed, changed, len(a.Status.Uses), most)
		}
	}
}

// spend waits until every use of an approval is made and settled. A machine under load may have answered a request too
// late that was admitted: then its agent repeats it, as it would, and it costs nothing.
func spend(t *testing.T, e *environment, a *v1alpha1.ActionApproval, repeat func(i int)) {
	t.Helper()
	tried := 0
	operatortest.Eventually(t, a.Name+" is spent", func(ctx context.Context) error {
		if err := e.admin.Get(ctx, client.ObjectKeyFromObject(a), a); err != nil {
			return err
		}
		if state := approval.Evaluate(a, time.Now()); state != approval.Spent {
			repeat(tried)
			tried++
			return fmt.Errorf("it is %s, with the uses %+v", state, a.Status.Uses)
		}
		return nil
	})
}

// fleetTask has people consent to runs of MOST changes of images.
const fleetTask = `
enforcement: Enforce
subjects: [AGENT]
tasks:
- name: roll-images
  scope:
    resourceRules: [{apiGroups: [apps], resources: [deployments], operations: [UPDATE]}]
    namespaces: [NAMESPACE]
    fields: ["spec.template.spec.containers[*].image"]
  approval: {when: Always, covers: Task, maxActions: MOST}
approval:
  requirements:
  - {name: sre, approvers: [{kind: User, name: erin}], minApprovals: 1}
`

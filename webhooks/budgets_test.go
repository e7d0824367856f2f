package webhooks_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/activity"
	"github.com/countersign-dev/countersign/internal/operatortest"
)

// budgeted is a policy under which an agent may write Secrets, and only so many in an hour.
const budgeted = `
enforcement: Enforce
subjects: [AGENT]
tasks:
- name: secrets
  scope:
    resourceRules: [{apiGroups: [""], resources: [secrets], operations: ["*"]}]
    namespaces: [NAMESPACE]
  budget: {maxActions: MOST, per: 1h}
- name: images
  scope:
    resourceRules: [{apiGroups: [apps], resources: [deployments], operations: [UPDATE]}]
    namespaces: [NAMESPACE]
approval:
  requirements:
  - {name: sre, approvers: [{kind: User, name: erin}], minApprovals: 1}
`

// budget is that policy with a number.
func budget(most int) string { return strings.Replace(budgeted, "MOST", fmt.Sprint(most), 1) }

func plainSecret(namespace, name string) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Data: map[string][]byte{"k": []byte("old")}}
}

// did is what is recorded of an agent; nothing where there is none.
func (e *environment) did(t *testing.T, agent *identity) v1alpha1.AgentActivityStatus {
	t.Helper()
	a := &v1alpha1.AgentActivity{}
	err := e.admin.Get(t.Context(), client.ObjectKey{Name: activity.Name(agent.name)}, a)
	if client.IgnoreNotFound(err) != nil {
		t.Fatal(err)
	}
	return a.Status
}

// wantDid checks how many actions of an agent are recorded.
func (e *environment) wantDid(t *testing.T, agent *identity, want int) {
	t.Helper()
	if status := e.did(t, agent); len(status.Recent) != want || status.Admitted != int64(want) {
		t.Fatalf("%d actions are recorded, and %d counted, want %d: %+v", len(status.Recent), status.Admitted, want, status.Recent)
	}
}

// TestBudgetOfReplicas sends fifty different actions at once to three replicas, of which ten may pass; then to the same
// three after a restart.
func TestBudgetOfReplicas(t *testing.T) {
	const most, parallel = 10, 50
	e, replicas := newReplicated(t, 3)
	namespace, agent, web := governed(t, e, budget(most))
	create := func(i int) error { return agent.Create(t.Context(), plainSecret(namespace, fmt.Sprintf("s-%d", i))) }
	answers := make([]error, parallel)
	passed := atOnce(parallel, func(i int) error {
		answers[i] = create(i)
		return answers[i]
	})
	for _, err := range answers {
		if err != nil {
			refused(t, err, "BudgetExceeded")
		}
	}
	var stored corev1.SecretList
	allowed(t, e.admin.List(t.Context(), &stored, client.InNamespace(namespace)))
	if passed != most || len(stored.Items) != most {
		t.Errorf("%d of %d passed and %d are stored, want %d", passed, parallel, len(stored.Items), most)
	}
	e.wantDid(t, agent, most)

	for i := range 3 {
		allowed(t, replicas.Kill(i))
	}
	for i := range 3 {
		replicas.Restart(t, i)
	}
	operatortest.Eventually(t, "a replica answers", func(context.Context) error {
		err := create(parallel)
		if err == nil || !strings.Contains(err.Error(), "[countersign decision=") {
			return fmt.Errorf("the answer is %w", errors.Join(err, errors.New("not a refusal")))
		}
		refused(t, err, "BudgetExceeded")
		return nil
	})
	allowed(t, patch(t.Context(), agent, web, types.MergePatchType, `{"spec":{"replicas":3}}`)) // of another task
	e.wantDid(t, agent, most)
}

func TestBudgets(t *testing.T) {
	e := newEnvironment(t)
	for name, test := range map[string]func(*testing.T, *environment){
		"retries are free":               testRetriesFree,
		"a deletion is one":              testDeletionCounts,
		"dry run is free":                testDryRunFree,
		"what is refused does not count": testRefusedFree,
		"asks when used up":              testBudgetAsks,
		"one more, and many at once":     testOneMoreAtOnce,
		"no policy, no record":           testUnrecordedAgent,
		"others cannot write":            testActivityReserved,
		"an unreadable history refuses":  testForeignActivity,
		"deleting it gives it back":      testActivityDeleted,
		"one read and one write":         testBudgetCost,
		"a table of who did what":        testActivityTable,
		"one that is tried only warns":   testBudgetTried,
	} {
		t.Run(name, func(t *testing.T) { test(t, e) })
	}
}

// testRetriesFree sends one update many times at once: the API server reviews it again after every conflict.
func testRetriesFree(t *testing.T, e *environment) {
	namespace, agent, _ := governed(t, e, budget(1))
	s := plainSecret(namespace, "s")
	allowed(t, e.admin.Create(t.Context(), s))
	if passed := atOnce(12, func(int) error {
		return patch(t.Context(), agent, s, types.MergePatchType, `{"data":{"k":"bmV3"}}`)
	}); passed != 12 {
		t.Errorf("%d of 12 passed", passed)
	}
	e.wantDid(t, agent, 1)
	refused(t, patch(t.Context(), agent, s, types.MergePatchType, `{"data":{"k":"b3RoZXI="}}`), "BudgetExceeded")
	allowed(t, patch(t.Context(), agent, s, types.MergePatchType, `{"data":{"k":"bmV3"}}`)) // changes nothing
}

// testDeletionCounts deletes what has a finalizer: its second review sees an object that is being deleted.
func testDeletionCounts(t *testing.T, e *environment) {
	namespace, agent, _ := governed(t, e, budget(1))
	plain, lingering := plainSecret(namespace, "plain"), plainSecret(namespace, "lingering")
	lingering.Finalizers = []string{"example.com/hold"}
	allowed(t, e.admin.Create(t.Context(), plain))
	allowed(t, e.admin.Create(t.Context(), lingering))
	allowed(t, agent.Delete(t.Context(), lingering))
	allowed(t, agent.Delete(t.Context(), lingering)) // goes on
	e.wantDid(t, agent, 1)
	refused(t, agent.Delete(t.Context(), plain), "BudgetExceeded")
	allowed(t, patch(t.Context(), e.person(t, "erin"), lingering, types.MergePatchType, `{"metadata":{"finalizers":null}}`))
}

func testDryRunFree(t *testing.T, e *environment) {
	namespace, agent, _ := governed(t, e, budget(1))
	for range 3 {
		allowed(t, agent.Create(t.Context(), plainSecret(namespace, "s"), client.DryRunAll))
	}
	e.wantDid(t, agent, 0)
	allowed(t, agent.Create(t.Context(), plainSecret(namespace, "s")))
	err := refused(t, agent.Create(t.Context(), plainSecret(namespace, "t"), client.DryRunAll), "BudgetExceeded")
	for _, want := range []string{
		"budget of task secrets (policy p-" + namespace + ") is used up: 1 of 1 actions within 1h, room again at ", "\nnext: WAIT until ",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the refusal does not say %q:\n%s", want, err)
		}
	}
}

func testRefusedFree(t *testing.T, e *environment) {
	namespace, agent, _ := governed(t, e, budget(1))
	for range 3 {
		refused(t, agent.Create(t.Context(), configMap(namespace, "c")), "ActionOutOfScope")
	}
	e.wantDid(t, agent, 0)
}

// testBudgetAsks has a person consent to one more action than the budget allows.
func testBudgetAsks(t *testing.T, e *environment) {
	namespace, agent, _ := governed(t, e, strings.Replace(budget(1), "per: 1h}", "per: 1h, whenExceeded: RequireApproval}", 1))
	allowed(t, agent.Create(t.Context(), plainSecret(namespace, "one")))
	second := func() error { return agent.Create(t.Context(), plainSecret(namespace, "two")) }
	a := grant(t, e, namespace, second)
	want := v1alpha1.ApprovalReason{Type: "BudgetExceeded", Policy: "p-" + namespace, Task: "secrets"}
	if len(a.Spec.Reasons) != 1 || a.Spec.Reasons[0] != want {
		t.Errorf("the reasons are %+v, want %+v", a.Spec.Reasons, want)
	}
	allowed(t, second())
	checkUses(t, e, a, 1, 0)
	e.wantDid(t, agent, 2)
	refused(t, agent.Create(t.Context(), plainSecret(namespace, "three"), client.DryRunAll), "BudgetExceeded")
}

// testOneMoreAtOnce sends one approved update, and others, many times at once after the budget is used up.
func testOneMoreAtOnce(t *testing.T, e *environment) {
	namespace, agent, _ := governed(t, e, strings.Replace(budget(1), "per: 1h}", "per: 1h, whenExceeded: RequireApproval}", 1))
	s := plainSecret(namespace, "s")
	allowed(t, agent.Create(t.Context(), s))
	more := func() error { return patch(t.Context(), agent, s, types.MergePatchType, `{"data":{"k":"bmV3"}}`) }
	a := grant(t, e, namespace, more)
	approved := make([]error, 20)
	atOnce(len(approved), func(i int) error {
		if i%2 == 0 {
			approved[i] = more()
			return approved[i]
		}
		if err := agent.Create(t.Context(), plainSecret(namespace, fmt.Sprintf("other-%d", i)), client.DryRunAll); err == nil {
			t.Error("what nobody has approved passes")
		}
		return nil
	})
	if err := errors.Join(approved...); err != nil {
		t.Errorf("what was approved is answered by %v", err)
	}
	checkUses(t, e, a, 1, 0)
	e.wantDid(t, agent, 2)
}

// testUnrecordedAgent has an agent at work of whom no policy wants to know what it did.
func testUnrecordedAgent(t *testing.T, e *environment) {
	_, agent, web := governed(t, e, images)
	made := activityRequestsOf(t, e, func() {
		allowed(t, patch(t.Context(), agent, web, types.StrategicMergePatchType,
			`{"spec":{"template":{"spec":{"containers":[{"name":"web","image":"web:2"}]}}}}`))
	})
	if len(made) > 0 {
		t.Errorf("the API server is asked %v about what agents did", made)
	}
	e.wantDid(t, agent, 0)
}

func testActivityReserved(t *testing.T, e *environment) {
	namespace, agent, _ := governed(t, e, budget(3))
	erin := e.person(t, "erin")
	allowed(t, agent.Create(t.Context(), plainSecret(namespace, "one")))
	a := &v1alpha1.AgentActivity{}
	allowed(t, e.admin.Get(t.Context(), client.ObjectKey{Name: activity.Name(agent.name)}, a))
	forgotten := a.DeepCopy()
	forgotten.Status.Recent = nil
	for name, act := range map[string]func() error{
		"erin writes the status": func() error { return erin.Status().Update(t.Context(), forgotten.DeepCopy()) },
		"erin creates one": func() error {
			made := &v1alpha1.AgentActivity{}
			made.Name = "made"
			return erin.Create(t.Context(), made)
		},
	} {
		if err := act(); err == nil || !strings.Contains(err.Error(), "only Countersign writes what agents did") {
			t.Errorf("%s: the answer is %v", name, err)
		}
	}
	allowed(t, patch(t.Context(), erin, a, types.MergePatchType, `{"metadata":{"labels":{"team":"shop"}}}`))
	allowed(t, e.admin.Get(t.Context(), client.ObjectKeyFromObject(a), forgotten))
	forgotten.Status.Recent = nil
	refused(t, agent.Delete(t.Context(), a), "ReservedAction")
	if err := agent.Status().Update(t.Context(), forgotten); !apierrors.IsForbidden(err) { // by whichever webhook answers first
		t.Errorf("the answer is %v", err)
	}
	e.wantDid(t, agent, 1)
}

// testForeignActivity has the history of somebody else stand where the agent's is looked for.
func testForeignActivity(t *testing.T, e *environment) {
	namespace, agent, _ := governed(t, e, budget(3))
	foreign := &v1alpha1.AgentActivity{}
	foreign.Name = activity.Name(agent.name)
	allowed(t, e.admin.Create(t.Context(), foreign))
	foreign.Status.Username = "somebody-else"
	allowed(t, e.admin.Status().Update(t.Context(), foreign))
	err := refused(t, agent.Create(t.Context(), plainSecret(namespace, "one")), "HistoryUnknown")
	if !strings.Contains(err.Error(), "is somebody else's") {
		t.Errorf("the answer is %v", err)
	}
}

func testActivityDeleted(t *testing.T, e *environment) {
	namespace, agent, _ := governed(t, e, budget(1))
	allowed(t, agent.Create(t.Context(), plainSecret(namespace, "one")))
	refused(t, agent.Create(t.Context(), plainSecret(namespace, "two")), "BudgetExceeded")
	known := &v1alpha1.AgentActivity{}
	known.Name = activity.Name(agent.name)
	allowed(t, e.person(t, "erin").Delete(t.Context(), known))
	allowed(t, agent.Create(t.Context(), plainSecret(namespace, "two")))
	e.wantDid(t, agent, 1)
}

// testBudgetTried has a budget and a guard of policies that are only tried say what they would do, and nothing more.
func testBudgetTried(t *testing.T, e *environment) {
	namespace, agent, _ := governed(t, e, `
enforcement: Enforce
subjects: [AGENT]
outOfScope: Allow
guards: [{name: no-maps, expression: "false", resourceRules: [{apiGroups: [""], resources: [configmaps], operations: ["*"]}]}]
`)
	warn := strings.Replace(budget(2), "Enforce", "Warn", 1)
	e.waitEnforced(t, e.policyNamed(t, "tried-"+namespace, namespace, warn))
	e.waitEnforced(t, e.policyNamed(t, "looks-"+namespace, namespace, strings.Replace(chained, "Enforce", "Warn", 1)+
		`- {name: few, expression: recent.size() < 3, lookBack: 1h}`))
	client := e.withWarnings(t, agent)
	for i, want := range []string{
		"", "",
		"policy tried-" + namespace + " would refuse this: budget of task secrets (policy tried-" + namespace + ") is used up",
		"policy looks-" + namespace + " would refuse this: guard few (policy looks-" + namespace + "): failed expression",
	} {
		client.warnings = nil
		allowed(t, client.Create(t.Context(), plainSecret(namespace, fmt.Sprint("s-", i))))
		text := strings.Join(client.warnings, "\n")
		if want == "" && text != "" || !strings.Contains(text, want[:min(len(want), 100)]) {
			t.Errorf("creation %d is answered with the warnings %q, want %q", i, text, want)
		}
	}
	e.wantDid(t, agent, 4)
	if recent := e.did(t, agent).Recent; len(recent[0].Tried) != 1 || recent[0].Tried[0] != "tried-"+namespace+"/secrets" || len(recent[3].Tried) > 0 {
		t.Errorf("recorded are %+v", recent)
	}
}

// testActivityTable reads the table that kubectl prints.
func testActivityTable(t *testing.T, e *environment) {
	namespace, agent, _ := governed(t, e, budget(3))
	allowed(t, agent.Create(t.Context(), plainSecret(namespace, "one")))
	allowed(t, agent.Create(t.Context(), plainSecret(namespace, "db-credentials")))
	s := &scene{environment: e, namespace: namespace}
	table, err := s.kubectl(t, e.person(t, "erin"), "get", "aact", activity.Name(agent.name))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(table), "\n")
	head, row := strings.Fields(lines[0]), strings.Fields(lines[len(lines)-1])
	if got, want := strings.Join(head, " "), "NAME AGENT LAST TARGET IN TASK WHEN TOTAL"; got != want {
		t.Errorf("the columns are %q, want %q", got, want)
	}
	want := []string{activity.Name(agent.name), namespace + "/agent", "create", "secrets/db-credentials", namespace, "secrets"}
	if len(row) != 8 || strings.Join(row[:6], " ") != strings.Join(want, " ") || row[7] != "2" {
		t.Errorf("the row is %q, want %q, a time and 2", row, want)
	}
	for _, line := range lines {
		if n := len([]rune(line)); n > 120 {
			t.Errorf("a line has %d characters:\n%s", n, table)
		}
	}
}

// testBudgetCost counts what the API server is asked about what an agent did, and logs how long actions take.
func testBudgetCost(t *testing.T, e *environment) {
	const n = 50
	took := func(agent *identity, namespace string) []time.Duration {
		var all []time.Duration
		for i := range n {
			began := time.Now()
			allowed(t, agent.Create(t.Context(), plainSecret(namespace, fmt.Sprintf("s-%d", i))))
			all = append(all, time.Since(began))
		}
		slices.Sort(all)
		return all
	}
	namespace, agent, _ := governed(t, e, strings.Replace(budgeted, "  budget: {maxActions: MOST, per: 1h}\n", "", 1))
	plain := took(agent, namespace)
	namespace, agent, _ = governed(t, e, budget(100))
	var counted []time.Duration
	made := activityRequestsOf(t, e, func() { counted = took(agent, namespace) })
	t.Logf("of %d creations the median takes %s, with a budget %s", n, plain[n/2], counted[n/2])
	e.wantDid(t, agent, n)

	want := map[string]int{"GET": n, "PUT": n, "POST": 1} // the first action makes the object
	if diff := cmp.Diff(want, made); diff != "" {
		t.Errorf("requests differ (-want +got):\n%s", diff)
	}
}

var activityRequests = regexp.MustCompile(`(?m)^apiserver_request_total\{.*resource="agentactivities".*verb="(GET|PUT|POST|PATCH|DELETE)".*\} ([0-9]+)$`)

// activityRequestsOf is what the API server counts of requests about what agents did, by verb, while something is done.
func activityRequestsOf(t *testing.T, e *environment, act func()) map[string]int {
	t.Helper()
	admin := e.identity(t, "admin", e.plane.Kubeconfig("admin"))
	counted := map[string]int{}
	add := func(sign int) {
		text, err := admin.CoreV1().RESTClient().Get().AbsPath("/metrics").DoRaw(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range activityRequests.FindAllStringSubmatch(string(text), -1) {
			n, err := strconv.Atoi(match[2])
			if err != nil {
				t.Fatal(err)
			}
			counted[match[1]] += sign * n
		}
	}
	add(-1)
	act()
	add(1)
	maps.DeleteFunc(counted, func(_ string, n int) bool { return n == 0 })
	return counted
}

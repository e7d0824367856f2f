package main_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/hack/controlplane"
	"github.com/countersign-dev/countersign/internal/operatortest"
)

// laboratory is a cluster with the operator, an agent robots/robot that is governed, and people: rita may read everything,
// nora nothing.
type laboratory struct {
	plane             *controlplane.Plane
	admin             client.Client
	robot, rita, nora string
	operator          *operatortest.Operator
}

const (
	robot = "system:serviceaccount:robots:robot"
	// laboratoryPolicy has a window that opens in years, so that refusals do not depend on the day of the test.
	laboratoryPolicy = `
enforcement: Enforce
subjects: [{kind: ServiceAccount, namespace: robots, name: robot}]
timeZone: Europe/Berlin
windows:
- {name: new-year, once: {from: "2034-01-07T22:00:00+01:00", to: "2034-01-08T06:00:00+01:00"}}
tasks:
- name: roll-images
  scope:
    resourceRules: [{apiGroups: [apps], resources: [deployments], operations: [UPDATE]}]
    namespaces: [lab]
    fields: ["spec.template.spec.containers[*].image"]
- name: scale
  scope:
    resourceRules: [{apiGroups: [apps], resources: [deployments], operations: [UPDATE]}]
    namespaces: [lab]
    fields: [spec.replicas]
  changeWindows: {allowed: [new-year]}
  budget: {maxActions: 5, per: 1h}
- name: clean
  scope:
    resourceRules:
    - {apiGroups: [""], resources: [configmaps], operations: [CREATE, DELETE]}
    - {apiGroups: [""], resources: [pods], operations: [DELETE]}
    namespaces: [lab]
  approval: {when: Always}
`
)

func newLaboratory(t *testing.T) *laboratory {
	t.Helper()
	plane := controlplane.Shared(t)
	l := &laboratory{plane: plane, admin: operatortest.NewClient(t, plane.AdminConfig())}
	operatortest.ApplyDefinitions(t, l.admin)
	l.operator = operatortest.Start(t, plane.Kubeconfig("admin"), "--namespace", "default")
	var err error
	if l.rita, err = plane.PersonKubeconfig("rita"); err != nil {
		t.Fatal(err)
	}
	if l.nora, err = plane.PersonKubeconfig("nora"); err != nil {
		t.Fatal(err)
	}
	for _, o := range []client.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "robots"}},
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "lab"}},
		&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "lab", Name: "default"}},
		&rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "read-all"}, Rules: []rbacv1.PolicyRule{{
			APIGroups: []string{"*"}, Resources: []string{"*"}, Verbs: []string{"get", "list", "watch"},
		}}},
		bindingOf("read-all", rbacv1.Subject{Kind: "User", Name: "rita"}),
		bindingOf("cluster-admin", rbacv1.Subject{Kind: "ServiceAccount", Namespace: "robots", Name: "robot"}),
		laboratoryDeployment(), laboratoryPod(),
	} {
		if err := l.admin.Create(t.Context(), o); client.IgnoreAlreadyExists(err) != nil {
			t.Fatal(err)
		}
	}
	if l.robot, err = plane.ServiceAccountKubeconfig(t.Context(), "robots", "robot"); err != nil {
		t.Fatal(err)
	}
	l.govern(t)
	return l
}

func bindingOf(role string, to rbacv1.Subject) *rbacv1.ClusterRoleBinding {
	return &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: role + "-of-" + to.Name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role}, Subjects: []rbacv1.Subject{to},
	}
}

func laboratoryDeployment() *appsv1.Deployment {
	labels := map[string]string{"app": "web"}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: "lab", Name: "web", Labels: labels},
		Spec: appsv1.DeploymentSpec{Replicas: new(int32(0)), Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: labels},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "web", Image: "web:1"}}},
		}},
	}
}

func laboratoryPod() *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "lab", Name: "bench"},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "web", Image: "web:1"}}},
	}
}

// govern stores the policy and waits until the API server has the agent's actions judged.
func (l *laboratory) govern(t *testing.T) {
	t.Helper()
	p := &v1alpha1.AgentActionPolicy{ObjectMeta: metav1.ObjectMeta{Name: "laboratory"}}
	if err := yaml.UnmarshalStrict([]byte(laboratoryPolicy), &p.Spec); err != nil {
		t.Fatal(err)
	}
	operatortest.Eventually(t, "the policy is stored", func(ctx context.Context) error {
		return client.IgnoreAlreadyExists(l.admin.Create(ctx, p))
	})
	t.Cleanup(func() {
		if err := l.admin.Delete(context.Background(), p); client.IgnoreNotFound(err) != nil {
			t.Errorf("deleting the policy: %v", err)
		}
		// Other tests list what is in all namespaces.
		if err := l.admin.DeleteAllOf(context.Background(), &v1alpha1.ActionApproval{}, client.InNamespace("lab")); err != nil {
			t.Errorf("deleting the approvals: %v", err)
		}
	})
	operatortest.Eventually(t, "the agent is governed", func(context.Context) error {
		if refusal := l.kubectl(t, "create configmap probe -n lab --dry-run=server"); refusal.facts["decision"] != "RequireApproval" {
			return fmt.Errorf("it is answered: %s", refusal.text)
		}
		return nil
	})
}

// answer is what the API server says to the agent.
type answer struct {
	text string
	// facts are those of the last line of a refusal.
	facts map[string]string
}

var tail = regexp.MustCompile(`\[countersign ([^\]]+)\]`)

func factsOf(text string) map[string]string {
	facts := map[string]string{}
	if found := tail.FindStringSubmatch(text); found != nil {
		for field := range strings.FieldsSeq(found[1]) {
			key, value, _ := strings.Cut(field, "=")
			facts[key] = value
		}
	}
	return facts
}

// kubectl runs the real one as the agent.
func (l *laboratory) kubectl(t *testing.T, line string) answer {
	t.Helper()
	command := exec.CommandContext(t.Context(), filepath.Join(l.plane.BinDir(), "kubectl"), strings.Fields(line)...)
	command.Env = environment(t, l.robot)
	output, err := command.CombinedOutput()
	if err == nil {
		return answer{text: string(output), facts: map[string]string{"decision": "Allow"}}
	}
	return answer{text: string(output), facts: factsOf(string(output))}
}

// TestCanI asks as a person who may only read what would become of actions, then has the agent try them with kubectl: the
// decision, the reasons, the policy, the approval and the instant must be the same.
func TestCanI(t *testing.T) {
	l := newLaboratory(t)
	manifest := func(name, text string) string {
		file := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	image := manifest("image.yaml", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: lab}\n"+
		"spec:\n  selector: {matchLabels: {app: web}}\n  template:\n    metadata: {labels: {app: web}}\n    spec: {containers: [{name: web, image: \"web:2\"}]}\n")
	more := manifest("more.yaml", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: lab, labels: {tier: front}}\n"+
		"spec:\n  replicas: 3\n  selector: {matchLabels: {app: web}}\n  template:\n    metadata: {labels: {app: web}}\n    spec: {containers: [{name: web, image: \"web:2\"}]}\n")
	notes := manifest("notes.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: notes, namespace: lab}\ndata: {text: hello}\n")
	for _, tc := range []struct{ name, ask, try, reasons string }{
		{"scale", "scale deploy/web --replicas 3", "scale deploy/web --replicas=3", "ChangeWindowClosed"},
		{"a field", "update deployment web --set spec.paused=true", `patch deploy/web -p {"spec":{"paused":true}}`, "FieldOutOfScope"},
		{"two fields", "update deploy/web -f " + more, "apply --server-side --force-conflicts -f " + more, "FieldOutOfScope"},
		{"a new object", "create -f " + notes, "create -f " + notes, "ApprovalRequired"},
		{"the same by apply", "apply -f " + notes, "apply --server-side -f " + notes, "ApprovalRequired"},
		{"a delete", "delete pod/bench", "delete pod/bench --wait=false", "ApprovalRequired"},
		{"a delete of what no task names", "delete deploy/web", "delete deploy/web", "ActionOutOfScope"},
		{"a cluster-scoped object", "delete ns/lab", "delete ns/lab", "ActionOutOfScope"},
		{"what is reserved", "delete aap/laboratory", "delete aap/laboratory", "ReservedAction"},
		{"a session", "exec pod/bench", "exec bench -- id", "ActionOutOfScope"},
		{"nothing changes", "update deploy/web --set spec.replicas=0", `patch deploy/web -p {"spec":{"replicas":0}}`, ""},
		{"an image", "update deploy/web -f " + image, "set image deploy/web web=web:2", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := run(t, l.rita, append(strings.Fields("can-i "+tc.ask), "-n", "lab", "--as", robot, "-o", "json")...)
			var reports []struct{ Outcome, Message string }
			if err := json.Unmarshal([]byte(got.out), &reports); err != nil || len(reports) != 1 {
				t.Fatalf("it ends with %d: %v\n%s", got.code, err, got.out+got.err)
			}
			said := factsOf(reports[0].Message)
			if tc.reasons == "" {
				said["decision"] = reports[0].Outcome
			}
			tried := l.kubectl(t, "-n lab "+tc.try)
			delete(tried.facts, "hash")
			if said["approval"] == "" { // nothing had been asked for yet
				delete(tried.facts, "approval")
			}
			if diff := cmp.Diff(tried.facts, said); diff != "" || said["reasons"] != tc.reasons {
				t.Errorf("tried (-) and said (+):\n%s\ntried: %s\nsaid: %s", diff, tried.text, reports[0].Message)
			}
			if want := map[bool]int{true: 0, false: 1}[tc.reasons == ""]; got.code != want {
				t.Errorf("it ends with %d, not %d", got.code, want)
			}
		})
	}
	t.Run("approvals", l.testApprovals)
	t.Run("golden", l.testText)
	t.Run("explain", l.testExplain)
	t.Run("windows", l.testWindows)
	t.Run("what cannot be said", l.testNoAnswer)
	t.Run("quickly", l.testQuickly)
}

// testApprovals follows an approval from the question to its use.
func (l *laboratory) testApprovals(t *testing.T) {
	ask := func() result { return run(t, l.rita, "can-i", "delete", "cm/old", "-n", "lab", "--as", robot) }
	if err := l.admin.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "lab", Name: "old"}}); err != nil {
		t.Fatal(err)
	}
	if got := ask(); got.code != 1 || !strings.Contains(got.out, "people can approve this once it is tried") {
		t.Errorf("before it is tried it ends with %d: %s", got.code, got.out+got.err)
	}
	namespace, name, ok := strings.Cut(l.kubectl(t, "delete cm/old -n lab").facts["approval"], "/")
	if !ok {
		t.Fatal("no approval was opened")
	}
	if got := ask(); got.code != 1 || !strings.Contains(got.out, name+" is pending") {
		t.Errorf("while it is pending it ends with %d: %s", got.code, got.out+got.err)
	}
	person, err := l.plane.PersonKubeconfig("petra", "system:masters")
	if err != nil {
		t.Fatal(err)
	}
	config, err := l.plane.Config(person)
	if err != nil {
		t.Fatal(err)
	}
	approved := &v1alpha1.ActionApproval{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	patch := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"decision":{"verdict":"Approve"}}}`))
	if err := operatortest.NewClient(t, config).Patch(t.Context(), approved, patch); err != nil {
		t.Fatal(err)
	}
	if got := ask(); got.code != 0 || !strings.Contains(got.out, "yes, by approval") || !strings.Contains(got.out, "it would be redeemed") {
		t.Errorf("once it is approved it ends with %d: %s", got.code, got.out+got.err)
	}
	later := run(t, l.rita, "can-i", "delete", "cm/old", "-n", "lab", "--as", robot, "--at", "+30d")
	if later.code != 1 || !strings.Contains(later.out, "is expired") {
		t.Errorf("in a month it ends with %d: %s", later.code, later.out+later.err)
	}
	if tried := l.kubectl(t, "delete cm/old -n lab"); tried.facts["decision"] != "Allow" {
		t.Errorf("the agent is refused: %s", tried.text)
	}
}

// testText pins what people read, with a clock that stands still.
func (l *laboratory) testText(t *testing.T) {
	for name, args := range map[string][]string{
		"refused":     {"scale", "deploy/web", "--replicas", "3", "--at", "2033-11-24T10:00:00+01:00"},
		"in-window":   {"scale", "deploy/web", "--replicas", "3", "--at", "2034-01-07T23:00:00+01:00"},
		"narrow":      {"update", "deploy/web", "--set", "spec.replicas=3", "--set", "spec.paused=true", "--at", "2033-11-24T10:00:00+01:00"},
		"yaml":        {"delete", "deploy/web", "--at", "2033-11-24T10:00:00+01:00", "-o", "yaml"},
		"other-agent": {"delete", "deploy/web", "--at", "2033-11-24T10:00:00+01:00", "--as", "anna"},
	} {
		t.Run(name, func(t *testing.T) {
			got := run(t, l.rita, append([]string{"can-i", "-n", "lab", "--as", robot}, args...)...)
			golden(t, "can-i/"+name, masked(got.out+got.err)+fmt.Sprintf("exit code %d\n", got.code))
		})
	}
	for name, columns := range map[string]uint16{"screen-80": 80, "screen-120": 120} {
		got := runOnScreen(t, columns, l.rita, []string{"NO_COLOR=1"}, "can-i", "scale", "deploy/web", "--replicas", "3", "-n", "lab",
			"--as", robot, "--at", "2033-11-24T10:00:00+01:00")
		golden(t, "can-i/"+name, got.out)
	}
}

// testWindows reads the policies of the cluster.
func (l *laboratory) testWindows(t *testing.T) {
	got := run(t, l.rita, "windows", "laboratory", "--from", "2034-01-06T12:00:00+01:00", "--next", "3d")
	golden(t, "windows/cluster", got.out+got.err)
	if got := run(t, l.nora, "windows"); got.code != 1 || !strings.Contains(got.err, "nora may not list agentactionpolicies") {
		t.Errorf("without rights it ends with %d: %s", got.code, got.out+got.err)
	}
}

// unstable is what differs from one run to the next: names of approvals, UIDs, hashes, pods of the operator, and when
// something was recorded.
var unstable = []struct {
	pattern *regexp.Regexp
	with    string
}{
	{regexp.MustCompile(`-[0-9a-hjkmnp-tv-z]{20}\b`), "-APPROVAL"},
	{regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}`), "UID"},
	{regexp.MustCompile(`v1:[0-9a-f]{64}`), "HASH"},
	{regexp.MustCompile(`countersign/[\w.-]+`), "countersign/HOST"},
	{regexp.MustCompile(`20(?:2\d|3[0-8])-\d\d-\d\d \d\d:\d\d:\d\dZ`), "RECORDED"},
}

func masked(text string) string {
	for _, u := range unstable {
		text = u.pattern.ReplaceAllString(text, u.with)
	}
	return text
}

// testExplain has the agent be refused, and explains that by the approval and by the decision log.
func (l *laboratory) testExplain(t *testing.T) {
	if err := l.admin.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "lab", Name: "older"}}); err != nil {
		t.Fatal(err)
	}
	_, name, ok := strings.Cut(l.kubectl(t, "delete cm/older -n lab").facts["approval"], "/")
	if !ok {
		t.Fatal("no approval was opened")
	}
	if refused := l.kubectl(t, "scale deploy/web --replicas=7 -n lab"); refused.facts["reasons"] != "ChangeWindowClosed" {
		t.Fatal(refused.text)
	}
	log := filepath.Join(t.TempDir(), "decisions.log")
	lines := append([]string{"a line that is no decision"}, l.operator.DecisionLines(t, "ChangeWindowClosed")...)
	if err := os.WriteFile(log, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	closed := []string{"--at", "2033-11-24T10:00:00+01:00"}
	for file, args := range map[string][]string{
		"name":      append([]string{name, "-n", "lab"}, closed...),
		"last":      append([]string{"last", "-n", "lab", "--as", robot}, closed...),
		"log":       append([]string{"last", "--log", log}, closed...),
		"in-window": {"last", "--log", log, "--at", "2034-01-07T23:00:00+01:00"},
	} {
		got := run(t, l.rita, append([]string{"explain"}, args...)...)
		golden(t, "explain/"+file, masked(got.out+got.err)+fmt.Sprintf("exit code %d\n", got.code))
	}
	for file, columns := range map[string]uint16{"screen-80": 80, "screen-120": 120} {
		got := runOnScreen(t, columns, l.rita, []string{"NO_COLOR=1"}, append([]string{"explain", "last", "--log", log}, closed...)...)
		golden(t, "explain/"+file, masked(got.out))
	}
	l.kubectl(t, "create cm more -n lab")
	for text, args := range map[string][]string{
		"the object that was to be created is not recorded": {"last", "-n", "lab"},
		"error: there is no approval in namespace default":  {"last", "-n", "default"},
		"error: there is no approval none":                  {"none", "-n", "lab"},
		"error: the log holds no such decision":             {"none", "--log", log},
		"error: open none.log: no such file or directory":   {"last", "--log", "none.log"},
		`"outcome": "RequireApproval"`:                      {name, "-n", "lab", "-o", "json"},
	} {
		if got := run(t, l.rita, append([]string{"explain"}, args...)...); !strings.Contains(got.out+got.err, text) {
			t.Errorf("explain %v ends with %d: %s", args, got.code, got.out+got.err)
		}
	}
}

// testNoAnswer wants one clear sentence and the exit code 2.
func (l *laboratory) testNoAnswer(t *testing.T) {
	nowhere := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(nowhere, []byte("{apiVersion: v1, kind: Config, current-context: a, contexts: [{name: a, context: {cluster: a, user: a}}], "+
		"clusters: [{name: a, cluster: {server: \"https://127.0.0.1:1\"}}], users: [{name: a, user: {token: a}}]}"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		kubeconfig string
		args       []string
		want       string
	}{
		"no rights":      {l.nora, []string{"delete", "deploy/web"}, "nora may not list agentactionpolicies"},
		"no server":      {nowhere, []string{"delete", "deploy/web"}, "cannot reach the API server at https://127.0.0.1:1"},
		"no object":      {l.rita, []string{"delete", "deploy/none"}, `deployments.apps "none" not found`},
		"no kind":        {l.rita, []string{"delete", "shard/one"}, `the cluster has no resource "shard"`},
		"no verb":        {l.rita, []string{"watch", "deploy/web"}, `"watch" is none of the verbs`},
		"no target":      {l.rita, []string{"delete"}, "say what the action is about"},
		"no instant":     {l.rita, []string{"delete", "deploy/web", "--at", "someday"}, "write an instant such as"},
		"no content":     {l.rita, []string{"update", "deploy/web"}, "say what is to be"},
		"no such file":   {l.rita, []string{"create", "-f", "none.yaml"}, "no such file: none.yaml"},
		"no such path":   {l.rita, []string{"update", "deploy/web", "--set", "spec..x=1"}, "position 6"},
		"no such zone":   {l.rita, []string{"delete", "deploy/web", "--tz", "Mars/Base"}, "unknown time zone"},
		"no such format": {l.rita, []string{"delete", "deploy/web", "-o", "wide"}, "write json or yaml"},
	} {
		t.Run(name, func(t *testing.T) {
			got := run(t, tc.kubeconfig, append([]string{"can-i", "-n", "lab", "--as", robot}, tc.args...)...)
			if got.code != 2 || !strings.HasPrefix(got.err, "error: ") || !strings.Contains(got.err, tc.want) || strings.Count(got.err, "\n") != 1 {
				t.Errorf("it ends with %d and says %s", got.code, got.out+got.err)
			}
		})
	}
}

// testQuickly looks at how long an answer takes: the fastest of several, since the machine may be busy.
func (l *laboratory) testQuickly(t *testing.T) {
	fastest := time.Hour
	for range 5 {
		began := time.Now()
		run(t, l.rita, "can-i", "scale", "deploy/web", "--replicas", "3", "-n", "lab", "--as", robot)
		fastest = min(fastest, time.Since(began))
	}
	t.Logf("an answer takes %v", fastest)
	if fastest > 2*time.Second {
		t.Errorf("an answer takes %v", fastest)
	}
}

package controllers_test

import (
	"fmt"
	"strings"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/controllers"
)

// TestConfiguration checks the stored entries: who is sent to the operator, and that no selector lets anybody out.
func TestConfiguration(t *testing.T) {
	b := newBench(t, `
enforcement: Enforce
outOfScope: Allow
subjects:
- {kind: ServiceAccount, namespace: ci, name: bot}
- {kind: ServiceAccount, namespace: agents, name: "*"}
- {kind: User, name: "o'brien \"the bot\""}
- {kind: Group, name: ai-agents}
- {kind: Group, name: "system:serviceaccounts:robots"}
- {kind: Governed}
`, berlin(t, "2026-11-23T12:00:00+01:00"))
	observed := b.stored.DeepCopy()
	observed.Name, observed.UID, observed.Spec.Enforcement = "observed", "o", v1alpha1.Audit
	observed.Spec.Subjects = []v1alpha1.Subject{{Kind: v1alpha1.SubjectServiceAccount, Namespace: "ci", Name: "watched"}}
	b.registry.Update([]*v1alpha1.AgentActionPolicy{b.stored, observed})
	if err := b.configure(t); err != nil {
		t.Fatal(err)
	}
	stored := &admissionregistrationv1.ValidatingWebhookConfiguration{}
	if err := b.Get(t.Context(), client.ObjectKey{Name: controllers.ActionsConfiguration}, stored); err != nil {
		t.Fatal(err)
	}
	governed := `(has(request.userInfo.username) && (request.userInfo.username in ["o'brien \"the bot\""] || ` +
		`(request.userInfo.username.startsWith('system:serviceaccount:') && request.userInfo.username.substring(22) in ["ci:bot"]) || ` +
		`(request.userInfo.username.startsWith('system:serviceaccount:') && request.userInfo.username.split(':')[2] in ["agents", "robots"]))) || ` +
		`(has(request.userInfo.groups) && request.userInfo.groups.exists(g, g in ["ai-agents", "system:serviceaccounts:robots"]))`
	want := map[string][]string{
		"enforce.countersign.dev": {governed},
		"observe.countersign.dev": {`(has(request.userInfo.username) && ((request.userInfo.username.startsWith('system:serviceaccount:') && ` +
			`request.userInfo.username.substring(22) in ["ci:watched"])))`, "!(" + governed + ")"},
	}
	if len(stored.Webhooks) != len(want) {
		t.Fatalf("there are %d entries: %+v", len(stored.Webhooks), stored.Webhooks)
	}
	for _, hook := range stored.Webhooks {
		checkEntry(t, hook, want[hook.Name])
	}
}

func checkEntry(t *testing.T, hook admissionregistrationv1.ValidatingWebhook, want []string) {
	t.Helper()
	var got []string
	for _, c := range hook.MatchConditions {
		got = append(got, c.Expression)
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%s matches\n%s\nwant\n%s", hook.Name, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if len(hook.NamespaceSelector.MatchLabels)+len(hook.NamespaceSelector.MatchExpressions)+
		len(hook.ObjectSelector.MatchLabels)+len(hook.ObjectSelector.MatchExpressions) > 0 {
		t.Errorf("%s has a selector", hook.Name)
	}
	failure := admissionregistrationv1.Fail
	if strings.HasPrefix(hook.Name, "observe") {
		failure = admissionregistrationv1.Ignore
	}
	if *hook.FailurePolicy != failure {
		t.Errorf("%s has failure policy %s, want %s", hook.Name, *hook.FailurePolicy, failure)
	}
}

// TestTooManySubjects has more subjects than the API server takes: what was there first stays in force, and the
// policy that does not fit says so.
func TestTooManySubjects(t *testing.T) {
	now := berlin(t, "2026-11-23T12:00:00+01:00")
	late := "{kind: User, name: late-" + strings.Repeat("x", 200)
	b := newBench(t, "enforcement: Enforce\noutOfScope: Allow\nsubjects: ["+distinct(late, 12)+late+"-and-last}]\n", now)
	b.stored.CreationTimestamp = metav1.NewTime(now)
	all := []*v1alpha1.AgentActionPolicy{b.stored.DeepCopy()}
	for i := range 64 {
		early := b.stored.DeepCopy()
		early.Name, early.UID = fmt.Sprintf("early-%d", i), "e"
		early.CreationTimestamp = metav1.NewTime(now.AddDate(-1, 0, i))
		early.Spec.Subjects = nil
		for j := range 64 {
			early.Spec.Subjects = append(early.Spec.Subjects, v1alpha1.Subject{Kind: v1alpha1.SubjectUser, Name: fmt.Sprintf("somebody-with-a-name-%03d-%03d", i, j)})
		}
		all = append(all, early)
	}
	b.registry.Update(all)
	if err := b.configure(t); err != nil {
		t.Fatalf("the API server does not take the largest configuration: %v", err)
	}
	b.reconcile(t)
	c := meta.FindStatusCondition(b.stored.Status.Conditions, v1alpha1.PolicyEnforced)
	if c == nil || c.Reason != v1alpha1.ReasonConfigurationTooLarge {
		t.Errorf("the condition of the policy that came last is %+v", c)
	}
	stored := &admissionregistrationv1.ValidatingWebhookConfiguration{}
	if err := b.Get(t.Context(), client.ObjectKey{Name: controllers.ActionsConfiguration}, stored); err != nil {
		t.Fatal(err)
	}
	text := stored.Webhooks[0].MatchConditions[0].Expression
	if !strings.Contains(text, "somebody-with-a-name-000-000") || strings.Contains(text, "late-x") {
		t.Errorf("the subjects in force are not those that came first")
	}
}

// distinct repeats the beginning of a list entry with a number each.
func distinct(entry string, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%s-%d}, ", entry, i)
	}
	return b.String()
}

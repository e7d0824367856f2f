package policy

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/action"
)

// TestNothingWaivesReserved has policies allow, ask about or govern other things than an action that is reserved: the
// answer is the same, nobody is asked, and nothing is said that would suffice.
func TestNothingWaivesReserved(t *testing.T) {
	const everything = `
tasks:
- name: all
  scope: {resourceRules: [{apiGroups: ["*"], resources: [serviceaccounts/token], operations: ["*"]}]}
`
	for name, policies := range map[string]map[string]string{
		"a task covers it":               {"p": subjects + everything},
		"a task that always asks":        {"p": subjects + everything + "  approval: {when: Always}\n"},
		"asking about what is left over": {"p": subjects + "outOfScope: RequireApproval\n"},
		"allowing what is left over":     {"p": subjects + "outOfScope: Allow\n"},
		"governing something else":       {"p": deploymentsOnly},
		"governing nothing of it":        {"p": subjects + "governs: {excludeResourceRules: [{apiGroups: [\"*\"], resources: [\"*/*\"], operations: [\"*\"]}]}\n"},
		"a window that is open":          {"p": subjects + windows + "changeWindows: {allowed: [days]}\noutOfScope: Allow\n"},
		"a policy that only watches too": {"p": deploymentsOnly, "q": strings.Replace(subjects, "Enforce", "Audit", 1)},
		"a window that opens later":      {"p": subjects + windows + "changeWindows: {allowed: [nights]}\noutOfScope: Allow\n"},
	} {
		t.Run(name, func(t *testing.T) {
			a := attempt{resource: "/serviceaccounts/token", namespace: "ci", name: "deployer", uid: "x"}.action(t)
			d := setOf(t, policies).Decide(Input{Action: a, Now: berlinNoon, NamespaceLabels: map[string]string{}})
			if diff := cmp.Diff([]string{"ReservedAction"}, d.Reasons()); diff != "" || d.Outcome != Deny {
				t.Fatalf("the outcome is %s, reasons (-want +got):\n%s", d.Outcome, diff)
			}
			if text := Refusal(Headline(a), &d, ""); !strings.Contains(text, "\nnext: STOP: no policy and no approval allows this; a person must do it\n") {
				t.Errorf("the refusal is %s", text)
			}
		})
	}
	watched := setOf(t, map[string]string{"q": strings.Replace(subjects, "Enforce", "Warn", 1) + "outOfScope: Allow\n"})
	a := attempt{resource: "/serviceaccounts/token", namespace: "ci", name: "deployer", uid: "x"}.action(t)
	d := watched.Decide(Input{Action: a, Now: berlinNoon})
	if d.Outcome != Allow || len(d.Shadows) != 1 || d.Shadows[0].Decision.Outcome != Deny {
		t.Errorf("an account that is only watched gets %s, with %+v", d.Outcome, d.Shadows)
	}
}

// TestCanary is governed and refused everything, with and without policies.
func TestCanary(t *testing.T) {
	const name = "system:serviceaccount:countersign-system:countersign-canary"
	bystander := Compile(policyOf(t, "p", subjects+"outOfScope: Allow\n"), Identity{})
	for what, policies := range map[string][]*Policy{"no policies": nil, "one about others": {bystander}} {
		set := NewSet(policies, Operator{Canary: name})
		for _, namespace := range []string{"countersign-system", "elsewhere"} {
			a := &action.Action{
				Operation: v1alpha1.OperationCreate, Resource: "configmaps", Version: "v1", Namespaced: true, Namespace: namespace,
				Actor: action.Actor{Username: name}, New: map[string]any{"kind": "ConfigMap"},
			}
			d := set.Decide(Input{Action: a, Now: berlinNoon})
			if d.Outcome != Deny || !d.Governed || d.Obstacles[0].Reason != ReservedAction {
				t.Errorf("%s: in %s the canary is answered by %+v", what, namespace, d)
			}
			a.Actor.Username += "2"
			if d := set.Decide(Input{Action: a, Now: berlinNoon}); d.Outcome != Allow || d.Governed {
				t.Errorf("%s: another account is taken for the canary: %+v", what, d)
			}
		}
		if none := NewSet(policies, Operator{}); none.Governs(action.Actor{}) {
			t.Errorf("%s: without a canary a caller without a name is governed", what)
		}
	}
}

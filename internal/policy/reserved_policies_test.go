package policy

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
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

package policy

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-dev/countersign/internal/action"
)

// scale is an update of the number of replicas, as the normal form has it whichever way it comes.
func scale(from, to int64) *action.Action {
	return with(update(), func(a *action.Action) {
		replicas := func(n int64) action.Value { return action.Value{Present: true, V: n} }
		a.Old = map[string]any{"spec": map[string]any{"replicas": from}}
		a.New = map[string]any{"spec": map[string]any{"replicas": to}}
		a.Changes = []action.Change{{Path: replicasPath, From: replicas(from), To: replicas(to)}}
	})
}

const scaling = `
approval:
  requirements:
  - {name: one, minApprovals: 1}
  - {name: two, minApprovals: 2}
tasks:
- name: scale
  scope:
    resourceRules: [{apiGroups: [apps], resources: [deployments], operations: [UPDATE]}]
    fields: [spec.replicas]
guards:
- name: small-steps
  expression: object.spec.replicas - oldObject.spec.replicas <= 5
  messageExpression: "'scaling by ' + string(object.spec.replicas - oldObject.spec.replicas)"
  whenViolated: RequireApproval
  requirements: [two]
- name: never-all
  resourceRules: [{apiGroups: [apps], resources: [deployments], operations: [UPDATE]}]
  expression: object.spec.replicas > 0 && task == 'p/scale'
- name: about-pods
  resourceRules: [{apiGroups: [""], resources: [pods], operations: ["*"]}]
  expression: "false"
`

func TestGuards(t *testing.T) {
	tests := map[string]struct {
		policies map[string]string
		action   *action.Action

		wantOutcome   Outcome
		wantObstacles []string
	}{
		"they pass": {
			policies: map[string]string{"p": subjects + scaling}, action: scale(3, 8), wantOutcome: Allow,
		},
		"one asks": {
			policies: map[string]string{"p": subjects + scaling}, action: scale(3, 10), wantOutcome: Ask,
			wantObstacles: []string{"GuardViolated RequireApproval: guard small-steps (policy p): scaling by 7"},
		},
		"one refuses": {
			policies: map[string]string{"p": subjects + scaling}, action: scale(3, 0), wantOutcome: Deny,
			wantObstacles: []string{"GuardViolated Deny: guard never-all (policy p): failed expression: object.spec.replicas > 0 && task == 'p/scale'"},
		},
		"one fails, which refuses where it would ask": {
			policies: map[string]string{"p": subjects + scaling},
			action:   with(scale(3, 10), func(a *action.Action) { a.Old = map[string]any{"spec": map[string]any{}} }), wantOutcome: Deny,
			wantObstacles: []string{"GuardFailed Deny: guard small-steps (policy p) cannot judge this: oldObject.spec.replicas is not there: " +
				"write has(oldObject.spec.replicas) && ... where it may be absent (line 1, column 38)"},
		},
		"all say what they have to say, whoever grants": {
			policies: map[string]string{
				"p": subjects + scaling,
				"q": subjects + "outOfScope: Allow\nguards: [{name: a, expression: 'object.spec.replicas < 10'}, {name: b, expression: 'now < timestamp(\"2026-01-01T00:00:00Z\")'}]\n",
			},
			action: scale(3, 10), wantOutcome: Deny,
			wantObstacles: []string{
				"GuardViolated RequireApproval: guard small-steps (policy p): scaling by 7",
				"GuardViolated Deny: guard a (policy q): failed expression: object.spec.replicas < 10",
				`GuardViolated Deny: guard b (policy q): failed expression: now < timestamp("2026-01-01T00:00:00Z")`,
			},
		},
		"a policy that is not about the action has no say": {
			policies: map[string]string{
				"p": subjects + scaling,
				"q": subjects + "governs: {resourceRules: [{apiGroups: [\"\"], resources: [pods], operations: [\"*\"]}]}\nguards: [{name: a, expression: 'false'}]\n",
			},
			action: scale(3, 4), wantOutcome: Allow,
		},
		"an invalid one breaks its policy": {
			policies: map[string]string{"p": subjects + "outOfScope: Allow\nguards: [{name: a, expression: objekt.x}]\n"}, action: scale(3, 4), wantOutcome: Deny,
			wantObstacles: []string{`PolicyInvalid Deny: policy p cannot judge this: the policy is invalid: spec.guards[0].expression: Invalid value: ` +
				`"objekt.x": line 1, column 1: undeclared reference to 'objekt'; the variables are object, oldObject, request, namespaceObject, changes, task, now and recent`},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			d := setOf(t, tc.policies).Decide(Input{Action: tc.action, Now: berlinNoon})
			if d.Outcome != tc.wantOutcome {
				t.Errorf("outcome is %s, want %s", d.Outcome, tc.wantOutcome)
			}
			var got []string
			for i := range d.Obstacles {
				o := &d.Obstacles[i]
				got = append(got, string(o.Reason)+" "+string(o.Verdict)+": "+o.Detail)
			}
			if diff := cmp.Diff(tc.wantObstacles, got); diff != "" {
				t.Errorf("obstacles differ (-want +got):\n%s", diff)
			}
			if !d.Remedy.IsZero() {
				t.Errorf("the remedy is %+v", d.Remedy)
			}
		})
	}
}

// TestConsentOfGuards checks that consent names exactly the guards that asked, and asks whom they name.
func TestConsentOfGuards(t *testing.T) {
	set := setOf(t, map[string]string{"p": subjects + strings.Replace(scaling, "expression: object.spec.replicas > 0",
		"whenViolated: RequireApproval\n  expression: object.spec.replicas < 100", 1)})
	for replicas, want := range map[int64][]ConsentReason{
		10:  {{Type: GuardViolated, Policy: "p", PolicyUID: "uid", Name: "small-steps"}},
		200: {{Type: GuardViolated, Policy: "p", PolicyUID: "uid", Name: "never-all"}, {Type: GuardViolated, Policy: "p", PolicyUID: "uid", Name: "small-steps"}},
	} {
		d := set.Decide(Input{Action: scale(3, replicas), Now: berlinNoon})
		c := d.Consent()
		if diff := cmp.Diff(want, c.Reasons); diff != "" {
			t.Errorf("reasons of %d replicas differ (-want +got):\n%s", replicas, diff)
		}
		var names []string
		for _, r := range c.Requirements {
			names = append(names, string(r.Name))
		}
		wantNames := []string{"two"}
		if replicas == 200 {
			wantNames = []string{"two", "one"}
		}
		if diff := cmp.Diff(wantNames, names); diff != "" {
			t.Errorf("requirements of %d replicas differ (-want +got):\n%s", replicas, diff)
		}
	}
}

// TestGuardsOfShadows checks that guards of Warn and Audit policies are evaluated and change nothing.
func TestGuardsOfShadows(t *testing.T) {
	warn := strings.Replace(subjects, "Enforce", "Warn", 1) + "outOfScope: Allow\nguards: [{name: g, expression: object.spec.replicas < 4}]\n"
	d := setOf(t, map[string]string{"p": subjects + scaling, "w": warn}).Decide(Input{Action: scale(3, 4), Now: berlinNoon})
	if d.Outcome != Allow || len(d.Shadows) != 1 {
		t.Fatalf("got %+v", d)
	}
	want := []string{"policy w would refuse this: guard g (policy w): failed expression: object.spec.replicas < 4"}
	if diff := cmp.Diff(want, d.Shadows[0].Warnings()); diff != "" {
		t.Error(diff)
	}
}

// TestNothingPromisedForLater checks that nobody is told to wait for a time at which a guard may refuse.
func TestNothingPromisedForLater(t *testing.T) {
	closed := windows + "changeWindows: {allowed: [nights]}\n"
	for expression, want := range map[string]bool{"object != null": true, "now < timestamp('2026-11-23T12:00:00Z')": false} {
		policies := map[string]string{"p": subjects + closed + "outOfScope: Allow\nguards: [{name: g, expression: \"" + expression + "\"}]\n"}
		d := setOf(t, policies).Decide(Input{Action: scale(3, 4), Now: berlinNoon})
		if d.Outcome != Deny || d.Remedy.Wait.IsZero() == want {
			t.Errorf("%s: the remedy is %+v", expression, d.Remedy)
		}
	}
}

// TestTimeIsOver checks that a decision whose time is over refuses.
func TestTimeIsOver(t *testing.T) {
	over := make(chan struct{})
	close(over)
	d := setOf(t, map[string]string{"p": subjects + scaling}).Decide(Input{Action: scale(3, 4), Now: berlinNoon, Done: func() <-chan struct{} { return over }})
	if d.Outcome != Deny || !strings.Contains(d.Obstacles[0].Detail, "the time for the decision is over") {
		t.Errorf("got %s with %+v", d.Outcome, d.Obstacles)
	}
}

// TestCompileGuards checks that all that is wrong with guards is reported with its path.
func TestCompileGuards(t *testing.T) {
	p := Compile(policyOf(t, "p", subjects+`
guards:
- {name: a, expression: "1"}
- {name: a, expression: "true", lookBack: 200h, whenViolated: RequireApproval, requirements: [nobody]}
- {name: b, expression: "true", messageExpression: "now", whenViolated: Perhaps, resourceRules: [{apiGroups: [apps], resources: [deployments/scale], operations: [UPDATE]}]}
`), Identity{})
	var got []string
	for _, err := range p.Errors {
		got = append(got, err.Field)
	}
	want := []string{
		"spec.guards[0].expression", "spec.guards[1].name", "spec.guards[1].requirements[0]", "spec.guards[1].lookBack",
		"spec.guards[2].resourceRules[0].resources[0]", "spec.guards[2].whenViolated", "spec.guards[2].messageExpression",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("fields differ (-want +got):\n%s", diff)
	}
	if d := NewSet([]*Policy{p}, Operator{}).Decide(Input{Action: scale(3, 4), Now: berlinNoon}); d.Outcome != Deny {
		t.Errorf("an invalid policy decides: %s", d.Outcome)
	}
}

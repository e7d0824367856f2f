package policy

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/action"
)

// runs is a policy with a task whose runs people consent to. Most of what it restricts asks.
const runs = `
enforcement: Enforce
subjects: [{kind: ServiceAccount, namespace: ci, name: deploy-bot}]
timeZone: Europe/Berlin
windows:
- {name: nights, weekly: {days: [Mon, Tue, Wed, Thu, Fri, Sat, Sun], start: "22:00", end: "06:00"}}
- {name: year-end, once: {from: "2026-12-18T17:00:00+01:00", to: "2027-01-04T08:00:00+01:00"}}
- {name: audit, once: {from: "2027-02-01T00:00:00Z", to: "2027-02-02T00:00:00Z"}}
changeWindows: {allowed: [nights], whenClosed: RequireApproval}
freezes:
- {window: year-end, whenActive: RequireApproval, requirements: [two]}
- {window: audit}
tasks:
- name: roll-images
  scope:
    resourceRules: [{apiGroups: [apps], resources: [deployments], operations: [UPDATE]}]
    namespaces: [shop, "shop-*"]
    fields: ["spec.template.spec.containers[*].image"]
  changeWindows: {allowed: [nights], whenClosed: RequireApproval}
  approval: {when: Always, covers: Task, maxActions: 5, validFor: 30m}
- name: scale
  scope:
    resourceRules: [{apiGroups: [apps], resources: [deployments], operations: [UPDATE]}]
    fields: [spec.replicas]
approval:
  requestExpiresAfter: 2h
  bindTo: Pod
  requirements:
  - {name: one, minApprovals: 1}
  - {name: two, minApprovals: 2}
`

var agent = action.Actor{Username: deployBot, Groups: []string{"system:serviceaccounts", "system:serviceaccounts:ci"}}

func TestTerms(t *testing.T) {
	set := setOf(t, map[string]string{"p": runs})
	got, err := set.Terms("p", "roll-images", Place{Actor: agent, Namespace: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	p := set.Policy("p")
	want := Consent{
		Reasons: []ConsentReason{
			{Type: ChangeWindowClosed, Policy: "p", PolicyUID: "uid", Name: "nights"},
			{Type: FreezeActive, Policy: "p", PolicyUID: "uid", Name: "year-end"},
			{Type: ApprovalRequired, Policy: "p", PolicyUID: "uid", Task: "roll-images"},
			{Type: ChangeWindowClosed, Policy: "p", PolicyUID: "uid", Task: "roll-images", Name: "nights"},
		},
		Requirements: []ConsentRequirement{
			{Policy: "p", PolicyUID: "uid", Hash: p.ConsentHash("roll-images"), Name: "one", MinApprovals: 1},
			{Policy: "p", PolicyUID: "uid", Hash: p.ConsentHash("roll-images"), Name: "two", MinApprovals: 2},
		},
		ValidFor: 30 * time.Minute, RequestExpiresAfter: 2 * time.Hour, BindTo: v1alpha1.BindToPod,
		Run: &Run{Policy: "p", Task: "roll-images", Namespace: "shop", MaxActions: 5},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("terms differ (-want +got):\n%s", diff)
	}
}

func TestTermsThatNobodyCouldGrant(t *testing.T) {
	for name, tc := range map[string]struct {
		replace []string
		policy  string
		task    string
		at      Place
		want    []string
	}{
		"no such policy": {policy: "q", want: []string{"no policy q names ci/deploy-bot", "runs can be asked for here of p/roll-images"}},
		"not a subject": {at: Place{Actor: action.Actor{Username: "alice"}},
			want: []string{"no policy p names alice", "here runs of no task can be asked for"}},
		"no such task":    {task: "roll", want: []string{"policy p has no task roll: runs can be asked for here of p/roll-images"}},
		"single actions":  {task: "scale", want: []string{"task scale (policy p) takes consent to single actions only"}},
		"no enforcement":  {replace: []string{"enforcement: Enforce", "enforcement: Warn"}, want: []string{"policy p is not enforced"}},
		"a broken policy": {replace: []string{"Europe/Berlin", "Europe/Nowhere"}, want: []string{"policy p cannot judge"}},
		"other namespace": {at: Place{Namespace: "bank"}, want: []string{"does not cover namespace bank", "repeat the action itself"}},
		"ungoverned place": {replace: []string{"tasks:\n", "governs: {namespaceSelector: {matchLabels: {a: b}}}\ntasks:\n"},
			at: Place{NamespaceLabels: map[string]string{}}, want: []string{"does not cover namespace shop"}},
		"labels that do not match": {replace: []string{`namespaces: [shop, "shop-*"]`, "namespaceSelector: {matchLabels: {a: b}}"},
			at: Place{NamespaceLabels: map[string]string{"a": "c"}}, want: []string{"does not cover namespace shop"}},
		"unknown labels": {replace: []string{`namespaces: [shop, "shop-*"]`, "namespaceSelector: {matchLabels: {a: b}}"},
			want: []string{"does not cover namespace shop"}},
		"nothing asks": {replace: []string{"RequireApproval", "Deny", "when: Always, ", ""}, want: []string{"nothing that policy p puts in the way"}},
	} {
		t.Run(name, func(t *testing.T) {
			set := setOf(t, map[string]string{"p": strings.NewReplacer(tc.replace...).Replace(runs)})
			at := tc.at
			at.Namespace = or(at.Namespace, "shop")
			if at.Actor.Username == "" {
				at.Actor = agent
			}
			got, err := set.Terms(or(tc.policy, "p"), or(tc.task, "roll-images"), at)
			if err == nil {
				t.Fatalf("the terms are %+v", got)
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error is %q, want one with %q", err, want)
				}
			}
		})
	}
}

func or(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

func TestTermsNameSubjectsAsDecisionsDo(t *testing.T) {
	account := "[{kind: ServiceAccount, namespace: ci, name: deploy-bot}]"
	for name, subject := range map[string]string{
		"every account":               `[{kind: ServiceAccount, namespace: ci, name: "*"}]`,
		"a group":                     `[{kind: Group, name: "system:serviceaccounts:ci"}]`,
		"everyone governed elsewhere": "[{kind: Governed}]",
	} {
		t.Run(name, func(t *testing.T) {
			set := setOf(t, map[string]string{
				"p": strings.Replace(runs, account, subject, 1), "q": subjects + "outOfScope: Allow\n",
			})
			impersonated := agent
			impersonated.Groups = nil
			if _, err := set.Terms("p", "roll-images", Place{Actor: impersonated, Namespace: "shop-2"}); err != nil {
				t.Error(err)
			}
			if _, err := set.Terms("p", "roll-images", Place{Actor: action.Actor{Username: "alice"}, Namespace: "shop-2"}); err == nil {
				t.Error("somebody else may ask")
			}
		})
	}
}

func TestConsentIsForARunWhereThatSuffices(t *testing.T) {
	always := subjects + "outOfScope: RequireApproval\n" + rollImages + "  approval: {when: Always, covers: Task, maxActions: 3}\n"
	asksToo := subjects + "outOfScope: Allow\n" + `
timeZone: Europe/Berlin
windows: [{name: nights, weekly: {days: [Mon], start: "22:00", end: "06:00"}}]
changeWindows: {allowed: [nights], whenClosed: RequireApproval}
`
	for name, tc := range map[string]struct {
		policies map[string]string
		action   *action.Action
		want     *Run
	}{
		"of the task": {
			policies: map[string]string{"p": always}, action: update(imagePath),
			want: &Run{Policy: "p", Task: "roll-images", Namespace: "shop", MaxActions: 3},
		},
		"with its policy's window": {
			policies: map[string]string{"p": runs}, action: update(imagePath),
			want: &Run{Policy: "p", Task: "roll-images", Namespace: "shop", MaxActions: 5},
		},
		"not of single actions":          {policies: map[string]string{"p": runs}, action: update(replicasPath)},
		"not out of scope":               {policies: map[string]string{"p": always}, action: update(replicasPath)},
		"not what another policy asks":   {policies: map[string]string{"p": always, "q": asksToo}, action: update(imagePath)},
		"not what only another one asks": {policies: map[string]string{"p": strings.Replace(always, "when: Always, ", "", 1), "q": asksToo}, action: update(imagePath)},
		"not of a cluster-scoped object": {
			policies: map[string]string{"p": subjects + `
tasks:
- name: nodes
  scope: {resourceRules: [{apiGroups: [""], resources: [nodes], operations: ["*"]}]}
  approval: {when: Always, covers: Task, maxActions: 3}
`},
			action: with(update(replicasPath), func(a *action.Action) { a.Namespaced, a.Namespace, a.Resource, a.Group = false, "", "nodes", "" }),
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := setOf(t, tc.policies).Decide(Input{Action: tc.action, Now: berlinNoon})
			if d.Outcome != Ask {
				t.Fatalf("the outcome is %s: %v", d.Outcome, d.Reasons())
			}
			c := d.Consent()
			if diff := cmp.Diff(tc.want, c.Run); diff != "" {
				t.Errorf("the run differs (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCompileChecksHowMuchOneConsentIsGoodFor(t *testing.T) {
	at := field.NewPath("spec", "tasks").Index(0).Child("approval")
	for name, tc := range map[string]struct {
		approval v1alpha1.TaskApproval
		want     *field.Path
	}{
		"an action":      {approval: v1alpha1.TaskApproval{Covers: v1alpha1.ApprovalCoversAction}},
		"a run":          {approval: v1alpha1.TaskApproval{Covers: v1alpha1.ApprovalCoversTask, MaxActions: 1000}},
		"without bound":  {approval: v1alpha1.TaskApproval{Covers: v1alpha1.ApprovalCoversTask}, want: at.Child("maxActions")},
		"too many":       {approval: v1alpha1.TaskApproval{Covers: v1alpha1.ApprovalCoversTask, MaxActions: 1001}, want: at.Child("maxActions")},
		"below zero":     {approval: v1alpha1.TaskApproval{Covers: v1alpha1.ApprovalCoversTask, MaxActions: -1}, want: at.Child("maxActions")},
		"of no run":      {approval: v1alpha1.TaskApproval{MaxActions: 2}, want: at.Child("maxActions")},
		"unknown covers": {approval: v1alpha1.TaskApproval{Covers: "Everything"}, want: at.Child("covers")},
		"unknown when":   {approval: v1alpha1.TaskApproval{When: "Sometimes"}, want: at.Child("when")},
	} {
		t.Run(name, func(t *testing.T) {
			p := policyOf(t, "p", subjects+rollImages)
			p.Spec.Tasks[0].Approval = &tc.approval
			compiled := Compile(p, Identity{Username: "operator"})
			var got []string
			for _, e := range compiled.Errors {
				got = append(got, e.Field)
			}
			var want []string
			if tc.want != nil {
				want = []string{tc.want.String()}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("the fields with errors differ (-want +got):\n%s", diff)
			}
		})
	}
}

package approval

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/action"
)

func TestWhoMayDecide(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*Caller)
		want   string
	}{
		"somebody of the group":       {func(c *Caller) {}, ""},
		"in two groups":               {func(c *Caller) { c.Groups = append(c.Groups, "ops") }, ""},
		"small cluster administrator": {func(c *Caller) { c.Username = "system:admin" }, ""},
		"the requester":               {func(c *Caller) { c.Actor = bot(); c.Groups = []string{"sre"} }, "only people"},
		"the requester by name":       {func(c *Caller) { c.Username = "agent" }, "own request"},
		"the requester by UID":        {func(c *Caller) { c.UID = "agent-uid" }, "own request"},
		"without UID":                 {func(c *Caller) { c.UID = "" }, ""},
		"another service account":     {func(c *Caller) { c.Username = "system:serviceaccount:ci:other" }, "only people"},
		"account by group":            {func(c *Caller) { c.Groups = append(c.Groups, "system:serviceaccounts:ci") }, "only people"},
		"a node":                      {func(c *Caller) { c.Username = "system:node:n1" }, "only people"},
		"a node by group":             {func(c *Caller) { c.Groups = append(c.Groups, "system:nodes") }, "only people"},
		"a controller":                {func(c *Caller) { c.Username = "system:kube-controller-manager" }, "only people"},
		"nobody":                      {func(c *Caller) { c.Username = "" }, "only people"},
		"anonymous":                   {func(c *Caller) { c.Username = "system:anonymous" }, "only people"},
		"a governed cluster admin":    {func(c *Caller) { c.Governed = true }, "agents do not decide"},
		"without the verb":            {func(c *Caller) { c.MayApprove = false }, "lacks the verb"},
		"outside approvers":           {func(c *Caller) { c.Groups = []string{"dev"} }, "none of the requirements"},
		"group's name as user":        {func(c *Caller) { c.Username, c.Groups = "sre", nil }, "none of the requirements"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, verdict := range []v1alpha1.DecisionVerdict{v1alpha1.VerdictApprove, v1alpha1.VerdictDeny, v1alpha1.VerdictRevoke} {
				r := request(1)
				r.Requester.Username, r.Requester.UID = "agent", "agent-uid"
				a := build(t, r)
				if verdict == v1alpha1.VerdictRevoke {
					mustDecide(t, a, "zoe", v1alpha1.VerdictApprove, noon)
				}
				who := person("alice")
				tc.change(&who)
				checkError(t, decide(a, who, v1alpha1.Decision{Verdict: verdict}, noon), tc.want)
			}
		})
	}
}

func checkError(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("unexpected: %v", err)
	case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
		t.Errorf("got %v, want %q", err, want)
	}
}

func TestVerdictInState(t *testing.T) {
	states := map[string]struct {
		make func(*testing.T) *v1alpha1.ActionApproval
		at   time.Time
		// allowed: Approve, Deny, Revoke
		want [3]bool
	}{
		"pending":                  {pendingApproval, noon, [3]bool{true, true, false}},
		"pending, last instant":    {pendingApproval, noon.Add(4*time.Hour - 1), [3]bool{true, true, false}},
		"request expired":          {pendingApproval, noon.Add(4 * time.Hour), [3]bool{}},
		"request expired for long": {pendingApproval, noon.Add(4*time.Hour + 1), [3]bool{}},
		"approved":                 {grantedApproval, noon.Add(time.Minute), [3]bool{false, false, true}},
		"approved, last instant":   {grantedApproval, noon.Add(time.Hour - 1), [3]bool{false, false, true}},
		"expired":                  {grantedApproval, noon.Add(time.Hour), [3]bool{}},
		"expired for long":         {grantedApproval, noon.Add(time.Hour + 1), [3]bool{}},
		"denied, cooling":          {deniedApproval, noon.Add(4*time.Hour - 1), [3]bool{false, false, true}},
		"denied, cooled down":      {deniedApproval, noon.Add(4 * time.Hour), [3]bool{}},
		"revoked":                  {revokedApproval, noon.Add(time.Minute), [3]bool{}},
		"void":                     {voidApproval, noon.Add(time.Minute), [3]bool{}},
	}
	verdicts := []v1alpha1.DecisionVerdict{v1alpha1.VerdictApprove, v1alpha1.VerdictDeny, v1alpha1.VerdictRevoke}
	for name, tc := range states {
		for i, verdict := range verdicts {
			t.Run(fmt.Sprintf("%s %s", verdict, name), func(t *testing.T) {
				a := tc.make(t)
				before := Evaluate(a, tc.at)
				err := decide(a, person("bob"), v1alpha1.Decision{Verdict: verdict}, tc.at)
				if got := err == nil; got != tc.want[i] {
					t.Errorf("allowed %t, want %t: %v", got, tc.want[i], err)
				}
				if after := Evaluate(a, tc.at); before.Terminal() && after != before {
					t.Errorf("%s came back as %s", before, after)
				}
			})
		}
	}
	checkError(t, decide(pendingApproval(t), person("bob"), v1alpha1.Decision{Verdict: "Maybe"}, noon), "Unsupported value")
}

func pendingApproval(t *testing.T) *v1alpha1.ActionApproval { return build(t, request(1)) }

func grantedApproval(t *testing.T) *v1alpha1.ActionApproval { return approved(t, request(1)) }

func deniedApproval(t *testing.T) *v1alpha1.ActionApproval {
	a := build(t, request(1))
	mustDecide(t, a, "alice", v1alpha1.VerdictDeny, noon)
	return a
}

func revokedApproval(t *testing.T) *v1alpha1.ActionApproval {
	a := grantedApproval(t)
	mustDecide(t, a, "alice", v1alpha1.VerdictRevoke, noon)
	return a
}

func voidApproval(t *testing.T) *v1alpha1.ActionApproval {
	a := grantedApproval(t)
	a.Status = End(a, Void, "object changed", noon)
	return a
}

func TestStampRecordsWhoAndWhen(t *testing.T) {
	old := build(t, request(1))
	updated := old.DeepCopy()
	updated.Spec.Decision = &v1alpha1.Decision{Verdict: v1alpha1.VerdictApprove, Comment: "ok", Limits: &v1alpha1.DecisionLimits{ValidFor: "10m"}}
	if !Stamp(old, updated, person("alice"), noon.Add(999*time.Millisecond)) {
		t.Error("nothing changed")
	}
	want := []v1alpha1.RecordedDecision{{
		Verdict: v1alpha1.VerdictApprove, Comment: "ok", Limits: &v1alpha1.DecisionLimits{ValidFor: "10m"},
		Approver: v1alpha1.ApproverIdentity{
			Username: "alice", UID: "uid-alice", CredentialID: "JTI=alice", Groups: []string{"sre", "system:authenticated"},
		},
		Time: metav1.NewTime(noon),
	}}
	if diff := cmp.Diff(want, updated.Spec.Decisions); diff != "" || updated.Spec.Decision != nil {
		t.Errorf("decision %v, decisions (-want +got):\n%s", updated.Spec.Decision, diff)
	}
	if Stamp(old, old.DeepCopy(), person("alice"), noon) {
		t.Error("changed an update without a decision")
	}
}

func TestStampDropsWhatRepeats(t *testing.T) {
	for name, tc := range map[string]struct {
		who  Caller
		d    v1alpha1.Decision
		want int
	}{
		"the same":              {person("alice"), v1alpha1.Decision{Verdict: "Approve"}, 1},
		"with another comment":  {person("alice"), v1alpha1.Decision{Verdict: "Approve", Comment: "really"}, 1},
		"with limits":           {person("alice"), v1alpha1.Decision{Verdict: "Approve", Limits: &v1alpha1.DecisionLimits{ValidFor: "5m"}}, 2},
		"another verdict":       {person("alice"), v1alpha1.Decision{Verdict: "Deny"}, 2},
		"another person":        {person("bob"), v1alpha1.Decision{Verdict: "Approve"}, 2},
		"by a renamed person":   {Caller{Actor: action.Actor{Username: "alice2", UID: "uid-alice"}}, v1alpha1.Decision{Verdict: "Approve"}, 1},
		"by a recreated person": {Caller{Actor: action.Actor{Username: "alice", UID: "new"}}, v1alpha1.Decision{Verdict: "Approve"}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			a := build(t, request(2))
			mustDecide(t, a, "alice", v1alpha1.VerdictApprove, noon)
			updated := a.DeepCopy()
			updated.Spec.Decision = &tc.d
			if !Stamp(a, updated, tc.who, noon) || updated.Spec.Decision != nil || len(updated.Spec.Decisions) != tc.want {
				t.Errorf("decision %v, %d recorded, want %d", updated.Spec.Decision, len(updated.Spec.Decisions), tc.want)
			}
		})
	}
}

func TestStampKeepsLateConsent(t *testing.T) {
	for name, tc := range map[string]struct {
		verdict v1alpha1.DecisionVerdict
		want    int
	}{"consent": {v1alpha1.VerdictApprove, 3}, "the denial again": {v1alpha1.VerdictDeny, 2}} {
		t.Run(name, func(t *testing.T) {
			a := build(t, request(2))
			mustDecide(t, a, "alice", v1alpha1.VerdictApprove, noon)
			mustDecide(t, a, "bob", v1alpha1.VerdictDeny, noon)
			who := map[v1alpha1.DecisionVerdict]string{v1alpha1.VerdictApprove: "alice", v1alpha1.VerdictDeny: "bob"}[tc.verdict]
			updated := a.DeepCopy()
			updated.Spec.Decision = &v1alpha1.Decision{Verdict: tc.verdict}
			Stamp(a, updated, person(who), noon)
			if got := len(updated.Spec.Decisions); got != tc.want {
				t.Errorf("%d recorded, want %d", got, tc.want)
			}
		})
	}
}

func TestStampForgetsTheManifest(t *testing.T) {
	for name, tc := range map[string]struct{ fields, want string }{
		"only the decision":   {`{"f:spec":{"f:decision":{"f:verdict":{}}}}`, ""},
		"and the spec itself": {`{"f:spec":{".":{},"f:decision":{}}}`, `{"f:spec":{".":{}}}`},
		"and something else":  {`{"f:metadata":{"f:labels":{}},"f:spec":{"f:decision":{}}}`, `{"f:metadata":{"f:labels":{}}}`},
		"what is recorded":    {`{"f:spec":{"f:decisions":{}}}`, ""},
		"something else":      {`{"f:spec":{"f:validFor":{}}}`, `{"f:spec":{"f:validFor":{}}}`},
		"what is applied": {
			`{"f:metadata":{"f:annotations":{".":{},"f:kubectl.kubernetes.io/last-applied-configuration":{}}},"f:spec":{"f:decision":{}}}`,
			`{"f:metadata":{"f:annotations":{".":{}}}}`,
		},
		"not readable":         {`{"f:spec":[]}`, `{"f:spec":[]}`},
		"decision in metadata": {`{"f:metadata":{"f:decision":{}}}`, `{"f:metadata":{"f:decision":{}}}`},
	} {
		t.Run(name, func(t *testing.T) {
			old := build(t, request(1))
			updated := old.DeepCopy()
			updated.Annotations = map[string]string{"kubectl.kubernetes.io/last-applied-configuration": "{}", "other": "kept"}
			updated.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "kubectl", FieldsV1: metav1.NewFieldsV1(tc.fields)}, {Manager: "none"}}
			updated.Spec.Decision = &v1alpha1.Decision{Verdict: v1alpha1.VerdictApprove}
			Stamp(old, updated, person("alice"), noon)
			got := ""
			for _, e := range updated.ManagedFields {
				if e.FieldsV1 != nil {
					got += e.FieldsV1.GetRawString()
				}
			}
			if got != tc.want || updated.ManagedFields[len(updated.ManagedFields)-1].Manager != "none" {
				t.Errorf("got %s, want %s", got, tc.want)
			}
			if diff := cmp.Diff(map[string]string{"other": "kept"}, updated.Annotations); diff != "" {
				t.Errorf("annotations (-want +got):\n%s", diff)
			}
		})
	}
}

func TestValidateUpdateRefusesTampering(t *testing.T) {
	for name, tc := range map[string]struct {
		tamper func(*v1alpha1.ActionApproval)
		want   string
	}{
		"nothing":                {func(a *v1alpha1.ActionApproval) {}, ""},
		"labels":                 {func(a *v1alpha1.ActionApproval) { a.Labels = map[string]string{"seen": "yes"} }, ""},
		"owner":                  {func(a *v1alpha1.ActionApproval) { a.OwnerReferences = []metav1.OwnerReference{{Name: "x"}} }, "ownerReferences"},
		"finalizer":              {func(a *v1alpha1.ActionApproval) { a.Finalizers = []string{"x/y"} }, "finalizers"},
		"base":                   {func(a *v1alpha1.ActionApproval) { a.Annotations[BaseAnnotation] = "b1.k1:x:y" }, "annotations"},
		"base removed":           {func(a *v1alpha1.ActionApproval) { a.Annotations = nil }, "annotations"},
		"hash":                   {func(a *v1alpha1.ActionApproval) { a.Spec.Action.Hash = "v1:other" }, "what was asked"},
		"requester":              {func(a *v1alpha1.ActionApproval) { a.Spec.Requester.UID = "other" }, "what was asked"},
		"validFor":               {func(a *v1alpha1.ActionApproval) { a.Spec.ValidFor = "7h" }, "what was asked"},
		"requestExpiresAt":       {func(a *v1alpha1.ActionApproval) { a.Spec.RequestExpiresAt = nil }, "what was asked"},
		"approvers":              {func(a *v1alpha1.ActionApproval) { a.Spec.Requirements[0].Approvers = nil }, "what was asked"},
		"reasons":                {func(a *v1alpha1.ActionApproval) { a.Spec.Reasons = nil }, "what was asked"},
		"diff":                   {func(a *v1alpha1.ActionApproval) { a.Spec.Action.Diff = "" }, "what was asked"},
		"decision left":          {func(a *v1alpha1.ActionApproval) { a.Spec.Decision = &v1alpha1.Decision{Verdict: "Approve"} }, "was not recorded"},
		"old verdict removed":    {func(a *v1alpha1.ActionApproval) { a.Spec.Decisions = a.Spec.Decisions[1:] }, "cannot be changed or removed"},
		"old verdict changed":    {func(a *v1alpha1.ActionApproval) { a.Spec.Decisions[0].Comment = "no" }, "cannot be changed or removed"},
		"old time changed":       {func(a *v1alpha1.ActionApproval) { a.Spec.Decisions[0].Time = metav1.NewTime(noon.Add(1e9)) }, "cannot be changed"},
		"old verdicts swapped":   {func(a *v1alpha1.ActionApproval) { slices.Reverse(a.Spec.Decisions) }, "cannot be changed"},
		"two at once":            {func(a *v1alpha1.ActionApproval) { add(a); add(a) }, "one verdict at a time"},
		"another's name":         {func(a *v1alpha1.ActionApproval) { add(a).Approver.Username = "carol" }, "not who writes it"},
		"another's UID":          {func(a *v1alpha1.ActionApproval) { add(a).Approver.UID = "x" }, "not who writes it"},
		"another credential":     {func(a *v1alpha1.ActionApproval) { add(a).Approver.CredentialID = "" }, "not who writes it"},
		"more groups":            {func(a *v1alpha1.ActionApproval) { d := add(a); d.Approver.Groups = append(d.Approver.Groups, "ops") }, "not who writes it"},
		"straight and right":     {func(a *v1alpha1.ActionApproval) { add(a) }, ""},
		"a second late":          {func(a *v1alpha1.ActionApproval) { add(a).Time = metav1.NewTime(noon.Add(-time.Second)) }, ""},
		"more than a second":     {func(a *v1alpha1.ActionApproval) { add(a).Time = metav1.NewTime(noon.Add(-time.Second - 1)) }, "decisions[2].time"},
		"a second early":         {func(a *v1alpha1.ActionApproval) { add(a).Time = metav1.NewTime(noon.Add(time.Second)) }, ""},
		"too early":              {func(a *v1alpha1.ActionApproval) { add(a).Time = metav1.NewTime(noon.Add(time.Second + 1)) }, "decisions[2].time"},
		"justification":          {func(a *v1alpha1.ActionApproval) { a.Spec.Justification = "because" }, "only the requester"},
		"verdict and the action": {func(a *v1alpha1.ActionApproval) { add(a); a.Spec.Action.Hash = "v1:other" }, "what was asked"},
	} {
		t.Run(name, func(t *testing.T) {
			old := build(t, request(3))
			mustDecide(t, old, "zoe", v1alpha1.VerdictApprove, noon)
			mustDecide(t, old, "yan", v1alpha1.VerdictApprove, noon)
			updated := old.DeepCopy()
			tc.tamper(updated)
			checkError(t, ValidateUpdate(old, updated, person("alice"), noon, time.Second).ToAggregate(), tc.want)
		})
	}
}

// add appends alice's consent as she might write it herself.
func add(a *v1alpha1.ActionApproval) *v1alpha1.RecordedDecision {
	alice := person("alice")
	a.Spec.Decisions = append(a.Spec.Decisions, v1alpha1.RecordedDecision{
		Verdict: v1alpha1.VerdictApprove, Approver: alice.identity(), Time: metav1.NewTime(noon),
	})
	return &a.Spec.Decisions[len(a.Spec.Decisions)-1]
}

func TestJustification(t *testing.T) {
	operator := Caller{Actor: action.Actor{Username: "system:serviceaccount:countersign-system:countersign", UID: "op"}, Operator: true}
	impostor := Caller{Actor: action.Actor{Username: botName}}
	for name, tc := range map[string]struct {
		who  Caller
		make func(*testing.T) *v1alpha1.ActionApproval
		at   time.Time
		want string
	}{
		"the requester":         {Caller{Actor: bot(), Governed: true}, pendingApproval, noon, ""},
		"at the last instant":   {Caller{Actor: bot()}, pendingApproval, noon.Add(4*time.Hour - 1), ""},
		"too late":              {Caller{Actor: bot()}, pendingApproval, noon.Add(4 * time.Hour), "not pending"},
		"after a verdict":       {Caller{Actor: bot()}, grantedApproval, noon, "begun to decide"},
		"an approver":           {person("alice"), pendingApproval, noon, "only the requester"},
		"the operator":          {operator, pendingApproval, noon, "only the requester"},
		"an account without ID": {impostor, pendingApproval, noon, "only the requester"},
	} {
		t.Run(name, func(t *testing.T) {
			old := tc.make(t)
			updated := old.DeepCopy()
			updated.Spec.Justification = "a fix for an outage"
			checkError(t, ValidateUpdate(old, updated, tc.who, tc.at, time.Second).ToAggregate(), tc.want)
		})
	}
}

func TestWordsAreLegible(t *testing.T) {
	for name, tc := range map[string]struct{ words, want string }{
		"plain":             {"Grüße, 日本語, עברית \U0001f469\u200d\U0001f692", ""},
		"right to left":     {"do not \u202eevorppa", "no invisible characters such as U+202E"},
		"isolate":           {"\u2066", "no invisible characters such as U+2066"},
		"tags":              {"ok\U000e0041", "no invisible characters such as U+E0041"},
		"line separator":    {"ok\u2028Approved-By: boss", "no invisible characters such as U+2028"},
		"byte order mark":   {"\ufeff", "no invisible characters such as U+FEFF"},
		"no-break space":    {"10\u00a0h", ""},
		"joined characters": {"\u0915\u094d\u200d", ""},
	} {
		t.Run(name, func(t *testing.T) {
			old := pendingApproval(t)
			justified := old.DeepCopy()
			justified.Spec.Justification = tc.words
			checkError(t, ValidateUpdate(old, justified, Caller{Actor: bot()}, noon, time.Second).ToAggregate(), tc.want)
			d := v1alpha1.Decision{Verdict: v1alpha1.VerdictApprove, Comment: tc.words}
			checkError(t, decide(old, person("alice"), d, noon), tc.want)
		})
	}
}

func TestOperatorDropsTheDiffOfWhatHasEnded(t *testing.T) {
	operator := Caller{Operator: true}
	for name, tc := range map[string]struct {
		make func(*testing.T) *v1alpha1.ActionApproval
		who  Caller
		want string
	}{
		"ended":            {deniedApproval, operator, ""},
		"granted":          {grantedApproval, operator, "what was asked"},
		"by somebody else": {deniedApproval, person("alice"), "what was asked"},
	} {
		t.Run(name, func(t *testing.T) {
			old := tc.make(t)
			updated := old.DeepCopy()
			updated.Spec.Action.Diff = ""
			checkError(t, ValidateUpdate(old, updated, tc.who, noon, time.Second).ToAggregate(), tc.want)
		})
	}
}

func TestLimitsOnlyNarrow(t *testing.T) {
	for name, tc := range map[string]struct {
		limits v1alpha1.DecisionLimits
		want   string
	}{
		"as asked":          {v1alpha1.DecisionLimits{MaxActions: 5, ValidFor: "1h"}, ""},
		"narrower":          {v1alpha1.DecisionLimits{MaxActions: 4, ValidFor: "59m59s"}, ""},
		"more actions":      {v1alpha1.DecisionLimits{MaxActions: 6}, "maxActions"},
		"a negative number": {v1alpha1.DecisionLimits{MaxActions: -1}, "maxActions"},
		"longer":            {v1alpha1.DecisionLimits{ValidFor: "60m1s"}, "validFor"},
		"no time":           {v1alpha1.DecisionLimits{ValidFor: "0m"}, "validFor"},
		"no length":         {v1alpha1.DecisionLimits{ValidFor: "soon"}, "validFor"},
	} {
		t.Run(name, func(t *testing.T) {
			d := v1alpha1.Decision{Verdict: v1alpha1.VerdictApprove, Limits: &tc.limits}
			checkError(t, decide(build(t, taskRequest(5)), person("alice"), d, noon), tc.want)
		})
	}
	d := v1alpha1.Decision{Verdict: v1alpha1.VerdictDeny, Limits: &v1alpha1.DecisionLimits{MaxActions: 1}}
	checkError(t, decide(pendingApproval(t), person("alice"), d, noon), "only consent has limits")
}

func TestVerdictsAreBounded(t *testing.T) {
	a := build(t, request(2))
	limits := []v1alpha1.Duration{"10m", "20m"}
	for i := range maxDecisions - 1 {
		d := v1alpha1.Decision{Verdict: v1alpha1.VerdictApprove, Limits: &v1alpha1.DecisionLimits{ValidFor: limits[i%2]}}
		if err := decide(a, person("alice"), d, noon); err != nil {
			t.Fatal(i, err)
		}
	}
	checkError(t, decide(a, person("bob"), v1alpha1.Decision{Verdict: v1alpha1.VerdictApprove}, noon), "too many")
	checkError(t, decide(a, person("bob"), v1alpha1.Decision{Verdict: v1alpha1.VerdictDeny}, noon), "")
	if got := Evaluate(a, noon); got != Denied {
		t.Errorf("state %s: somebody filled the list, and nobody can refuse", got)
	}
}

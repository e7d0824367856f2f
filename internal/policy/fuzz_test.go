package policy

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/action"
	"github.com/countersign-dev/countersign/internal/reviewtest"
)

// reviewed is the action of an AdmissionReview with the facts that came with it, nil where it has no normal form.
func reviewed(body []byte, facts action.Facts) *action.Action {
	var review struct {
		Request struct {
			Kind                         struct{ Kind string }
			Resource                     struct{ Group, Version, Resource string }
			SubResource, Name, Namespace string
			Operation                    v1alpha1.Operation
			UserInfo                     struct{ Username, UID string }
			Object, OldObject, Options   json.RawMessage
		}
	}
	if json.Unmarshal(body, &review) != nil {
		return nil
	}
	in := &review.Request
	orNil := func(raw json.RawMessage) []byte {
		if string(raw) == "null" {
			return nil
		}
		return raw
	}
	a, err := action.Normalise(action.Request{
		ID: "r", Operation: in.Operation, Group: in.Resource.Group, Version: in.Resource.Version, Resource: in.Resource.Resource,
		Subresource: in.SubResource, Kind: in.Kind.Kind, Namespace: in.Namespace, Name: in.Name,
		Actor:  action.Actor{Username: in.UserInfo.Username, UID: in.UserInfo.UID, Groups: []string{"agents"}},
		Object: orNil(in.Object), OldObject: orNil(in.OldObject), Options: orNil(in.Options),
	}, facts)
	if err != nil {
		return nil
	}
	return a
}

// fuzzSpec uses every field that has a meaning for decisions.
const fuzzSpec = `
enforcement: Enforce
subjects: [{kind: Group, name: agents}, {kind: ServiceAccount, namespace: ci, name: "*"}]
governs: {excludeResourceRules: [{apiGroups: [batch], resources: [jobs], operations: ["*"]}], namespaceSelector: {matchLabels: {team: shop}}}
outOfScope: RequireApproval
timeZone: Europe/Berlin
windows:
- {name: nights, weekly: {days: [Mon, Tue], start: "22:00", end: "06:00"}}
- {name: office, cron: {schedule: "0 9 * * 1-5", duration: 8h}}
- {name: year-end, once: {from: "2026-12-18T17:00:00+01:00", to: "2027-01-04T08:00:00+01:00"}}
changeWindows: {allowed: [nights], whenClosed: RequireApproval, graceAfterClose: 15m}
freezes: [{window: year-end, reason: Year-end close, whenActive: Deny}]
tasks:
- name: everything
  scope: {resourceRules: [{apiGroups: ["*"], resources: ["*"], operations: ["*"]}], namespaces: ["*"], serviceAccounts: ["*"]}
  approval: {when: Always, covers: Task, maxActions: 3, validFor: 30m}
  budget: {maxActions: 10, per: 1h, whenExceeded: Deny}
guards: [{name: g, expression: "size(changes) < 10", whenViolated: Deny}]
approval: {bindTo: User, requirements: [{name: sre, minApprovals: 2}]}
`

// FuzzDecide compiles policies of any form and has them judge reviews of any form. Nothing panics, nothing that is reserved
// passes, and what does not compile lets nothing pass.
func FuzzDecide(f *testing.F) {
	spec, err := yaml.YAMLToJSON([]byte(fuzzSpec))
	if err != nil {
		f.Fatal(err)
	}
	reviews := reviewtest.All(f)
	specs := append([][]byte{spec}, reviewtest.Mutants(f, [][]byte{spec}, 1000)...)
	for i, text := range specs {
		r := reviews[i%len(reviews)]
		f.Add(text, r.Body, []byte(r.Facts), []byte(r.Target))
	}
	for _, r := range reviews {
		f.Add(spec, r.Body, []byte(r.Facts), []byte(r.Target))
	}
	now := time.Date(2026, 11, 23, 22, 30, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, spec, body, facts, target []byte) {
		p := &v1alpha1.AgentActionPolicy{}
		p.Name, p.UID, p.Generation = "fuzzed", "u", 1
		var known action.Facts
		if json.Unmarshal(spec, &p.Spec) != nil || json.Unmarshal(facts, &known.Kind) != nil {
			return
		}
		known.Target, _ = action.DecodeObject(target)
		began := time.Now()
		compiled := Compile(p, Identity{Username: "operator"})
		a := reviewed(body, known)
		if a == nil {
			return
		}
		in := Input{Action: a, Now: now, NamespaceLabels: map[string]string{"team": "shop"}}
		set := NewSet([]*Policy{compiled}, Operator{Namespace: "countersign-system"})
		d := set.Decide(in)
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("it took %s", took)
		}
		checkDecision(t, set, in, &d)
		reachesAll(t, set, in)
		if compiled.broken != "" && d.Outcome == Allow && len(d.Policies) > 0 {
			t.Errorf("a policy that does not compile allows: %s", compiled.broken)
		}
	})
}

// checkDecision holds what must hold of every decision.
func checkDecision(t *testing.T, set *Set, in Input, d *Decision) {
	t.Helper()
	switch d.Outcome {
	case Allow:
		if set.Governs(in.Action.Actor) && !in.Action.Empty() && set.reserved(&in) != "" {
			t.Errorf("what is reserved passes: %s", set.reserved(&in))
		}
		if len(d.Obstacles) > 0 {
			t.Errorf("it passes in spite of %+v", d.Obstacles)
		}
	case Deny, Ask:
		if len(d.Obstacles) == 0 {
			t.Error("it is refused without a reason")
		}
	default:
		t.Errorf("the outcome is %q", d.Outcome)
	}
	text := Refusal(Headline(in.Action), d, "v1:x")
	if lines := strings.Split(text, "\n"); len(lines) != len(d.Obstacles)+3 {
		t.Errorf("%d obstacles in %d lines:\n%s", len(d.Obstacles), len(lines), text)
	}
	_ = d.Consent()
	_ = d.ConsentStates()
}

// FuzzGlob compares patterns of namespaces with regular expressions.
func FuzzGlob(f *testing.F) {
	for _, pattern := range []string{"shop", "shop-*", "*", "?", "a*b?c", "", "-x", "[a-z]", `\`, "A", "**", "a?*?b"} {
		for _, name := range []string{"shop", "shop-1", "a", "axxbyc", "", "a-b", "shop/x"} {
			f.Add(pattern, name)
		}
	}
	f.Fuzz(func(t *testing.T, pattern, name string) {
		if len(pattern) > 200 || len(name) > 200 || strings.Contains(name, "/") {
			return
		}
		got := globMatches(pattern, name)
		if validateGlob(pattern) != nil {
			return
		}
		want := regexp.MustCompile(`(?s)\A` + strings.NewReplacer(`\*`, ".*", `\?`, ".").Replace(regexp.QuoteMeta(pattern)) + `\z`).MatchString(name)
		if got != want {
			t.Errorf("%q matches %q: %t, want %t", pattern, name, got, want)
		}
	})
}

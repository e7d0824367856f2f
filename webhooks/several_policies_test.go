package webhooks_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

// owned, secured and closedNow are policies for one agent, each of which asks for consent in its own way.
const (
	owned = anybody + `
approval:
  validFor: 2h
  requirements:
  - {name: owners, approvers: [{kind: Group, name: owners}], minApprovals: 2}
`
	secured = `
enforcement: Enforce
subjects: [AGENT]
outOfScope: Allow
freezes: [{window: now, reason: Audit, whenActive: RequireApproval}]
timeZone: Europe/Berlin
windows: [{name: now, once: {from: "2020-01-01T00:00:00Z", to: "2099-01-01T00:00:00Z"}}]
approval:
  validFor: 20m
  requirements:
  - {name: security, approvers: [{kind: Group, name: security}]}
`
	closedNow = `
enforcement: Enforce
subjects: [AGENT]
outOfScope: Allow
timeZone: Europe/Berlin
windows: [{name: far, once: {from: "2098-01-01T00:00:00Z", to: "2099-01-01T00:00:00Z"}}]
changeWindows: {allowed: [far], whenClosed: RequireApproval}
`
)

// TestSeveralPolicies has three policies ask for consent to one action.
func TestSeveralPolicies(t *testing.T) {
	e := newEnvironment(t)
	namespace, agent, web := governed(t, e, owned)
	for name, spec := range map[string]string{"secured-": secured, "closed-": closedNow} {
		e.waitEnforced(t, e.policyNamed(t, name+namespace, namespace, spec))
	}
	act := func() error { return patch(t.Context(), agent, web, types.MergePatchType, toFive) }
	s := &scene{environment: e, namespace: namespace, agent: agent, request: asked(t, e, namespace, act)}
	s.checkAsked(t)
	ann, bob := e.personIn(t, "ann", "owners", "security"), e.personIn(t, "bob", "owners")
	carl := e.personIn(t, "carl", "security")
	for name, tc := range map[string]struct{ decision, want string }{
		"longer":                {`{"verdict":"Approve","limits":{"validFor":"21m"}}`, "limits only narrow, to more than zero: asked for 20m"},
		"as long as one policy": {`{"verdict":"Approve","limits":{"validFor":"2h"}}`, "limits only narrow, to more than zero: asked for 20m"},
		"more uses":             {`{"verdict":"Approve","limits":{"maxActions":2}}`, "limits only narrow: asked for 1"},
		"of a denial":           {`{"verdict":"Deny","limits":{"validFor":"1m"}}`, "only consent has limits"},
		"none":                  {`{"verdict":"Approve","limits":{}}`, "at least 1 properties"},
		"no length":             {`{"verdict":"Approve","limits":{"validFor":"0s"}}`, "validFor"},
	} {
		if err := patch(t.Context(), ann, s.request, types.MergePatchType, `{"spec":{"decision":`+tc.decision+`}}`); err == nil {
			t.Errorf("%s: allowed", name)
		} else {
			checkRefusal(t, err, tc.want)
		}
	}
	within := func(who *identity, validFor string) {
		t.Helper()
		body := `{"spec":{"decision":{"verdict":"Approve","limits":{"validFor":"` + validFor + `"}}}}`
		allowed(t, patch(t.Context(), who, s.request, types.MergePatchType, body))
	}
	within(carl, "10m")
	within(bob, "5m")
	waitState(t, e, s.request, "Pending") // one more owner is missing
	asked(t, e, namespace, act)
	within(ann, "15m")
	waitState(t, e, s.request, "Approved")
	if got := s.request.Status.ExpiresAt.Sub(s.request.Status.ApprovedAt.Time); got != 5*time.Minute {
		t.Errorf("it can be used for %s, want the narrowest limit, 5m", got)
	}
	allowed(t, act())
}

// checkAsked checks what people are asked.
func (s *scene) checkAsked(t *testing.T) {
	t.Helper()
	var reasons, requirements []string
	for _, r := range s.request.Spec.Reasons {
		reasons = append(reasons, r.Policy+": "+r.Type)
	}
	for _, r := range s.request.Spec.Requirements {
		requirements = append(requirements, r.Policy.Name+": "+string(r.Name))
	}
	slices.Sort(reasons)
	slices.Sort(requirements)
	n := s.namespace
	wantReasons := []string{"closed-" + n + ": ChangeWindowClosed", "p-" + n + ": ActionOutOfScope", "secured-" + n + ": FreezeActive"}
	if diff := cmp.Diff(wantReasons, reasons); diff != "" {
		t.Errorf("reasons (-want +got):\n%s", diff)
	}
	wantRequirements := []string{"closed-" + n + ": default", "p-" + n + ": owners", "secured-" + n + ": security"}
	if diff := cmp.Diff(wantRequirements, requirements); diff != "" {
		t.Errorf("requirements (-want +got):\n%s", diff)
	}
	if got := s.request.Spec.ValidFor; got != v1alpha1.Duration("20m") {
		t.Errorf("it is valid for %s, want the shortest of the policies, 20m", got)
	}
}

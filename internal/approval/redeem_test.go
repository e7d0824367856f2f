package approval

import (
	"strings"
	"testing"
	"time"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/action"
)

func TestCheck(t *testing.T) {
	later := noon.Add(time.Minute)
	for name, tc := range map[string]struct {
		request    func(*Request)
		make       func(*testing.T, *Request) *v1alpha1.ActionApproval
		attempt    func(*Attempt)
		at         time.Time
		want       Outcome
		wantReason string
	}{
		"as approved":              {want: Admit},
		"nothing asked any more":   {attempt: func(at *Attempt) { at.Reasons = nil }, want: Admit},
		"stale, but as approved":   {attempt: func(at *Attempt) { at.Stale = true }, want: Admit},
		"pending":                  {make: pending, want: Refuse, wantReason: "waiting for people"},
		"at the last instant":      {at: noon.Add(time.Hour - 1), want: Admit},
		"expired":                  {at: noon.Add(time.Hour), want: Refuse, wantReason: "the time for using it is over"},
		"expired for long":         {at: noon.Add(time.Hour + 1), want: Refuse, wantReason: "the time for using it is over"},
		"another action":           {attempt: func(at *Attempt) { at.Hash = "v1:other" }, want: Foreign, wantReason: "another action"},
		"no hash":                  {attempt: func(at *Attempt) { at.Hash = "" }, want: Foreign, wantReason: "another action"},
		"another requester":        {attempt: actor(func(a *action.Actor) { a.Username = "system:serviceaccount:ci:other" }), want: Foreign, wantReason: "another requester"},
		"account made again":       {attempt: actor(func(a *action.Actor) { a.UID = "new" }), want: Foreign, wantReason: "another requester"},
		"account without UID":      {attempt: actor(func(a *action.Actor) { a.UID = "" }), want: Foreign, wantReason: "another requester"},
		"another pod, unbound":     {attempt: actor(func(a *action.Actor) { a.PodUID, a.CredentialID = "2", "2" }), want: Admit},
		"same pod, bound":          {request: bindPod, want: Admit},
		"another pod, bound":       {request: bindPod, attempt: actor(func(a *action.Actor) { a.PodUID = "2" }), want: Foreign, wantReason: "another pod"},
		"no pod, bound":            {request: bindPod, attempt: actor(func(a *action.Actor) { a.PodUID = "" }), want: Foreign, wantReason: "another pod"},
		"another credential":       {request: bindCredential, attempt: actor(func(a *action.Actor) { a.CredentialID = "2" }), want: Foreign, wantReason: "another credential"},
		"another object":           {attempt: func(at *Attempt) { at.Action.UID = "new" }, want: Ends, wantReason: "deleted and created again"},
		"policy edited":            {attempt: func(at *Attempt) { at.Policies[0].Hash = "p1:new" }, want: Ends, wantReason: "policy changed since approval: shop"},
		"policy made again":        {attempt: func(at *Attempt) { at.Policies[0].UID = "new" }, want: Ends, wantReason: "policy changed"},
		"policy gone":              {attempt: func(at *Attempt) { at.Policies = nil }, want: Ends, wantReason: "policy changed"},
		"another policy too":       {attempt: func(at *Attempt) { at.Policies = append(at.Policies, v1alpha1.PolicyReference{Name: "b"}) }, want: Admit},
		"one more reason":          {attempt: reason(v1alpha1.ApprovalReason{Type: "FreezeActive", Policy: "shop", Name: "year-end"}), want: Ends, wantReason: "not part of the approval: FreezeActive (policy shop, year-end)"},
		"another window":           {attempt: reason(v1alpha1.ApprovalReason{Type: "ChangeWindowClosed", Policy: "shop", Name: "b"}), want: Ends, wantReason: "not part"},
		"of a task":                {attempt: reason(v1alpha1.ApprovalReason{Type: "ChangeWindowClosed", Policy: "shop", Name: "weeknights", Task: "t"}), want: Ends, wantReason: "task t, weeknights"},
		"an approver lost it":      {attempt: func(at *Attempt) { at.LostApprovers = []string{"alice"} }, want: Ends, wantReason: "may not approve any more"},
		"drift, but stale":         {attempt: func(at *Attempt) { at.Policies = nil; at.Stale = true }, want: Again, wantReason: "policy changed"},
		"changed elsewhere":        {attempt: func(at *Attempt) { at.Base = baseWith(at, 3, "web:2") }, want: Admit},
		"changed by an agent":      {attempt: func(at *Attempt) { at.Base, at.ChangedByAgent = baseWith(at, 3, "web:2"), true }, want: Ends, wantReason: "by an agent"},
		"changed back by an agent": {attempt: func(at *Attempt) { at.ChangedByAgent = true }, want: Admit},
		"no base":                  {attempt: func(at *Attempt) { at.Base = "" }, want: Ends, wantReason: "cannot be compared"},
		"base of another key":      {attempt: func(at *Attempt) { at.Base = BaseOf(at.Action, action.Hasher{KeyID: "k2"}) }, want: Ends, wantReason: "cannot be compared"},
		"revoked":                  {make: revoked, want: Refuse, wantReason: "took consent back"},
		"no identity of the write": {attempt: func(at *Attempt) { at.Action.Old, at.Action.New = nil, nil }, want: Refuse, wantReason: "which object"},
	} {
		t.Run(name, func(t *testing.T) {
			r := request(1)
			call(tc.request, r)
			if tc.make == nil {
				tc.make = func(t *testing.T, r *Request) *v1alpha1.ActionApproval { return approved(t, r) }
			}
			a, at := tc.make(t, r), attemptNow(scaleUp())
			call(tc.attempt, &at)
			if tc.at.IsZero() {
				tc.at = later
			}
			got := Check(a, at, tc.at)
			if got.Outcome != tc.want || !strings.Contains(got.Reason, tc.wantReason) || (got.Reason == "") != (tc.want == Admit) {
				t.Errorf("%+v, want %s because %q", got, tc.want, tc.wantReason)
			}
		})
	}
}

func pending(t *testing.T, r *Request) *v1alpha1.ActionApproval { return build(t, r) }

func revoked(t *testing.T, r *Request) *v1alpha1.ActionApproval {
	a := approved(t, r)
	mustDecide(t, a, "bob", v1alpha1.VerdictRevoke, noon)
	return a
}

func bindPod(r *Request) { r.BindTo = v1alpha1.BindToPod }

func bindCredential(r *Request) { r.BindTo = v1alpha1.BindToCredential }

// actor changes who makes the attempt. The hash stays, as if it did not depend on who acts.
func actor(change func(*action.Actor)) func(*Attempt) {
	return func(at *Attempt) { change(&at.Action.Actor) }
}

func reason(r v1alpha1.ApprovalReason) func(*Attempt) {
	return func(at *Attempt) { at.Reasons = append(at.Reasons, r) }
}

func baseWith(at *Attempt, replicas int64, image string) Base {
	a := *at.Action
	a.Old = deployment(replicas, image, "11", 6)
	return BaseOf(&a, hasher)
}

func TestCheckOfAKnownKeyWaivesOnlyTheUse(t *testing.T) {
	a, at := approved(t, request(1)), attemptNow(scaleUp())
	v := Check(a, at, noon)
	if v.Outcome != Admit || v.Known {
		t.Fatalf("%+v", v)
	}
	spend(t, a, v.Key, noon)
	if v = Check(a, at, noon); v.Outcome != Admit || !v.Known {
		t.Errorf("again: %+v", v)
	}
	other := attemptNow(scaleUp())
	other.Action.Old, other.Action.New = deployment(3, "web:1", "12", 8), deployment(5, "web:1", "12", 9)
	if v = Check(a, other, noon); v.Outcome != Refuse || v.Reason != "every use was made" {
		t.Errorf("another attempt: %+v", v)
	}
	if v = Check(a, at, noon.Add(time.Hour)); v.Outcome != Refuse {
		t.Errorf("a banked key after expiry: %+v", v)
	}
	frozen := at
	frozen.Reasons = []v1alpha1.ApprovalReason{windowClosed, {Type: "FreezeActive", Policy: "shop", Name: "year-end"}}
	if v = Check(a, frozen, noon); v.Outcome != Ends {
		t.Errorf("a banked key in a freeze: %+v", v)
	}
	mustDecide(t, a, "bob", v1alpha1.VerdictRevoke, noon)
	if v = Check(a, at, noon); v.Outcome != Refuse {
		t.Errorf("a banked key after revocation: %+v", v)
	}
}

func TestCheckOfATask(t *testing.T) {
	freeze := v1alpha1.ApprovalReason{Type: "FreezeActive", Policy: "shop", Name: "year-end"}
	for name, tc := range map[string]struct {
		attempt func(*Attempt)
		reasons []v1alpha1.ApprovalReason
		want    Outcome
	}{
		"an action of the task": {want: Admit},
		"another action of it":  {attempt: func(at *Attempt) { at.Hash = "v1:other"; at.Base = "" }, want: Admit},
		"another task":          {attempt: func(at *Attempt) { at.Task = "other" }, want: Foreign},
		"of another policy":     {attempt: func(at *Attempt) { at.TaskPolicy = "other" }, want: Foreign},
		"no task":               {attempt: func(at *Attempt) { at.TaskPolicy, at.Task = "", "" }, want: Foreign},
		"another namespace":     {attempt: func(at *Attempt) { at.Action.Namespace = "bank" }, want: Foreign},
		"a guard never":         {reasons: []v1alpha1.ApprovalReason{{Type: "GuardViolated", Policy: "shop", Name: "small-steps"}}, want: Foreign},
		"out of scope never":    {reasons: []v1alpha1.ApprovalReason{{Type: "FieldOutOfScope", Policy: "shop"}}, want: Foreign},
		"in a freeze unasked":   {attempt: func(at *Attempt) { at.Reasons = append(at.Reasons, freeze) }, want: Foreign},
		"a changed policy":      {attempt: func(at *Attempt) { at.Policies[0].Hash = "p1:other" }, want: Ends},
		"both":                  {attempt: func(at *Attempt) { at.Policies[0].Hash, at.Reasons = "p1:other", []v1alpha1.ApprovalReason{freeze} }, want: Ends},
		"a lost approver":       {attempt: func(at *Attempt) { at.LostApprovers = []string{"alice"} }, want: Ends},
		"a drifted object":      {attempt: func(at *Attempt) { at.Base, at.ChangedByAgent = "b1.x:y:z", true }, want: Admit},
		"a freeze":              {reasons: []v1alpha1.ApprovalReason{{Type: "FreezeActive", Policy: "shop", Name: "year-end"}}, want: Admit},
	} {
		t.Run(name, func(t *testing.T) {
			r := taskRequest(2)
			r.Reasons = append(r.Reasons, tc.reasons...)
			a, at := approved(t, r), attemptNow(scaleUp())
			at.TaskPolicy, at.Task = "shop", "roll-images"
			at.Reasons = append(at.Reasons, tc.reasons...)
			call(tc.attempt, &at)
			if got := Check(a, at, noon); got.Outcome != tc.want {
				t.Errorf("%+v, want %s", got, tc.want)
			}
		})
	}
}

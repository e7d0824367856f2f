package approval

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

func terms() Terms {
	return Terms{
		Governed: true, Reasons: []v1alpha1.ApprovalReason{windowClosed}, Requirements: []v1alpha1.StampedRequirement{sre(1)},
		MaxActions: 5, ValidFor: time.Hour, RequestExpiresAfter: 4 * time.Hour, BindTo: v1alpha1.BindToUser,
	}
}

func TestOwnRequestForATask(t *testing.T) {
	type created = v1alpha1.ActionApproval
	for name, tc := range map[string]struct {
		ask   func(*created)
		terms func(*Terms)
		after func(*created)
		who   func(*Caller)
		want  string
	}{
		"as it should be":      {},
		"less of it":           {ask: func(a *created) { a.Spec.Task.MaxActions, a.Spec.Task.ValidFor = 2, "10m" }},
		"more actions":         {ask: func(a *created) { a.Spec.Task.MaxActions = 6 }, want: "maxActions"},
		"longer":               {ask: func(a *created) { a.Spec.Task.ValidFor = "2h" }, want: "validFor"},
		"with a reason":        {ask: func(a *created) { a.Spec.Justification = "weekly update" }},
		"another requester":    {ask: func(a *created) { a.Spec.Requester.Username = "alice" }},
		"easier requirements":  {ask: func(a *created) { a.Spec.Requirements = nil }},
		"changed after stamp":  {after: func(a *created) { a.Spec.Requirements[0].MinApprovals = 0 }, want: "not as Countersign writes it"},
		"another's name after": {after: func(a *created) { a.Spec.Requester.Username = "alice" }, want: "not as Countersign writes it"},
		"follows":              {after: func(a *created) { a.Spec.Follows = "x" }, want: "not as Countersign writes it"},
		"later end":            {after: func(a *created) { a.Spec.RequestExpiresAt.Time = noon.Add(5 * time.Hour) }, want: "not as Countersign writes it"},
		"end within tolerance": {after: func(a *created) { a.Spec.RequestExpiresAt.Time = noon.Add(4*time.Hour + time.Second) }},
		"no end":               {after: func(a *created) { a.Spec.RequestExpiresAt = nil }, want: "not as Countersign writes it"},
		"approved already":     {ask: func(a *created) { add(a) }, want: "nobody can have decided yet"},
		"with a decision":      {ask: func(a *created) { a.Spec.Decision = &v1alpha1.Decision{Verdict: "Approve"} }, want: "nobody can have decided yet"},
		"its own reserved name": {ask: func(a *created) {
			r := taskRequest(5)
			r.Requester, r.Reasons = bot(), []v1alpha1.ApprovalReason{windowClosed}
			a.Name = r.Name()
		}},
		"a name for less of it": {ask: func(a *created) {
			r := taskRequest(5)
			r.Requester, r.Reasons = bot(), []v1alpha1.ApprovalReason{windowClosed}
			a.Name, a.Spec.Task.MaxActions = r.Name(), 4
		}, want: "given by Countersign"},
		"with unseen reasons":   {ask: func(a *created) { a.Spec.Justification = "\u202e" }, want: "no invisible characters"},
		"a reserved name":       {ask: func(a *created) { a.Name = "deploy-bot-run-0123456789abcdefghjk" }, want: "given by Countersign"},
		"with a finalizer":      {ask: func(a *created) { a.Finalizers = []string{"x/y"} }, want: "finalizers"},
		"with a base":           {ask: func(a *created) { a.Annotations = map[string]string{BaseAnnotation: "x"} }, want: "annotations"},
		"with an owner":         {ask: func(a *created) { a.OwnerReferences = []metav1.OwnerReference{{}} }, want: "ownerReferences"},
		"an action":             {ask: func(a *created) { a.Spec.Task, a.Spec.Action = nil, &v1alpha1.RequestedAction{} }, want: "opened by Countersign"},
		"both":                  {ask: func(a *created) { a.Spec.Action = &v1alpha1.RequestedAction{} }, want: "opened by Countersign"},
		"a person":              {who: func(c *Caller) { *c = person("alice") }, want: "lets this user not ask"},
		"no such task":          {terms: func(t *Terms) { *t = Terms{} }, want: "lets this user not ask"},
		"no such task, and why": {terms: func(t *Terms) { *t = Terms{Why: "no policy names you"} }, want: "no policy names you"},
		"nobody to ask":         {terms: func(t *Terms) { t.Requirements = nil }, want: "not who consents"},
		"account without UID":   {who: func(c *Caller) { c.UID = "" }, want: "without a UID"},
		"bound to no pod":       {who: func(c *Caller) { c.PodUID = "" }, terms: func(t *Terms) { t.BindTo = v1alpha1.BindToPod }, want: "no pod"},
		"bound to no credentia": {who: func(c *Caller) { c.CredentialID = "" }, terms: func(t *Terms) { t.BindTo = v1alpha1.BindToCredential }, want: "no ID"},
	} {
		t.Run(name, func(t *testing.T) {
			a := &created{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "tonight"}}
			a.Spec.Task = &v1alpha1.RequestedTask{Policy: "shop", Name: "roll-images"}
			who, terms := Caller{Actor: bot(), Governed: true}, terms()
			call(tc.ask, a)
			call(tc.terms, &terms)
			call(tc.who, &who)
			StampCreate(a, who, terms, noon)
			call(tc.after, a)
			checkError(t, ValidateCreate(a, who, terms, noon, time.Second).ToAggregate(), tc.want)
			if tc.want == "" && (a.Spec.Requester.Username != botName || len(a.Spec.Requirements) != 1 || Evaluate(a, noon) != Pending) {
				t.Errorf("stamped %+v", a.Spec)
			}
		})
	}
}

func call[T any](f func(*T), on *T) {
	if f != nil {
		f(on)
	}
}

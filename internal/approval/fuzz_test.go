package approval

import (
	"encoding/json"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/reviewtest"
)

// storedApprovals are approvals in several states, as JSON.
func storedApprovals(tb testing.TB) [][]byte {
	tb.Helper()
	decided := build(tb, request(2))
	mustDecide(tb, decided, "alice", v1alpha1.VerdictApprove, noon)
	decided.Status = StatusOf(decided, noon)
	asks := build(tb, request(1))
	asks.Spec.Decision = &v1alpha1.Decision{Verdict: v1alpha1.VerdictApprove, Comment: "ok", Limits: &v1alpha1.DecisionLimits{MaxActions: 1, ValidFor: "5m"}}
	spent := approved(tb, taskRequest(2))
	for _, key := range []string{"update.a", "session.b.1"} {
		status, _, err := Spend(spent, key, noon, v1alpha1.UsedObject{UID: "u", ResourceVersion: "1"}, "1")
		if err != nil {
			tb.Fatal(err)
		}
		spent.Status = status
	}
	var all [][]byte
	for _, a := range []*v1alpha1.ActionApproval{build(tb, request(1)), decided, asks, approved(tb, request(1)), build(tb, taskRequest(3)), spent} {
		text, err := json.Marshal(a)
		if err != nil {
			tb.Fatal(err)
		}
		all = append(all, text)
	}
	return append(all, []byte("{}"))
}

// FuzzWrites has anybody write an approval of any form over one of any form. Nothing panics. What passes adds at most one
// verdict, the writer's own, keeps those that stood there, and leaves what was asked as it was.
func FuzzWrites(f *testing.F) {
	stored := storedApprovals(f)
	for i, mutant := range append(stored, reviewtest.Mutants(f, stored, 2000)...) {
		old := stored[i%len(stored)]
		f.Add(old, mutant, byte(i))
		if i%4 == 0 {
			f.Add(mutant, old, byte(i))
		}
	}
	terms := Terms{
		Governed: true, Requirements: []v1alpha1.StampedRequirement{sre(1)}, MaxActions: 3, ValidFor: time.Hour,
		RequestExpiresAfter: time.Hour, BindTo: v1alpha1.BindToUser,
	}
	f.Fuzz(func(t *testing.T, before, after []byte, who byte) {
		var old, updated v1alpha1.ActionApproval
		if json.Unmarshal(before, &old) != nil || json.Unmarshal(after, &updated) != nil {
			return
		}
		caller := modelCaller(people[int(who)%len(people)])
		caller.Governed = caller.Username == botName
		created := updated.DeepCopy()
		StampCreate(created, caller, terms, noon)
		if errs := ValidateCreate(created, caller, terms, noon, time.Second); len(errs) == 0 && !caller.Governed {
			t.Errorf("somebody who is no agent asks for a run: %s", after)
		}
		Stamp(&old, &updated, caller, noon)
		if errs := ValidateUpdate(&old, &updated, caller, noon, time.Second); len(errs) == 0 {
			checkWrite(t, &old, &updated, &caller)
		}
		for _, a := range []*v1alpha1.ActionApproval{&old, &updated, created} {
			checkAnyApproval(t, a)
		}
	})
}

// checkWrite holds what must hold of a write that passes.
func checkWrite(t *testing.T, old, updated *v1alpha1.ActionApproval, caller *Caller) {
	t.Helper()
	before, after := old.Spec.Decisions, updated.Spec.Decisions
	switch added := len(after) - len(before); {
	case added < 0 || added > 1:
		t.Errorf("%d verdicts more", added)
	case added == 1 && (after[len(before)].Approver.Username != caller.Username || caller.Governed || !caller.MayApprove):
		t.Errorf("%s has given %+v", caller.Username, after[len(before)])
	}
	for i := range min(len(before), len(after)) {
		if !identical(before[i], after[i]) {
			t.Errorf("verdict %d has changed", i)
		}
	}
	x, y := old.Spec.DeepCopy(), updated.Spec.DeepCopy()
	for _, spec := range []*v1alpha1.ActionApprovalSpec{x, y} {
		spec.Justification, spec.Decision, spec.Decisions = "", nil, nil
	}
	if !equality.Semantic.DeepEqual(x, y) {
		t.Error("what was asked has changed")
	}
	if old.Spec.Justification != updated.Spec.Justification && !isRequester(&caller.Actor, old.Spec.Requester) {
		t.Error("somebody else justifies the request")
	}
}

// checkAnyApproval evaluates an approval of any form: its uses never exceed what it grants, and an end lasts.
func checkAnyApproval(t *testing.T, a *v1alpha1.ActionApproval) {
	t.Helper()
	state := Evaluate(a, noon)
	a.Status = StatusOf(a, noon)
	if again := Evaluate(a, noon.Add(time.Minute)); state.Terminal() && again != state {
		t.Errorf("%s has become %s", state, again)
	}
	at := attemptNow(scaleUp())
	if verdict := Check(a, at, noon); verdict.Outcome == Admit && state != Approved {
		t.Errorf("what is %s is admitted", state)
	}
	for i := range 5 {
		uses := len(a.Status.Uses)
		next, already, err := Spend(a, "update."+string(rune('a'+i)), noon, v1alpha1.UsedObject{}, "1")
		if err != nil {
			break
		}
		if grants := read(&a.Spec).limits.uses; !already && uses >= len(next.Uses) || !already && int32(made(&next)) > grants {
			t.Errorf("%d uses of %d", made(&next), grants)
		}
		a.Status = next
	}
}

// made counts uses that were not given back.
func made(s *v1alpha1.ActionApprovalStatus) (n int) {
	for i := range s.Uses {
		if s.Uses[i].Outcome != v1alpha1.UseReturned {
			n++
		}
	}
	return n
}

package approval

import (
	"errors"
	"strconv"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

func spend(tb testing.TB, a *v1alpha1.ActionApproval, key string, now time.Time) (already bool) {
	tb.Helper()
	next, already, err := Spend(a, key, now, v1alpha1.UsedObject{UID: "web-uid"}, "1")
	if err != nil {
		tb.Fatal(err)
	}
	a.Status = next
	return already
}

func settle(tb testing.TB, a *v1alpha1.ActionApproval, key string, outcome v1alpha1.UseOutcome, now time.Time) {
	tb.Helper()
	next, err := Settle(a, key, outcome, now)
	if err != nil {
		tb.Fatal(err)
	}
	a.Status = next
}

func TestSpend(t *testing.T) {
	a := approved(t, taskRequest(2))
	if spend(t, a, "update.a", noon) || !spend(t, a, "update.a", noon) || spend(t, a, "update.b", noon) {
		t.Error("a key costs one use the first time, and none later")
	}
	if _, _, err := Spend(a, "update.c", noon, v1alpha1.UsedObject{}, "1"); !errors.Is(err, ErrNothingLeft) {
		t.Errorf("a third use of two: %v", err)
	}
	if !spend(t, a, "update.b", noon) || *a.Status.Remaining != 0 || len(a.Status.Uses) != 2 {
		t.Errorf("status %+v", a.Status)
	}
	if _, _, err := Spend(a, "update.a", noon.Add(time.Hour), v1alpha1.UsedObject{}, "1"); !errors.Is(err, ErrNotApproved) {
		t.Errorf("a known key after expiry: %v", err)
	}
}

func TestSpentOnlyOnceSettled(t *testing.T) {
	for name, tc := range map[string]struct {
		key  string
		do   func(*testing.T, *v1alpha1.ActionApproval)
		at   time.Duration
		want State
	}{
		"update under way":          {"update.a", nil, time.Minute, Approved},
		"update stored":             {"update.a", store, time.Minute, Spent},
		"create closed":             {"create.a", closeUse, time.Minute, Approved},
		"create returned":           {"create.a", func(t *testing.T, a *v1alpha1.ActionApproval) { closeUse(t, a); giveBack(t, a) }, time.Minute, Approved},
		"delete under way":          {"delete.a", nil, time.Minute, Approved},
		"token":                     {"request.a", nil, 0, Spent},
		"session, last instant":     {"session.a", nil, 30*time.Second - 1, Approved},
		"session, over":             {"session.a", nil, 30 * time.Second, Spent},
		"session, over for a while": {"session.a", nil, 30*time.Second + 1, Spent},
	} {
		t.Run(name, func(t *testing.T) {
			a := approved(t, request(1))
			spend(t, a, tc.key, noon)
			if tc.do != nil {
				tc.do(t, a)
			}
			if got := Evaluate(a, noon.Add(tc.at)); got != tc.want {
				t.Errorf("%s, want %s", got, tc.want)
			}
		})
	}
}

func store(t *testing.T, a *v1alpha1.ActionApproval) {
	settle(t, a, a.Status.Uses[0].Key, v1alpha1.UseStored, noon)
}

func closeUse(t *testing.T, a *v1alpha1.ActionApproval) {
	settle(t, a, a.Status.Uses[0].Key, UseClosed, noon)
}

func giveBack(t *testing.T, a *v1alpha1.ActionApproval) {
	settle(t, a, a.Status.Uses[0].Key, v1alpha1.UseReturned, noon)
}

func TestSettle(t *testing.T) {
	stored, returned, admitted := v1alpha1.UseStored, v1alpha1.UseReturned, v1alpha1.UseAdmitted
	for name, tc := range map[string]struct {
		kind     string
		from, to v1alpha1.UseOutcome
		want     error
	}{
		"update stored":             {"update", admitted, stored, nil},
		"update stored twice":       {"update", stored, stored, nil},
		"update returned":           {"update", admitted, returned, nil},
		"update closed":             {"update", admitted, UseClosed, ErrSettled},
		"stored update returned":    {"update", stored, returned, ErrSettled},
		"returned update stored":    {"update", returned, stored, ErrSettled},
		"create returned unclosed":  {"create", admitted, returned, ErrSettled},
		"create closed":             {"create", admitted, UseClosed, nil},
		"create returned":           {"create", UseClosed, returned, nil},
		"create stored all along":   {"create", UseClosed, stored, nil},
		"returned create closed":    {"create", returned, UseClosed, ErrSettled},
		"delete stored":             {"delete", admitted, stored, nil},
		"delete returned":           {"delete", admitted, returned, ErrSettled},
		"session returned":          {"session", admitted, returned, ErrSettled},
		"token returned":            {"request", admitted, returned, ErrSettled},
		"admitted again":            {"update", stored, admitted, ErrSettled},
		"an outcome nobody knows":   {"update", admitted, "Lost", ErrSettled},
		"no outcome is admitted":    {"update", "", stored, nil},
		"of a use that is not here": {"", admitted, stored, ErrUnknownUse},
	} {
		t.Run(name, func(t *testing.T) {
			a := approved(t, request(1))
			a.Status.Uses = []v1alpha1.ApprovalUse{{Key: tc.kind + ".a", Outcome: tc.from}}
			key := tc.kind + ".a"
			if tc.kind == "" {
				key = "update.b"
			}
			next, err := Settle(a, key, tc.to, noon)
			if !errors.Is(err, tc.want) || err == nil && next.Uses[0].Outcome != tc.to {
				t.Errorf("%v, want %v: %+v", err, tc.want, next.Uses)
			}
		})
	}
}

func TestReturnedUses(t *testing.T) {
	a := approved(t, request(1))
	spend(t, a, "update.a", noon)
	giveBack(t, a)
	if *a.Status.Remaining != 1 {
		t.Errorf("remaining %d", *a.Status.Remaining)
	}
	if spend(t, a, "update.a", noon.Add(time.Second)) || *a.Status.Remaining != 0 || len(a.Status.Uses) != 1 {
		t.Errorf("an update that is tried again costs a use: %+v", a.Status.Uses)
	}

	created := approved(t, request(1))
	spend(t, created, "create.a", noon)
	closeUse(t, created)
	for range 2 { // closed, then returned
		if _, _, err := Spend(created, "create.a", noon, v1alpha1.UsedObject{}, "1"); !errors.Is(err, ErrClosed) {
			t.Errorf("a create that was given up: %v", err)
		}
		giveBack(t, created)
	}
	if spend(t, created, "create.b", noon) {
		t.Error("another create is another attempt")
	}
}

func TestUsesAreBounded(t *testing.T) {
	a := approved(t, taskRequest(1000))
	for i := range maxUses {
		a.Status.Uses = append(a.Status.Uses, v1alpha1.ApprovalUse{
			Key: "update." + strconv.Itoa(i), Time: metav1.NewTime(noon), Outcome: v1alpha1.UseReturned,
		})
	}
	spend(t, a, "update.new", noon)
	if len(a.Status.Uses) != maxUses || a.Status.Uses[0].Key != "update.1" {
		t.Errorf("%d uses, the first %s", len(a.Status.Uses), a.Status.Uses[0].Key)
	}
}

func TestSessionsAreGoodForAWhile(t *testing.T) {
	a := approved(t, taskRequest(2))
	for _, step := range []struct {
		after       time.Duration
		wantAlready bool
	}{
		{0, false}, {1, true}, {30*time.Second - 1, true}, {30 * time.Second, false}, {60*time.Second - 1, true},
	} {
		if got := spend(t, a, "session.a", noon.Add(step.after)); got != step.wantAlready {
			t.Errorf("after %s: already %t", step.after, got)
		}
	}
	if _, _, err := Spend(a, "session.a", noon.Add(time.Minute), v1alpha1.UsedObject{}, "1"); err == nil {
		t.Error("a third session of two")
	}
	if a.Status.Uses[0].Key != "session.a.1" || a.Status.Uses[1].Key != "session.a.2" {
		t.Errorf("keys %+v", a.Status.Uses)
	}
}

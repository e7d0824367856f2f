package approval

import (
	"testing"
	"time"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

func TestCoolingIsExact(t *testing.T) {
	denied := build(t, request(1))
	mustDecide(t, denied, "alice", v1alpha1.VerdictDeny, noon.Add(time.Hour))
	end := noon.Add(5 * time.Hour)
	for offset, want := range map[time.Duration]bool{-1: true, 0: false, 1: false} {
		until, cooling := CoolsUntil(denied, end.Add(offset))
		if cooling != want || !until.Equal(end) {
			t.Errorf("%s: cooling %t until %s", offset, cooling, until)
		}
	}
	mustDecide(t, denied, "bob", v1alpha1.VerdictRevoke, noon.Add(2*time.Hour))
	if _, cooling := CoolsUntil(denied, noon.Add(2*time.Hour)); cooling {
		t.Error("an approver has lifted it")
	}
	if got := Evaluate(denied, noon.Add(2*time.Hour)); got != Denied {
		t.Errorf("what was denied is %s", got)
	}
}

func TestCooling(t *testing.T) {
	denied := deniedApproval(t)
	for name, tc := range map[string]struct {
		ask  func(*Request)
		want bool
	}{
		"the same":                 {func(r *Request) {}, true},
		"to another number":        {func(r *Request) { r.Action.Changes[0].To.V = int64(9); r.Hash = "v1:other" }, true},
		"by the account made anew": {func(r *Request) { r.Requester.UID = "new" }, true},
		"of the object made anew":  {func(r *Request) { r.Action.UID = "new" }, true},
		"another path":             {func(r *Request) { r.Action.Changes[0].Path[1].Field = "paused" }, false},
		"one more path":            {func(r *Request) { r.Action.Changes = append(r.Action.Changes, imageUpdate().Changes...) }, false},
		"another object":           {func(r *Request) { r.Action.Name = "db" }, false},
		"another namespace":        {func(r *Request) { r.Action.Namespace = "bank" }, false},
		"another operation":        {func(r *Request) { r.Action.Operation = v1alpha1.OperationDelete }, false},
		"another requester":        {func(r *Request) { r.Requester.Username = "system:serviceaccount:ci:other" }, false},
		"a task":                   {func(r *Request) { *r = *taskRequest(1) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := request(1)
			tc.ask(r)
			found, until := Cooling([]*v1alpha1.ActionApproval{pendingApproval(t), denied}, r, noon)
			if got := found != nil; got != tc.want || got && !until.Equal(noon.Add(4*time.Hour)) {
				t.Errorf("%t until %s, want %t", got, until, tc.want)
			}
		})
	}
	task := build(t, taskRequest(3))
	mustDecide(t, task, "alice", v1alpha1.VerdictDeny, noon)
	if found, _ := Cooling([]*v1alpha1.ActionApproval{task}, taskRequest(2), noon); found == nil {
		t.Error("a shorter run of the task that was denied")
	}
}

func TestLocateFollowsWhatHasEnded(t *testing.T) {
	stored := map[string]*v1alpha1.ActionApproval{}
	get := func(name string) *v1alpha1.ActionApproval { return stored[name] }
	var names []string
	for i, end := range []func(*v1alpha1.ActionApproval){
		func(a *v1alpha1.ActionApproval) { a.Status = End(a, NoLongerNeeded, "", noon) },
		func(a *v1alpha1.ActionApproval) { mustDecide(t, a, "alice", v1alpha1.VerdictDeny, noon) },
		func(a *v1alpha1.ActionApproval) {},
	} {
		now := noon.Add(time.Duration(i) * 4 * time.Hour)
		r := request(1)
		if found := r.Locate(get, now); found != nil {
			t.Fatalf("request %d: found %s in state %s", i, found.Name, Evaluate(found, now))
		}
		if i > 0 && r.Follows != names[i-1] || i == 0 && r.Follows != "" {
			t.Errorf("request %d follows %q", i, r.Follows)
		}
		a, err := r.Build(noon)
		if err != nil {
			t.Fatal(err)
		}
		end(a)
		stored[a.Name], names = a, append(names, a.Name)
		if i == 1 {
			if found := request(1).Locate(get, noon); found != a {
				t.Error("a denial that cools must be found")
			}
		}
	}
	if found := request(1).Locate(get, noon.Add(5*time.Hour)); found != nil {
		t.Errorf("found %s, want none: the last one has expired", found.Name)
	}
}

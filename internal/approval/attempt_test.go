package approval

import (
	"maps"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/action"
)

func key(tb testing.TB, a *action.Action, hash, requestID string) string {
	tb.Helper()
	key, err := AttemptKey(a, hash, requestID)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

// with returns an object with a field of its metadata set.
func with(object map[string]any, field string, v any) map[string]any {
	object = maps.Clone(object)
	m := maps.Clone(metadata(object))
	m[field] = v
	object["metadata"] = m
	return object
}

func TestAttemptKeys(t *testing.T) {
	scale := func(reviewed, live string, generation int64) *action.Action {
		a := scaleUp()
		a.Target = deployment(3, "web:1", live, generation)
		a.Old = with(a.Target, "resourceVersion", reviewed)
		a.New = deployment(5, "web:1", live, generation)
		return a
	}
	edit := func(f func(*action.Action)) *action.Action {
		a := scaleUp()
		f(a)
		return a
	}
	create := func(uid string) *action.Action {
		return &action.Action{Actor: bot(), Operation: v1alpha1.OperationCreate, New: map[string]any{"metadata": map[string]any{"uid": uid}}}
	}
	exec := func(f func(*action.Action)) *action.Action {
		a := &action.Action{Actor: bot(), Operation: v1alpha1.OperationConnect, Resource: "pods", Subresource: "exec", UID: "pod"}
		f(a)
		return a
	}
	token := &action.Action{Operation: v1alpha1.OperationCreate, Resource: "serviceaccounts", Subresource: "token", UID: "account"}
	for name, tc := range map[string]struct {
		a, b         *action.Action
		hashB, idB   string
		wantSame     bool
		wantKindOfA  string
		wantKeylessB bool
	}{
		"update that moves the generation, metadata written between": {
			a: scaleUp(), b: edit(func(a *action.Action) {
				a.Old, a.New = with(a.Old, "resourceVersion", "11"), with(a.New, "resourceVersion", "11")
			}),
			wantSame: true, wantKindOfA: "update"},
		"from another generation": {
			a: scaleUp(), b: edit(func(a *action.Action) {
				a.Old, a.New = with(a.Old, "generation", int64(7)), with(a.New, "generation", int64(8))
			})},
		"another action":                                      {a: scaleUp(), b: scaleUp(), hashB: "v1:other"},
		"another object":                                      {a: scaleUp(), b: edit(func(a *action.Action) { a.UID = "other" })},
		"the same update reviewed again":                      {a: scaleUp(), b: scaleUp(), idB: "review-2", wantSame: true},
		"update without generation, from another version":     {a: edit(noGeneration), b: edit(func(a *action.Action) { noGeneration(a); a.Old = with(a.Old, "resourceVersion", "11") })},
		"update without generation, again":                    {a: edit(noGeneration), b: edit(noGeneration), wantSame: true, wantKindOfA: "update"},
		"a generation that moves by two is none":              {a: edit(noGeneration), b: edit(func(a *action.Action) { a.New = with(a.New, "generation", int64(8)) }), wantSame: true},
		"update that says nothing":                            {a: scaleUp(), b: edit(func(a *action.Action) { a.Old, a.New = nil, nil }), wantKeylessB: true},
		"scale and patch":                                     {a: scaleUp(), b: scale("10", "10", 6), wantSame: true},
		"scale reviewed at another version than the live":     {a: scale("9", "10", 6), b: scale("10", "10", 6)},
		"stale scale, parent changed meanwhile":               {a: scale("9", "10", 6), b: scale("9", "11", 7), wantSame: true},
		"scale of a kind without generation":                  {a: scale("10", "10", 0), b: scale("11", "11", 0)},
		"delete, after the object was noted as being deleted": {a: deletion(nil), b: deletion(func(a *action.Action) { a.Old = with(a.Old, "deletionTimestamp", "now") }), hashB: "v1:x", wantSame: true, wantKindOfA: "delete"},
		"delete of an object without UID":                     {a: deletion(nil), b: deletion(func(a *action.Action) { a.UID = "" }), wantKeylessB: true},
		"create, reviewed again":                              {a: create("u1"), b: create("u1"), idB: "review-2", wantSame: true, wantKindOfA: "create"},
		"create, tried again":                                 {a: create("u1"), b: create("u2")},
		"create without UID":                                  {a: create("u1"), b: create(""), wantKeylessB: true},
		"session, connected again":                            {a: exec(func(*action.Action) {}), b: exec(func(*action.Action) {}), idB: "review-2", wantSame: true, wantKindOfA: "session"},
		"session of another credential":                       {a: exec(func(*action.Action) {}), b: exec(func(a *action.Action) { a.Actor.CredentialID = "JTI=2" })},
		"session without credential":                          {a: exec(func(*action.Action) {}), b: exec(func(a *action.Action) { a.Actor.CredentialID = "" })},
		"another command":                                     {a: exec(func(*action.Action) {}), b: exec(func(*action.Action) {}), hashB: "v1:other"},
		"session with no object":                              {a: exec(func(a *action.Action) { a.UID = "" }), b: exec(func(a *action.Action) { a.UID = "" }), idB: "review-2", wantKindOfA: "request"},
		"token, reviewed again":                               {a: token, b: token, idB: "review-2", wantKindOfA: "request"},
		"token, in one review":                                {a: token, b: token, wantSame: true},
	} {
		t.Run(name, func(t *testing.T) {
			hashB, idB := "v1:h", "review-1"
			if tc.hashB != "" {
				hashB = tc.hashB
			}
			if tc.idB != "" {
				idB = tc.idB
			}
			a := key(t, tc.a, "v1:h", "review-1")
			b, err := AttemptKey(tc.b, hashB, idB)
			if (err != nil) != tc.wantKeylessB || (a == b) != tc.wantSame {
				t.Errorf("%s and %s (%v), want same %t", a, b, err, tc.wantSame)
			}
			if !strings.HasPrefix(a, tc.wantKindOfA) || len(a) > 100 {
				t.Errorf("key %s, want kind %s", a, tc.wantKindOfA)
			}
		})
	}
}

func noGeneration(a *action.Action) { a.New = with(a.New, "generation", int64(6)) }

// deletion is the deletion of a pod with 30 s to end.
func deletion(change func(*action.Action)) *action.Action {
	grace := int64(30)
	a := &action.Action{
		Actor: bot(), Operation: v1alpha1.OperationDelete, Version: "v1", Resource: "pods", Kind: "Pod",
		Namespaced: true, Namespace: "shop", Name: "p", UID: "pod-uid",
		Old:    map[string]any{"metadata": map[string]any{"name": "p", "uid": "pod-uid", "resourceVersion": "5"}},
		Delete: &action.DeleteOptions{GracePeriodSeconds: &grace},
	}
	if change != nil {
		change(a)
	}
	return a
}

// What a real API server sent for one request has one key, and goes on once the object is noted as being deleted.
func TestReviewsOfOneDelete(t *testing.T) {
	for _, name := range []string{"pod-unscheduled", "pod-force"} {
		t.Run(name, func(t *testing.T) {
			r := request(1)
			r.Action = captured(t, name+".1")
			r.Hash, r.Base, r.Requester = hasher.Hash(r.Action), BaseOf(r.Action, hasher), r.Action.Actor
			a := approved(t, r)
			spend(t, a, key(t, r.Action, r.Hash, ""), noon)
			for _, review := range reviewsOf(t, name) {
				act := captured(t, review)
				if key(t, act, "", "") != a.Status.Uses[0].Key {
					t.Errorf("%s has another key", review)
				}
				if got, want := Continuation(a, act, noon), text(act.Old, "deletionTimestamp") != ""; got != want {
					t.Errorf("%s continues %t, want %t", review, got, want)
				}
			}
		})
	}
}

// reviewsOf lists the reviews that were captured of one request.
func reviewsOf(t *testing.T, name string) []string {
	paths, err := filepath.Glob(filepath.Join("..", "action", "testdata", "reviews", name+".*.json"))
	if err != nil || len(paths) < 2 {
		t.Fatalf("%s: %d reviews, %v", name, len(paths), err)
	}
	for i, path := range paths {
		paths[i] = strings.TrimSuffix(filepath.Base(path), ".json")
	}
	return paths
}

func TestContinuation(t *testing.T) {
	none := int64(0)
	going := func(change func(*action.Action)) *action.Action {
		a := deletion(change)
		a.Old = with(with(a.Old, "deletionTimestamp", "2026-11-22T12:00:00Z"), "deletionGracePeriodSeconds", *a.Delete.GracePeriodSeconds)
		return a
	}
	forced := func(a *action.Action) { a.Delete = &action.DeleteOptions{GracePeriodSeconds: &none} }
	for name, tc := range map[string]struct {
		act     *action.Action
		after   time.Duration
		outcome v1alpha1.UseOutcome
		want    bool
	}{
		"at once":                  {act: going(nil), want: true},
		"at the last instant":      {act: going(nil), after: time.Minute - 1, want: true},
		"too late":                 {act: going(nil), after: time.Minute},
		"later still":              {act: going(nil), after: time.Minute + 1},
		"not being deleted":        {act: deletion(nil)},
		"another object":           {act: going(func(a *action.Action) { a.UID = "other" })},
		"another requester":        {act: going(func(a *action.Action) { a.Actor.Username = "system:serviceaccount:ci:other" })},
		"an account made again":    {act: going(func(a *action.Action) { a.Actor.UID = "new" })},
		"an update":                {act: going(func(a *action.Action) { a.Operation = v1alpha1.OperationUpdate })},
		"forced all along":         {act: going(forced), want: true},
		"graceful, then forced":    {act: func() *action.Action { a := going(nil); forced(a); return a }()},
		"stored already":           {act: going(nil), outcome: v1alpha1.UseStored, want: true},
		"expired in between":       {act: going(nil), after: 59 * time.Second, want: true},
		"returned, however it was": {act: going(nil), outcome: v1alpha1.UseReturned},
	} {
		t.Run(name, func(t *testing.T) {
			r := request(1)
			r.Action = deletion(nil)
			r.ValidFor = 58 * time.Second
			a := approved(t, r)
			spend(t, a, key(t, r.Action, "", ""), noon)
			if tc.outcome != "" {
				a.Status.Uses[0].Outcome = tc.outcome
			}
			if got := Continuation(a, tc.act, noon.Add(tc.after)); got != tc.want {
				t.Errorf("%t, want %t", got, tc.want)
			}
			a.Status = End(a, Void, "", noon)
			Remnant(a)
			if got := Continuation(a, tc.act, noon.Add(tc.after)); got != tc.want {
				t.Errorf("%t by what is kept once it has ended, want %t", got, tc.want)
			}
		})
	}
}

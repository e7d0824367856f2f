package heartbeat

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
)

var noon = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

// TestContact steps a clock past the last answer. An answer counts from when it was asked for.
func TestContact(t *testing.T) {
	clk := clocktesting.NewFakeClock(noon)
	var answer error
	contact := NewContact(clk)
	h := New(Probe(func(context.Context) error { clk.Step(2 * time.Second); return answer }), contact, clk)
	if err := contact.Err(); err == nil || err.Error() != "this replica of Countersign has not reached the API server yet" {
		t.Errorf("at the start it is %v", err)
	}
	h.beat(t.Context())
	clk.Step(Limit - 2*time.Second)
	if err := contact.Err(); err != nil {
		t.Errorf("at the limit it is %v", err)
	}
	answer = errors.New("no route")
	h.beat(t.Context())
	want := "this replica of Countersign has not reached the API server for 12s: what it knows may not hold any more"
	if err := contact.Err(); err == nil || err.Error() != want {
		t.Errorf("after it, it is %v", err)
	}
	answer = nil
	h.beat(t.Context())
	if err := contact.Err(); err != nil {
		t.Errorf("when it is back it is %v", err)
	}
}

// TestStanding follows replicas as time passes and their Leases change.
func TestStanding(t *testing.T) {
	clk := clocktesting.NewFakeClock(noon)
	r := &Replicas{Clock: clk, Own: func() string { return "new" }}
	lease := func(name string, version int, policies, canary string) coordinationv1.Lease {
		return coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{
			Name: name, ResourceVersion: fmt.Sprint(version),
			Annotations: map[string]string{PoliciesAnnotation: policies, CanaryAnnotation: canary},
		}}
	}
	steps := []struct {
		what   string
		after  time.Duration
		leases []coordinationv1.Lease
		gone   int
		want   Standing
	}{
		{"none", 0, nil, 0, Standing{Patient: true}},
		{"all alike", 0, []coordinationv1.Lease{lease("a", 1, "new", "Up"), lease("b", 1, "new", "Unknown")}, 0, Standing{Patient: true}},
		{"one starts", time.Second, []coordinationv1.Lease{lease("a", 2, "new", "Up"), lease("c", 1, "", "Unknown")}, 0, Standing{Patient: true}},
		{
			"two lag", time.Second, []coordinationv1.Lease{lease("b", 2, "old", "Up"), lease("a", 3, "old", "Up")}, 0,
			Standing{Lagging: []string{"a", "b"}, Patient: true},
		},
		{
			"one beats without following", stale, []coordinationv1.Lease{lease("b", 2, "old", "Up"), lease("a", 4, "old", "Up")}, 0,
			Standing{Lagging: []string{"a", "b"}, Patient: true},
		},
		{
			"one is gone, the other goes on", patience - stale + 1, []coordinationv1.Lease{lease("b", 2, "old", "Up"), lease("a", 5, "old", "Up")}, 0,
			Standing{Lagging: []string{"a"}},
		},
		{
			"it follows, and its canary is not refused", 1, []coordinationv1.Lease{lease("b", 2, "old", "Up"), lease("a", 6, "new", "Down: Passed")}, 0,
			Standing{Patient: true, Blind: []string{"a: Passed"}},
		},
		{"who is gone is blind to nobody", stale + 1, []coordinationv1.Lease{lease("a", 6, "new", "Down: Passed")}, 0, Standing{Patient: true}},
		{"who is gone for long is forgotten", forgotten, []coordinationv1.Lease{lease("a", 6, "new", "Up"), lease("d", 1, "new", "Up")}, 1, Standing{Patient: true}},
	}
	for _, s := range steps {
		clk.Step(s.after)
		if gone := r.take(s.leases); len(gone) != s.gone {
			t.Errorf("%s: %d are to be removed, want %d", s.what, len(gone), s.gone)
		}
		if diff := cmp.Diff(s.want, r.Standing("new")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", s.what, diff)
		}
	}
}

// TestNewsAfterStanding has somebody ask after the policies have changed and before the Lease follows, while nobody looked
// in between: they are told as soon as nothing is in the way any more.
func TestNewsAfterStanding(t *testing.T) {
	own := "old"
	r := &Replicas{Clock: clocktesting.NewFakeClock(noon), Own: func() string { return own }}
	told := 0
	r.OnChange(func() { told++ })
	look := func(version int, policies string) int {
		t.Helper()
		r.take([]coordinationv1.Lease{{
			ObjectMeta: metav1.ObjectMeta{Name: "a", ResourceVersion: fmt.Sprint(version), Annotations: map[string]string{PoliciesAnnotation: policies}},
		}})
		before := told
		for _, f := range r.news() {
			f()
		}
		return told - before
	}
	look(1, "old")
	own = "new"
	if s := r.Standing(own); len(s.Lagging) != 1 {
		t.Fatalf("nobody lags: %+v", s)
	}
	if got := look(2, "new"); got != 1 {
		t.Errorf("whoever was told that a replica lags is told %d times that it follows", got)
	}
	if got := look(3, "new"); got != 0 {
		t.Errorf("they are told %d times that nothing has changed", got)
	}
}

package archive

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	toolscache "k8s.io/client-go/tools/cache"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/approval"
)

var noon = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

// opened is a request as it is held, which waits for one of the group sre until four hours after it was opened.
func opened(name string, at time.Time) *v1alpha1.ActionApproval {
	a := &v1alpha1.ActionApproval{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, CreationTimestamp: metav1.NewTime(at)}}
	expires := metav1.NewTime(at.Add(4 * time.Hour))
	a.Spec.RequestExpiresAt, a.Spec.ValidFor = &expires, "1h"
	a.Spec.Requester.Username = "system:serviceaccount:ci:bot"
	a.Spec.Requirements = []v1alpha1.StampedRequirement{{
		Name: "sre", MinApprovals: 1, Approvers: []v1alpha1.Approver{{Kind: v1alpha1.ApproverGroup, Name: "sre"}},
	}}
	a.Status = approval.StatusOf(a, at)
	return a
}

// decided is the same once a person has said something, before anybody has written what follows from it.
func decided(name string, at time.Time, verdict v1alpha1.DecisionVerdict) *v1alpha1.ActionApproval {
	a := opened(name, at)
	a.Spec.Decisions = []v1alpha1.RecordedDecision{{
		Verdict: verdict, Time: metav1.NewTime(at.Add(time.Minute)),
		Approver: v1alpha1.ApproverIdentity{Username: "erin", Groups: []string{"sre"}},
	}}
	return a
}

// ended is what is held of one that has ended.
func ended(name string, as approval.State) *approval.Record {
	a := opened(name, noon.Add(-48*time.Hour))
	a.Status.Conditions = []metav1.Condition{{
		Type: v1alpha1.ApprovalApproved, Status: metav1.ConditionFalse, Reason: string(as), LastTransitionTime: metav1.NewTime(noon),
	}}
	return approval.RecordOf(a)
}

// happening is what a Census is told.
type happening struct{ before, after any }

func TestTally(t *testing.T) {
	morning := noon.Add(-3 * time.Hour)
	lost := func(held any) toolscache.DeletedFinalStateUnknown {
		return toolscache.DeletedFinalStateUnknown{Key: "shop/a", Obj: held}
	}
	for name, tc := range map[string]struct {
		told []happening
		// after is how long after noon is counted.
		after  time.Duration
		want   map[approval.State]int
		oldest time.Time
	}{
		"nothing":        {},
		"one that waits": {told: []happening{{nil, opened("a", morning)}}, want: map[approval.State]int{"Pending": 1}, oldest: morning},
		"the one that waits longest": {
			told: []happening{{nil, opened("b", noon)}, {nil, opened("a", morning)}, {nil, opened("c", noon.Add(-time.Hour))}},
			want: map[approval.State]int{"Pending": 3}, oldest: morning,
		},
		"the instant before it is too late": {
			told: []happening{{nil, opened("a", morning)}}, after: time.Hour - 1,
			want: map[approval.State]int{"Pending": 1}, oldest: morning,
		},
		"too late, while nothing happens": {
			told: []happening{{nil, opened("a", morning)}, {nil, opened("b", noon)}}, after: time.Hour,
			want: map[approval.State]int{"Pending": 1, "Expired": 1}, oldest: noon,
		},
		"consent, before its status says so": {
			told:  []happening{{nil, opened("a", morning)}, {opened("a", morning), decided("a", morning, v1alpha1.VerdictApprove)}},
			after: -2*time.Hour - 1, want: map[approval.State]int{"Approved": 1},
		},
		"consent that nobody used": {
			told: []happening{{nil, decided("a", morning, v1alpha1.VerdictApprove)}}, want: map[approval.State]int{"Expired": 1},
		},
		"a denial, before its status says so": {
			told: []happening{{nil, decided("a", morning, v1alpha1.VerdictDeny)}}, want: map[approval.State]int{"Denied": 1},
		},
		"ends of all kinds": {
			told: []happening{
				{nil, ended("a", approval.Spent)}, {nil, ended("b", approval.Spent)}, {nil, ended("c", approval.Void)},
				{nil, ended("d", approval.Revoked)}, {nil, ended("e", approval.NoLongerNeeded)},
			},
			want: map[approval.State]int{"Spent": 2, "Void": 1, "Revoked": 1, "NoLongerNeeded": 1},
		},
		"an end of a later version": {
			told: []happening{{nil, ended("a", "Escalated")}, {nil, ended("b", "Delegated")}}, want: map[approval.State]int{"Other": 2},
		},
		"it ends, and that is written once more": {
			told: []happening{
				{nil, opened("a", morning)}, {opened("a", morning), ended("a", approval.Denied)},
				{ended("a", approval.Denied), ended("a", approval.Denied)},
			},
			want: map[approval.State]int{"Denied": 1},
		},
		"they go": {
			told: []happening{
				{nil, opened("a", morning)}, {nil, ended("b", approval.Spent)}, {nil, ended("c", approval.Spent)},
				{opened("a", morning), nil}, {ended("b", approval.Spent), nil},
			},
			want: map[approval.State]int{"Spent": 1},
		},
		"they went while nobody watched": {
			told: []happening{
				{nil, opened("a", morning)}, {nil, ended("b", "Escalated")}, {lost(opened("a", morning)), nil}, {lost(ended("b", "Escalated")), nil},
			},
		},
		"of one name, in two namespaces": {
			told: []happening{{nil, opened("a", morning)}, {nil, func() any {
				other := opened("a", noon)
				other.Namespace = "other"
				return other
			}()}},
			want: map[approval.State]int{"Pending": 2}, oldest: morning,
		},
	} {
		t.Run(name, func(t *testing.T) {
			counted := newTally()
			for _, h := range tc.told {
				counted.remove(h.before)
				counted.add(h.after)
			}
			got, oldest := counted.at(noon.Add(tc.after))
			want := map[approval.State]int{
				"Pending": 0, "Approved": 0, "Denied": 0, "Expired": 0, "Revoked": 0, "Void": 0, "Spent": 0, "NoLongerNeeded": 0, "Other": 0,
			}
			maps.Copy(want, tc.want)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if !oldest.Equal(tc.oldest) {
				t.Errorf("the oldest was opened at %s, want %s", oldest, tc.oldest)
			}
		})
	}
}

// synced stands for a handler that was told everything.
type synced struct {
	toolscache.ResourceEventHandlerRegistration
}

func (synced) HasSynced() bool { return true }

// BenchmarkScrape reads the metrics of 100,000 approvals that have ended and 5,000 that wait, with one consent of two.
func BenchmarkScrape(b *testing.B) {
	c := &Census{clock: clocktesting.NewFakePassiveClock(noon), told: synced{}, tally: newTally()}
	for i := range 100_000 {
		c.change(nil, ended(fmt.Sprintf("ended-%d", i), approval.Spent))
	}
	for i := range 5_000 {
		a := decided(fmt.Sprintf("open-%d", i), noon.Add(-time.Hour), v1alpha1.VerdictApprove)
		a.Spec.Requirements[0].MinApprovals = 2
		c.change(nil, a)
	}
	r := prometheus.NewRegistry()
	r.MustRegister(c)
	b.ReportAllocs()
	for b.Loop() {
		families, err := r.Gather()
		if err != nil || len(families) != 2 {
			b.Fatalf("%d metrics are served: %v", len(families), err)
		}
	}
}

// BenchmarkChange counts one that ends.
func BenchmarkChange(b *testing.B) {
	c := &Census{tally: newTally()}
	before, after := opened("a", noon), ended("a", approval.Spent)
	b.ReportAllocs()
	for b.Loop() {
		c.change(before, after)
	}
}

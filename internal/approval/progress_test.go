package approval

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

func TestProgress(t *testing.T) {
	type verdict struct {
		who     string
		verdict v1alpha1.DecisionVerdict
	}
	for name, tc := range map[string]struct {
		verdicts []verdict
		want     []string
		met      bool
	}{
		"nobody":           {},
		"one of two":       {verdicts: []verdict{{"alice", v1alpha1.VerdictApprove}}, want: []string{"alice"}},
		"both":             {verdicts: []verdict{{"alice", v1alpha1.VerdictApprove}, {"bob", v1alpha1.VerdictApprove}}, want: []string{"alice", "bob"}, met: true},
		"denied after one": {verdicts: []verdict{{"alice", v1alpha1.VerdictApprove}, {"bob", v1alpha1.VerdictDeny}}},
	} {
		t.Run(name, func(t *testing.T) {
			a := build(t, request(2))
			for _, v := range tc.verdicts {
				mustDecide(t, a, v.who, v.verdict, noon)
			}
			// A consent that counts for nothing, however it came to stand there.
			a.Spec.Decisions = append(a.Spec.Decisions, v1alpha1.RecordedDecision{
				Verdict: v1alpha1.VerdictApprove, Approver: v1alpha1.ApproverIdentity{Username: botName, Groups: []string{"sre"}},
			})
			all := ProgressOf(&a.Spec)
			if len(all) != 1 || all[0].Needed() != 2 || all[0].Met() != tc.met {
				t.Fatalf("progress is %+v, want one requirement of two people, met: %v", all, tc.met)
			}
			var who []string
			for _, d := range all[0].Consents {
				who = append(who, d.Approver.Username)
			}
			if diff := cmp.Diff(tc.want, who); diff != "" {
				t.Errorf("who has consented (-want +got):\n%s", diff)
			}
		})
	}
}

package privilege_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/privilege"
)

const cleans = botSubject + `
tasks:
- name: clean
  scope:
    resourceRules: [{apiGroups: [""], resources: [configmaps, pods], operations: [DELETE]}]
    namespaces: [shop]
  budget: {maxActions: 10, per: 24h}
- name: images
  scope:
    resourceRules: [{apiGroups: [apps], resources: [deployments], operations: [UPDATE]}]
    namespaces: [shop]
`

const cleanerRole = `[{apiGroups: [""], resources: [configmaps, pods], verbs: [delete]}, {apiGroups: [apps], resources: [deployments], verbs: [patch]}]`

// did is an AgentActivity of the bot since some hours ago, with deletions of a resource some hours ago.
func did(since time.Duration, admitted int, resource string, ago ...time.Duration) v1alpha1.AgentActivity {
	a := v1alpha1.AgentActivity{ObjectMeta: metav1.ObjectMeta{CreationTimestamp: metav1.NewTime(now.Add(-since))}}
	a.Status.Username, a.Status.Admitted = "system:serviceaccount:ci:bot", int64(admitted)
	for i, t := range ago {
		a.Status.Recent = append(a.Status.Recent, v1alpha1.AdmittedAction{
			Key: fmt.Sprint(i), Time: metav1.NewTime(now.Add(-t)), Operation: v1alpha1.OperationDelete, Resource: resource, Namespace: "shop", Name: "x", Task: "p/clean",
		})
	}
	return a
}

func TestUses(t *testing.T) {
	const day = 24 * time.Hour
	for name, tc := range map[string]struct {
		activities []v1alpha1.AgentActivity
		missing    bool
		// want is what is said of each right, and since when all is known.
		want  map[string]string
		since string
	}{
		"some are used": {
			activities: []v1alpha1.AgentActivity{did(5*day, 1, "configmaps", time.Hour)},
			want:       map[string]string{"configmaps": "Used 2026-11-26T11:00:00Z", "pods": "Unused 2026-11-21", "deployments": "Unknown"}, since: "2026-11-21T12:00:00Z",
		},
		"some were dropped": { // of which nobody knows what they were: all is known for as long as the budget asks
			activities: []v1alpha1.AgentActivity{did(5*day, 100, "configmaps", time.Hour)},
			want:       map[string]string{"configmaps": "Used 2026-11-26T11:00:00Z", "pods": "Unused 2026-11-25", "deployments": "Unknown"}, since: "2026-11-25T12:00:00Z",
		},
		"not for a day yet": {
			activities: []v1alpha1.AgentActivity{did(5*time.Hour, 1, "configmaps", time.Hour)},
			want:       map[string]string{"configmaps": "Used 2026-11-26T11:00:00Z", "pods": "Unknown", "deployments": "Unknown"}, since: "2026-11-26T07:00:00Z",
		},
		"there is no record": {
			want: map[string]string{"configmaps": "Unused 2026-11-19", "pods": "Unused 2026-11-19", "deployments": "Unknown"}, since: "2026-11-19T12:00:00Z",
		},
		"nobody may look": {
			missing: true,
			want:    map[string]string{"configmaps": "Unknown", "pods": "Unknown", "deployments": "Unknown"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := clusterOf(t, map[string]string{"p": cleans}, map[string]string{"shop/r": cleanerRole})
			c.Activities, c.Missing.Activities = tc.activities, tc.missing
			r := privilege.New(c).Report(bot, nil)
			got := map[string]string{}
			for i := range r.Grants[0].Rights {
				right := &r.Grants[0].Rights[i]
				text := string(right.Use)
				switch right.Use {
				case privilege.Used:
					text += " " + right.LastUsed.Format(time.RFC3339)
				case privilege.Unused:
					text += " " + right.UnusedSince.Format("2006-01-02")
				}
				got[right.Resource] = text
			}
			since := ""
			if !r.Recorded.Since.IsZero() {
				since = r.Recorded.Since.Format(time.RFC3339)
			}
			if diff := cmp.Diff(tc.want, got) + cmp.Diff(tc.since, since); diff != "" {
				t.Error(diff)
			}
			unrecorded := strings.Contains(strings.Join(r.NotKnown, "\n"), "p/images")
			if unrecorded == tc.missing {
				t.Errorf("not known is %q", r.NotKnown)
			}
		})
	}
}

// approvalOf is an approval of the bot for the deletion of a pod.
func approvalOf(name, state string, change func(*v1alpha1.ActionApproval)) v1alpha1.ActionApproval {
	a := v1alpha1.ActionApproval{ObjectMeta: metav1.ObjectMeta{
		Namespace: "shop", Name: name, CreationTimestamp: metav1.NewTime(now.Add(-2 * time.Hour)),
	}}
	a.Spec.Requester = v1alpha1.Requester{Username: "system:serviceaccount:ci:bot", UID: "bot-uid"}
	a.Spec.Action = &v1alpha1.RequestedAction{Operation: v1alpha1.OperationDelete, Resource: "pods", Namespace: "shop", Name: "web"}
	a.Spec.RequestExpiresAt, a.Spec.ValidFor = &metav1.Time{Time: now.Add(time.Hour)}, "4h"
	a.Spec.Requirements = []v1alpha1.StampedRequirement{{Policy: v1alpha1.PolicyReference{Name: "p"}, Name: "default", MinApprovals: 1}}
	if state != "" {
		a.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ApprovalApproved, Status: metav1.ConditionFalse, Reason: state}}
	}
	if change != nil {
		change(&a)
	}
	return a
}

func TestApprovals(t *testing.T) {
	approve := func(a *v1alpha1.ActionApproval) {
		a.Spec.Decisions = []v1alpha1.RecordedDecision{{
			Verdict: v1alpha1.VerdictApprove, Approver: v1alpha1.ApproverIdentity{Username: "ann"}, Time: metav1.NewTime(now.Add(-time.Hour)),
		}}
		a.Status.Remaining = new(int32(1))
	}
	c := clusterOf(t, map[string]string{"p": botSubject + "outOfScope: RequireApproval\n"},
		map[string]string{"shop/r": `[{apiGroups: [""], resources: [pods, configmaps], verbs: [delete]}]`})
	c.Approvals = []v1alpha1.ActionApproval{
		approvalOf("pending", "", nil),
		approvalOf("approved", "", approve),
		approvalOf("of-another", "", func(a *v1alpha1.ActionApproval) { approve(a); a.Spec.Requester.UID = "former" }),
		approvalOf("nobody-answered", v1alpha1.ReasonExpired, nil),
		approvalOf("ran-out", v1alpha1.ReasonExpired, approve),
		approvalOf("used", v1alpha1.ReasonSpent, func(a *v1alpha1.ActionApproval) {
			approve(a)
			a.Status.Uses = []v1alpha1.ApprovalUse{{Key: "k", Time: metav1.NewTime(now.Add(-time.Minute))}}
		}),
		approvalOf("returned", v1alpha1.ReasonExpired, func(a *v1alpha1.ActionApproval) {
			approve(a)
			a.Spec.Action.Resource = "configmaps"
			a.Status.Uses = []v1alpha1.ApprovalUse{{Key: "k", Time: metav1.NewTime(now), Outcome: v1alpha1.UseReturned}}
		}),
		approvalOf("somebody-else", "", func(a *v1alpha1.ActionApproval) { a.Spec.Requester.Username = "robot" }),
	}
	r := privilege.New(c).Report(bot, nil)
	want := []string{
		"OverPrivilege Medium: no task covers 2 rights to write in shop [delete on configmaps, pods]",
		"StandingApproval Low: approval shop/approved can still be used [delete pods/web: 1 use left]",
		"StandingApproval Low: approval shop/of-another can still be used [delete pods/web: 1 use left]",
		"UnansweredRequest Low: request shop/pending waits since 2026-11-26T10:00:00Z [delete pods/web]",
		"UnansweredRequest Low: 1 request expired unanswered, the last asked 2026-11-26T10:00:00Z [shop: delete pods/web]",
	}
	if diff := cmp.Diff(want, lines(r)); diff != "" {
		t.Error(diff)
	}
	if !strings.Contains(r.Findings[2].Why, "an earlier account") {
		t.Errorf("of the approval of an earlier account it says %s", r.Findings[2].Why)
	}
	// What was used under an approval stays in the role, what was given back does not.
	rules := r.Replacement.Roles[0].Rules
	if len(rules) != 1 || strings.Join(rules[0].Resources, ",") != "pods" || r.Recorded.Approvals != 1 {
		t.Errorf("kept is %+v, and known are %+v", rules, r.Recorded)
	}
}

package approval

import (
	"os"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

// TestAllStates holds the list against the constants.
func TestAllStates(t *testing.T) {
	text, err := os.ReadFile("state.go")
	if err != nil {
		t.Fatal(err)
	}
	declared := []string{}
	for _, found := range regexp.MustCompile(`(\w+) +State = v1alpha1`).FindAllStringSubmatch(string(text), -1) {
		declared = append(declared, found[1])
	}
	listed := []string{}
	for _, s := range AllStates() {
		listed = append(listed, string(s))
	}
	if diff := cmp.Diff(declared, listed); diff != "" {
		t.Errorf("(-declared +listed):\n%s", diff)
	}
}

func TestExpiryIsExact(t *testing.T) {
	for name, tc := range map[string]struct {
		make   func(*testing.T) *v1alpha1.ActionApproval
		expiry time.Time
		before State
	}{
		"of a request":           {pendingApproval, noon.Add(4 * time.Hour), Pending},
		"of an approval":         {grantedApproval, noon.Add(time.Hour), Approved},
		"of a narrowed approval": {narrowedApproval, noon.Add(10 * time.Minute), Approved},
	} {
		for offset, want := range map[time.Duration]State{-1: tc.before, 0: Expired, 1: Expired} {
			t.Run(name+offset.String(), func(t *testing.T) {
				a := tc.make(t)
				if got := Evaluate(a, tc.expiry.Add(offset)); got != want {
					t.Errorf("%s, want %s", got, want)
				}
				if !a.Status.ExpiresAt.Time.Equal(tc.expiry) {
					t.Errorf("expiresAt %s, want %s", a.Status.ExpiresAt, tc.expiry)
				}
			})
		}
	}
}

func narrowedApproval(t *testing.T) *v1alpha1.ActionApproval {
	a := build(t, request(2))
	for who, validFor := range map[string]v1alpha1.Duration{"alice": "10m", "bob": "30m"} {
		d := v1alpha1.Decision{Verdict: v1alpha1.VerdictApprove, Limits: &v1alpha1.DecisionLimits{ValidFor: validFor}}
		if err := decide(a, person(who), d, noon); err != nil {
			t.Fatal(err)
		}
	}
	return a
}

func TestApprovalGivenWithinTheLastSecondOfARequest(t *testing.T) {
	a := build(t, request(1))
	mustDecide(t, a, "alice", v1alpha1.VerdictApprove, noon.Add(4*time.Hour-1))
	if got := Evaluate(a, noon.Add(4*time.Hour-1)); got != Approved {
		t.Errorf("state %s: the recorded time must stay before the end", got)
	}
}

func TestQuorum(t *testing.T) {
	security := sre(1)
	security.Policy.Name, security.Name = "company", "security"
	security.Approvers = []v1alpha1.Approver{{Kind: v1alpha1.ApproverUser, Name: "carol"}, {Kind: v1alpha1.ApproverGroup, Name: "security"}}
	anybody := sre(2)
	anybody.Approvers = nil
	type verdict struct {
		who     string
		groups  []string
		verdict v1alpha1.DecisionVerdict
	}
	inSRE, inSecurity, both := []string{"sre"}, []string{"security"}, []string{"sre", "security"}
	for name, tc := range map[string]struct {
		requirements []v1alpha1.StampedRequirement
		verdicts     []verdict
		want         State
	}{
		"nobody":                   {[]v1alpha1.StampedRequirement{sre(1)}, nil, Pending},
		"one of one":               {[]v1alpha1.StampedRequirement{sre(1)}, []verdict{{"alice", inSRE, "Approve"}}, Approved},
		"one of two":               {[]v1alpha1.StampedRequirement{sre(2)}, []verdict{{"alice", inSRE, "Approve"}}, Pending},
		"one person twice":         {[]v1alpha1.StampedRequirement{sre(2)}, []verdict{{"alice", inSRE, "Approve"}, {"alice", inSRE, "Approve"}}, Pending},
		"two of two":               {[]v1alpha1.StampedRequirement{sre(2)}, []verdict{{"alice", inSRE, "Approve"}, {"bob", inSRE, "Approve"}}, Approved},
		"one for both":             {[]v1alpha1.StampedRequirement{sre(1), security}, []verdict{{"alice", both, "Approve"}}, Approved},
		"one of both":              {[]v1alpha1.StampedRequirement{sre(1), security}, []verdict{{"alice", inSRE, "Approve"}}, Pending},
		"one each":                 {[]v1alpha1.StampedRequirement{sre(1), security}, []verdict{{"alice", inSRE, "Approve"}, {"carol", inSecurity, "Approve"}}, Approved},
		"named by user":            {[]v1alpha1.StampedRequirement{security}, []verdict{{"carol", nil, "Approve"}}, Approved},
		"two from the wrong group": {[]v1alpha1.StampedRequirement{sre(2), security}, []verdict{{"a", inSecurity, "Approve"}, {"b", inSecurity, "Approve"}, {"c", inSRE, "Approve"}}, Pending},
		"anybody":                  {[]v1alpha1.StampedRequirement{anybody}, []verdict{{"alice", nil, "Approve"}, {"bob", nil, "Approve"}}, Approved},
		"a denial":                 {[]v1alpha1.StampedRequirement{sre(2)}, []verdict{{"alice", inSRE, "Approve"}, {"bob", inSRE, "Deny"}}, Denied},
		"a denial by the same":     {[]v1alpha1.StampedRequirement{sre(2)}, []verdict{{"alice", inSRE, "Approve"}, {"alice", inSRE, "Deny"}}, Denied},
		"consent after a denial":   {[]v1alpha1.StampedRequirement{sre(1)}, []verdict{{"bob", inSRE, "Deny"}, {"alice", inSRE, "Approve"}}, Denied},
		"a denial after consent":   {[]v1alpha1.StampedRequirement{sre(1)}, []verdict{{"alice", inSRE, "Approve"}, {"bob", inSRE, "Deny"}}, Approved},
		"taken back":               {[]v1alpha1.StampedRequirement{sre(1)}, []verdict{{"alice", inSRE, "Approve"}, {"bob", inSRE, "Revoke"}}, Revoked},
		"taken back too early":     {[]v1alpha1.StampedRequirement{sre(1)}, []verdict{{"bob", inSRE, "Revoke"}, {"alice", inSRE, "Approve"}}, Approved},
		"granted twice":            {[]v1alpha1.StampedRequirement{sre(1)}, []verdict{{"alice", inSRE, "Approve"}, {"bob", inSRE, "Revoke"}, {"alice", inSRE, "Approve"}}, Revoked},
		"the requester":            {[]v1alpha1.StampedRequirement{sre(1)}, []verdict{{botName, inSRE, "Approve"}}, Pending},
		"an account":               {[]v1alpha1.StampedRequirement{anybody}, []verdict{{"system:serviceaccount:a:b", nil, "Approve"}, {"bob", nil, "Approve"}}, Pending},
		"nobody required":          {nil, []verdict{{"alice", inSRE, "Approve"}}, Pending},
		"unknown verdict":          {[]v1alpha1.StampedRequirement{sre(1)}, []verdict{{"alice", inSRE, "approve"}}, Pending},
	} {
		t.Run(name, func(t *testing.T) {
			a := build(t, request(1))
			a.Spec.Requirements = tc.requirements
			for i, v := range tc.verdicts {
				a.Spec.Decisions = append(a.Spec.Decisions, v1alpha1.RecordedDecision{
					Verdict:  v.verdict,
					Approver: v1alpha1.ApproverIdentity{Username: v.who, Groups: v.groups},
					Time:     metav1.NewTime(noon.Add(time.Duration(i) * time.Second)),
				})
			}
			if got := Evaluate(a, noon.Add(time.Minute)); got != tc.want {
				t.Errorf("%s, want %s", got, tc.want)
			}
		})
	}
}

func TestStatusOf(t *testing.T) {
	minute := noon.Add(time.Minute)
	for name, tc := range map[string]struct {
		make func(*testing.T) *v1alpha1.ActionApproval
		at   time.Time
		// want: Decided and Approved as "status/reason@time"
		want      [2]string
		remaining int32
	}{
		"pending":    {pendingApproval, noon, [2]string{"False/Pending@0s", "Unknown/Pending@0s"}, 1},
		"approved":   {grantedApproval, minute, [2]string{"True/Approved@0s", "True/Approved@0s"}, 1},
		"denied":     {deniedApproval, minute, [2]string{"True/Denied@0s", "False/Denied@0s"}, 1},
		"revoked":    {revokedApproval, minute, [2]string{"True/Approved@0s", "False/Revoked@0s"}, 1},
		"void":       {voidApproval, minute, [2]string{"True/Approved@0s", "False/Void@0s"}, 1},
		"unanswered": {pendingApproval, noon.Add(5 * time.Hour), [2]string{"False/Expired@0s", "False/Expired@4h0m0s"}, 1},
		"unused":     {grantedApproval, noon.Add(5 * time.Hour), [2]string{"True/Approved@0s", "False/Expired@1h0m0s"}, 1},
		"spent":      {spentApproval, minute, [2]string{"True/Approved@0s", "False/Spent@1s"}, 0},
		"unneeded": {func(t *testing.T) *v1alpha1.ActionApproval {
			a := pendingApproval(t)
			a.Status = End(a, NoLongerNeeded, "", minute)
			return a
		}, minute, [2]string{"False/NoLongerNeeded@0s", "False/NoLongerNeeded@1m0s"}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			a := tc.make(t)
			a.Status = StatusOf(a, tc.at)
			got := [2]string{shownCondition(a, v1alpha1.ApprovalDecided), shownCondition(a, v1alpha1.ApprovalApproved)}
			if diff := cmp.Diff(tc.want, got); diff != "" || *a.Status.Remaining != tc.remaining {
				t.Errorf("remaining %d, conditions (-want +got):\n%s", *a.Status.Remaining, diff)
			}
			if again := StatusOf(a, tc.at.Add(1000*time.Hour)); Evaluate(a, tc.at).Terminal() && !cmp.Equal(again, a.Status) {
				t.Errorf("an end did not stay: %s", cmp.Diff(a.Status, again))
			}
		})
	}
}

func shownCondition(a *v1alpha1.ActionApproval, kind string) string {
	c := meta.FindStatusCondition(a.Status.Conditions, kind)
	return string(c.Status) + "/" + c.Reason + "@" + c.LastTransitionTime.Sub(noon).String()
}

func spentApproval(t *testing.T) *v1alpha1.ActionApproval {
	a := grantedApproval(t)
	spend(t, a, "delete.x", noon)
	settle(t, a, "delete.x", v1alpha1.UseStored, noon.Add(time.Second))
	return a
}

func TestEnd(t *testing.T) {
	for name, tc := range map[string]struct {
		make func(*testing.T) *v1alpha1.ActionApproval
		end  State
		want State
	}{
		"a request is void":       {pendingApproval, Void, Void},
		"a request is not needed": {pendingApproval, NoLongerNeeded, NoLongerNeeded},
		"an approval is void":     {grantedApproval, Void, Void},
		"an approval is needed":   {grantedApproval, NoLongerNeeded, Approved},
		"nothing else ends it":    {grantedApproval, Revoked, Approved},
		"what was denied":         {deniedApproval, Void, Denied},
		"what was revoked":        {revokedApproval, Void, Revoked},
		"what was spent":          {spentApproval, Void, Spent},
	} {
		t.Run(name, func(t *testing.T) {
			a := tc.make(t)
			a.Status = End(a, tc.end, "as the test says", noon.Add(time.Minute))
			if got := Evaluate(a, noon.Add(time.Minute)); got != tc.want {
				t.Errorf("%s, want %s", got, tc.want)
			}
		})
	}
}

func TestUnreadableTimesAreOver(t *testing.T) {
	for name, change := range map[string]func(*v1alpha1.ActionApproval){
		"no validity":     func(a *v1alpha1.ActionApproval) { a.Spec.ValidFor = "" },
		"negative":        func(a *v1alpha1.ActionApproval) { a.Spec.ValidFor = "-1h" },
		"not a length":    func(a *v1alpha1.ActionApproval) { a.Spec.ValidFor = "forever" },
		"no end to wait":  func(a *v1alpha1.ActionApproval) { a.Spec.RequestExpiresAt = nil },
		"unreadable task": func(a *v1alpha1.ActionApproval) { a.Spec.Task = &v1alpha1.RequestedTask{MaxActions: 1, ValidFor: "x"} },
	} {
		t.Run(name, func(t *testing.T) {
			a := build(t, request(1))
			change(a)
			add(a)
			if got := Evaluate(a, noon); got != Expired {
				t.Errorf("%s, want %s", got, Expired)
			}
		})
	}
}

func TestDurations(t *testing.T) {
	for d, want := range map[time.Duration]v1alpha1.Duration{
		time.Hour: "1h", 90 * time.Minute: "1h30m", time.Second: "1s", 0: "1s", 1500 * time.Millisecond: "1s",
		26*time.Hour + time.Second: "26h1s", 30 * time.Minute: "30m",
	} {
		if got := duration(d); got != want || d >= time.Second && parsed(got) != d.Truncate(time.Second) {
			t.Errorf("%s: %s, want %s", d, got, want)
		}
	}
	states := []State{Pending, Approved, Denied, Expired, Revoked, Void, Spent, NoLongerNeeded, ""}
	ended := slices.DeleteFunc(slices.Clone(states), func(s State) bool { return !s.Terminal() })
	if diff := cmp.Diff(states[2:], ended); diff != "" {
		t.Error(diff)
	}
}

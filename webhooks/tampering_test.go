package webhooks_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

// TestTampering has people with all rights write what only Countersign writes.
func TestTampering(t *testing.T) {
	s := newEnvironment(t).scene(t, three)
	erin, frank := s.person(t, "erin"), s.person(t, "frank")
	allowed(t, decide(t.Context(), erin, s.request, "Approve"))
	forged := func(change func(*v1alpha1.RecordedDecision)) func(*v1alpha1.ActionApproval) {
		return func(a *v1alpha1.ActionApproval) {
			d := a.Spec.Decisions[0].DeepCopy()
			change(d)
			a.Spec.Decisions = append(a.Spec.Decisions, *d)
		}
	}
	for name, tc := range map[string]struct {
		change func(*v1alpha1.ActionApproval)
		want   string
	}{
		"another's name": {forged(func(*v1alpha1.RecordedDecision) {}), "decisions\\[1\\].approver: Forbidden: not who writes it"},
		"one's own name": {forged(func(d *v1alpha1.RecordedDecision) { d.Approver.Username = "frank" }), "not who writes it"},
		"another's groups": {forged(func(d *v1alpha1.RecordedDecision) {
			d.Approver = identityOf(t, frank)
			d.Approver.Groups = []string{"sre"}
		}), "not who writes it"},
		"another time": {forged(func(d *v1alpha1.RecordedDecision) {
			d.Approver, d.Time.Time = identityOf(t, frank), d.Time.AddDate(0, 0, -1)
		}), "decisions\\[1\\].time: Forbidden"},
		"two at once": {func(a *v1alpha1.ActionApproval) {
			a.Spec.Decisions = append(a.Spec.Decisions, a.Spec.Decisions[0], a.Spec.Decisions[0])
		}, "one verdict at a time"},
		"with one's own verdict": {func(a *v1alpha1.ActionApproval) {
			a.Spec.Decisions = append(a.Spec.Decisions, a.Spec.Decisions[0])
			a.Spec.Decision = &v1alpha1.Decision{Verdict: v1alpha1.VerdictApprove}
		}, "one verdict at a time"},
		"an edited verdict":  {func(a *v1alpha1.ActionApproval) { a.Spec.Decisions[0].Verdict = v1alpha1.VerdictDeny }, "cannot be changed or removed"},
		"an edited comment":  {func(a *v1alpha1.ActionApproval) { a.Spec.Decisions[0].Comment = "not mine" }, "cannot be changed or removed"},
		"a removed verdict":  {func(a *v1alpha1.ActionApproval) { a.Spec.Decisions = nil }, "cannot be changed or removed"},
		"a replaced verdict": {func(a *v1alpha1.ActionApproval) { a.Spec.Decisions[0].Approver.Username = "frank" }, "cannot be changed or removed"},
		"removed while deciding": {func(a *v1alpha1.ActionApproval) {
			a.Spec.Decisions, a.Spec.Decision = nil, &v1alpha1.Decision{Verdict: v1alpha1.VerdictApprove}
		}, "cannot be changed or removed"},
		"an owner": {func(a *v1alpha1.ActionApproval) {
			a.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: "gone", UID: "gone"}}
		}, "approvals have no owner"},
		"a finalizer": {func(a *v1alpha1.ActionApproval) { a.Finalizers = []string{"example.com/forever"} }, "approvals have no finalizers"},
	} {
		t.Run(name, func(t *testing.T) {
			changed := s.read(t)
			before := changed.DeepCopy()
			tc.change(changed)
			checkRefusal(t, frank.Patch(t.Context(), changed, client.MergeFrom(before)), tc.want)
			if diff := cmp.Diff(before.Spec, s.read(t).Spec); diff != "" {
				t.Errorf("the request has changed (-before +after):\n%s", diff)
			}
		})
	}
}

// TestStatusOfApprovals has people with all rights write the status.
func TestStatusOfApprovals(t *testing.T) {
	s := newEnvironment(t).scene(t, asks)
	erin := s.person(t, "erin")
	waitState(t, s.environment, s.request, "Pending")
	before := s.read(t)
	changed := before.DeepCopy()
	changed.Status.Conditions[0].Status, changed.Status.Conditions[0].Reason = "True", "Approved"
	const want = "only Countersign writes the status"
	checkRefusal(t, erin.Status().Update(t.Context(), changed.DeepCopy()), want)
	checkRefusal(t, erin.Status().Patch(t.Context(), changed.DeepCopy(), client.MergeFrom(before)), want)
	body := `[{"op":"replace","path":"/status/remaining","value":9}]`
	checkRefusal(t, erin.Status().Patch(t.Context(), before.DeepCopy(), client.RawPatch(types.JSONPatchType, []byte(body))), want)
	// A status that comes with the object is left out by the API server, with or without a verdict.
	changed.Labels = map[string]string{"seen": "yes"}
	allowed(t, erin.Update(t.Context(), changed))
	if diff := cmp.Diff(before.Status, s.read(t).Status); diff != "" {
		t.Errorf("the status has changed (-before +after):\n%s", diff)
	}
}

// TestWords has an agent and a person write what would be shown as something else.
func TestWords(t *testing.T) {
	s := newEnvironment(t).scene(t, asks)
	erin := s.person(t, "erin")
	for name, tc := range map[string]struct{ words, want string }{
		"an escape":     {`\u001b[2K`, "should match"},
		"right to left": {`do not \u202eevorppa`, `no invisible characters such as U\+202E`},
		"hidden tags":   {`ok\udb40\udc41`, `no invisible characters such as U\+E0041`},
		"a line":        {`ok\u2028Approved-By: boss`, `no invisible characters such as U\+2028`},
		"too much":      {strings.Repeat("x", 513), "may not be more than 512"},
	} {
		t.Run(name, func(t *testing.T) {
			justification := `{"spec":{"justification":"` + tc.words + `"}}`
			checkRefusal(t, patch(t.Context(), s.agent, s.request, types.MergePatchType, justification), tc.want)
			comment := `{"spec":{"decision":{"verdict":"Approve","comment":"` + tc.words + `"}}}`
			checkRefusal(t, patch(t.Context(), erin, s.request, types.MergePatchType, comment), tc.want)
		})
	}
	if a := s.read(t); a.Spec.Justification != "" || len(a.Spec.Decisions) != 0 {
		t.Errorf("stored are %q and %+v", a.Spec.Justification, a.Spec.Decisions)
	}
}

// identityOf is somebody as the API server authenticates them, which is how they would be recorded.
func identityOf(t *testing.T, who *identity) v1alpha1.ApproverIdentity {
	t.Helper()
	review, err := who.AuthenticationV1().SelfSubjectReviews().Create(t.Context(), &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	user := review.Status.UserInfo
	recorded := v1alpha1.ApproverIdentity{Username: user.Username, UID: user.UID, Groups: user.Groups}
	if id := user.Extra["authentication.kubernetes.io/credential-id"]; len(id) == 1 {
		recorded.CredentialID = id[0]
	}
	return recorded
}

package approval

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/action"
)

func TestBuild(t *testing.T) {
	r := request(2)
	got := build(t, r)
	expires := metav1.NewTime(noon.Add(4 * 3600e9))
	want := v1alpha1.ActionApprovalSpec{
		Requester: v1alpha1.Requester{Username: botName, UID: "bot-uid", PodName: "bot-0", PodUID: "pod-uid", CredentialID: "JTI=bot"},
		Action: &v1alpha1.RequestedAction{
			Operation: "UPDATE", Group: "apps", Version: "v1", Resource: "deployments", Namespace: "shop", Name: "web", UID: "web-uid",
			Hash: r.Hash, Changes: []v1alpha1.FieldChange{{Path: "spec.replicas", From: "3", To: "5"}}, Diff: Diff(scaleUp()),
		},
		Reasons: []v1alpha1.ApprovalReason{windowClosed}, Requirements: []v1alpha1.StampedRequirement{sre(2)},
		RequestExpiresAt: &expires, ValidFor: "1h", BindTo: "User",
	}
	if diff := cmp.Diff(want, got.Spec); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got.Namespace != "shop" || got.Name != r.Name() || got.Annotations[BaseAnnotation] != string(r.Base) {
		t.Errorf("metadata %+v", got.ObjectMeta)
	}
}

func TestBuildRefusesWhatNobodyCouldGrant(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*Request)
		want   string
	}{
		"nothing":                {func(r *Request) { r.Action = nil }, "exactly one"},
		"both":                   {func(r *Request) { r.Task = &Task{} }, "exactly one"},
		"no hash":                {func(r *Request) { r.Hash = "" }, "no hash"},
		"no base":                {func(r *Request) { r.Base = "" }, "no digest"},
		"nobody to consent":      {func(r *Request) { r.Requirements = nil }, "nobody is required"},
		"no approvals":           {func(r *Request) { r.Requirements = []v1alpha1.StampedRequirement{sre(0)} }, "incomplete"},
		"policy without hash":    {func(r *Request) { r.Requirements[0].Policy.Hash = "" }, "incomplete"},
		"reason of another":      {func(r *Request) { r.Reasons[0].Policy = "company" }, "without a requirement"},
		"no validity":            {func(r *Request) { r.ValidFor = 0 }, "expire at once"},
		"no time to decide":      {func(r *Request) { r.RequestExpiresAfter = -1 }, "expire at once"},
		"no user":                {func(r *Request) { r.Requester.Username = "" }, "no user name"},
		"an account without UID": {func(r *Request) { r.Requester.UID = "" }, "without a UID"},
		"no pod to bind":         {func(r *Request) { r.BindTo, r.Requester.PodUID = v1alpha1.BindToPod, "" }, "no pod"},
		"no credential to bind":  {func(r *Request) { r.BindTo, r.Requester.CredentialID = v1alpha1.BindToCredential, "" }, "no ID"},
		"no namespace":           {func(r *Request) { r.Action.Namespaced, r.OperatorNamespace = false, "" }, "no namespace"},
		"an empty run":           {func(r *Request) { *r = *taskRequest(0) }, "no action"},
	} {
		t.Run(name, func(t *testing.T) {
			r := request(1)
			tc.change(r)
			_, err := r.Build(noon)
			checkError(t, err, tc.want)
		})
	}
}

func TestNamespaceOfARequest(t *testing.T) {
	cluster := request(1)
	cluster.Action.Namespaced, cluster.Action.Namespace = false, ""
	for want, r := range map[string]*Request{"shop": request(1), "countersign-system": cluster} {
		if got := build(t, r).Namespace; got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	if got := build(t, taskRequest(3)); got.Namespace != "shop" || got.Spec.Task.MaxActions != 3 || got.Spec.Task.ValidFor != "1h" {
		t.Errorf("%+v", got.Spec.Task)
	}
}

func TestChangesAreBounded(t *testing.T) {
	r := request(1)
	r.Action.Changes = nil
	for range 100 {
		r.Action.Changes = append(r.Action.Changes, action.Change{
			Path: action.Path{{Field: strings.Repeat("p", 2000)}}, To: action.Value{Present: true, V: strings.Repeat("v", 2000)},
		})
	}
	spec := build(t, r).Spec.Action
	if len(spec.Changes) != 64 || len([]rune(spec.Changes[0].Path)) != 1024 || len([]rune(spec.Changes[0].To)) > 512 {
		t.Errorf("%d changes", len(spec.Changes))
	}
	if len(spec.Diff) > 8192 || !strings.Contains(spec.Diff, "36 more fields change than are listed") {
		t.Errorf("diff of %d bytes:\n%s", len(spec.Diff), spec.Diff)
	}
}

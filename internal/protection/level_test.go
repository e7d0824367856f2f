package protection_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/countersign-dev/countersign/internal/protection"
)

// refusal is the answer of the API server when policies refuse.
func refusal(policies ...string) error {
	status := metav1.Status{Status: metav1.StatusFailure, Code: http.StatusForbidden, Reason: metav1.StatusReasonForbidden, Details: &metav1.StatusDetails{}}
	for _, p := range policies {
		status.Details.Causes = append(status.Details.Causes, metav1.StatusCause{
			Message: "ValidatingAdmissionPolicy '" + p + "' with binding '" + p + "' denied request: no",
		})
	}
	return &apierrors.StatusError{ErrStatus: status}
}

func TestJudge(t *testing.T) {
	resource := schema.GroupResource{Resource: "validatingwebhookconfigurations"}
	byRBAC := apierrors.NewForbidden(resource, "x", errors.New("ValidatingAdmissionPolicy 'p.static.k8s.io' says RBAC"))
	denied := authorizationv1.SubjectAccessReviewStatus{Denied: true, EvaluationError: "connection refused"}
	tests := map[string]struct {
		answers protection.Answers
		want    protection.Level
		reason  string
	}{
		"nothing is known":              {protection.Answers{Configuration: errors.New("connection refused")}, protection.Unknown, "connection refused"},
		"RBAC refuses":                  {protection.Answers{Enforced: true, Configuration: byRBAC}, protection.Unknown, "answered by"},
		"there is no configuration":     {protection.Answers{Enforced: true, Configuration: apierrors.NewNotFound(resource, "x")}, protection.Unknown, "not found"},
		"it is not known yet":           {protection.Answers{Undecided: true, Configuration: refusal("countersign")}, protection.Unknown, "yet"},
		"nothing refuses":               {protection.Answers{}, protection.Rights, "not refused by the webhook"},
		"only a policy refuses":         {protection.Answers{Configuration: refusal("countersign")}, protection.Rights, "not refused by the webhook"},
		"only the webhook refuses":      {protection.Answers{Enforced: true}, protection.Webhooks, "no admission policy"},
		"authorizer without policies":   {protection.Answers{Enforced: true, Impersonation: denied}, protection.Webhooks, "no admission policy"},
		"a policy refuses":              {protection.Answers{Enforced: true, Configuration: refusal("countersign")}, protection.Policy, "no file"},
		"policy and authorizer":         {protection.Answers{Enforced: true, Configuration: refusal("countersign"), Impersonation: denied}, protection.Policy, "no file"},
		"a name that only looks static": {protection.Answers{Enforced: true, Configuration: refusal("x.static.k8s.io.y"), Impersonation: denied}, protection.Policy, "no file"},
		"files without authorizer":      {protection.Answers{Enforced: true, Configuration: refusal("c.static.k8s.io")}, protection.Policy, "impersonation"},
		"no answer is no denial": {
			protection.Answers{Enforced: true, Configuration: refusal("c.static.k8s.io"), Impersonation: authorizationv1.SubjectAccessReviewStatus{Reason: "no"}},
			protection.Policy, "impersonation",
		},
		"files that let policies be deleted": {
			protection.Answers{Enforced: true, Configuration: refusal("c.static.k8s.io"), PolicyAsked: true, Impersonation: denied}, protection.Policy, "do not keep",
		},
		"a binding that is not there": {
			protection.Answers{
				Enforced: true, Configuration: refusal("c.static.k8s.io"), PolicyAsked: true, Policy: apierrors.NewNotFound(resource, "x"), Impersonation: denied,
			}, protection.Policy, "not found",
		},
		"files and both policies": {
			protection.Answers{
				Enforced: true, Configuration: refusal("c.static.k8s.io", "countersign"), PolicyAsked: true, Policy: refusal("c.static.k8s.io"), Impersonation: denied,
			}, protection.Sealed, "files of the API server",
		},
		"files alone": {
			protection.Answers{Enforced: true, Configuration: refusal("c.static.k8s.io"), Impersonation: denied}, protection.Sealed, "files of the API server",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := protection.Judge(&tc.answers)
			if got.Level != tc.want || !strings.Contains(got.Reason, tc.reason) {
				t.Errorf("it is level %d, because %s; want %d, because %s", got.Level, got.Reason, tc.want, tc.reason)
			}
		})
	}
}

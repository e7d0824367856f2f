package webhooks_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/countersign-dev/countersign/internal/action"
	"github.com/countersign-dev/countersign/internal/operatortest"
	"github.com/countersign-dev/countersign/internal/policy"
	"github.com/countersign-dev/countersign/internal/registry"
	"github.com/countersign-dev/countersign/webhooks"
)

// trusted is where nothing is the matter.
var trusted = webhooks.Trust{Decide: noError, Approvals: noError, Activities: noError}

func noError() error { return nil }

var someTime = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// TestOutage kills the operator: only governed subjects notice, and only until it is back.
func TestOutage(t *testing.T) {
	e := newEnvironment(t)
	namespace, agent, web := governed(t, e, images)
	watched := e.agentNamed(t, namespace, "watched")
	observe := e.policyNamed(t, "observe-"+namespace, namespace, strings.NewReplacer("Enforce", "Audit", "AGENT",
		"{kind: ServiceAccount, namespace: "+namespace+", name: watched}").Replace(images))
	e.waitEnforced(t, observe)
	image := `{"spec":{"template":{"spec":{"containers":[{"name":"web","image":"web:%d"}]}}}}`
	allowed(t, patch(t.Context(), agent, web, types.StrategicMergePatchType, fmt.Sprintf(image, 2)))
	if err := e.operator.Kill(); err != nil {
		t.Fatal(err)
	}
	err := patch(t.Context(), agent, web, types.StrategicMergePatchType, fmt.Sprintf(image, 3))
	if err == nil || !strings.Contains(err.Error(), "failed calling webhook") {
		t.Errorf("while the operator is down an agent is answered by %v", err)
	}
	allowed(t, patch(t.Context(), e.person(t, "dave"), web, types.StrategicMergePatchType, fmt.Sprintf(image, 4)))
	allowed(t, patch(t.Context(), watched, web, types.StrategicMergePatchType, fmt.Sprintf(image, 5)))
	operatortest.Start(t, e.plane.Kubeconfig("admin"))
	operatortest.Eventually(t, "the agent may act again", func(ctx context.Context) error {
		return patch(ctx, agent, web, types.StrategicMergePatchType, fmt.Sprintf(image, 6))
	})
}

// TestNotReady asks before the policies have been read: whoever is sent here is refused, with the reason.
func TestNotReady(t *testing.T) {
	var log strings.Builder
	w := &webhooks.ActionWebhook{
		Registry: registry.New(policy.Identity{}, policy.Operator{}), Clock: clocktesting.NewFakePassiveClock(someTime),
		Hasher: func() (action.Hasher, error) { return action.Hasher{}, nil }, Recorder: webhooks.NewRecorder(&log, "test"),
		Trust: trusted,
	}
	request := admission.Request{AdmissionRequest: admissionv1.AdmissionRequest{UID: "1", Operation: "CREATE"}}
	request.UserInfo.Username, request.Resource.Resource = "system:serviceaccount:ci:bot\x1b[31m\u202e", "pods"
	response := w.Handle(t.Context(), request)
	if response.Allowed || response.Result.Code != http.StatusForbidden {
		t.Fatalf("the answer is %+v", response)
	}
	want := "ci/bot\\u001b[31m\\u202e may not create pods\n  - Countersign has not read its policies yet\n" +
		"next: REPEAT the same request later; if it goes on, the operators of Countersign must look at it\n" +
		"[countersign decision=Deny reasons=NotReady]"
	if response.Result.Message != want {
		t.Errorf("the refusal is\n%q\nwant\n%q", response.Result.Message, want)
	}
	if !strings.Contains(log.String(), `"reason":"NotReady"`) {
		t.Errorf("the decision log is %q", log.String())
	}
	w.ObserveOnly = true
	if response := w.Handle(t.Context(), request); !response.Allowed {
		t.Errorf("what is only observed is refused: %+v", response)
	}
}

// failing is a disk that is full.
type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, fmt.Errorf("no space left") }

func TestUnrecorded(t *testing.T) {
	w := &webhooks.ActionWebhook{
		Registry: registry.New(policy.Identity{}, policy.Operator{}), Clock: clocktesting.NewFakePassiveClock(someTime),
		Recorder: webhooks.NewRecorder(failing{}, "test"),
	}
	response := w.Handle(t.Context(), admission.Request{})
	if response.Allowed || !strings.Contains(response.Result.Message, "cannot be recorded") {
		t.Errorf("an action that cannot be recorded is answered by %+v", response)
	}
}

// TestLimitSize posts reviews to the handler in front of the webhooks.
func TestLimitSize(t *testing.T) {
	next := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		fmt.Fprintf(w, "passed %d %v", n, err)
	})
	padding := strings.Repeat(" ", webhooks.MaxReview)
	tests := map[string]struct{ body, want string }{
		"small":          {`{"request":{"uid":"1"}}`, "passed 23 <nil>"},
		"exactly":        {padding, fmt.Sprintf("passed %d <nil>", webhooks.MaxReview)},
		"large":          {`{"kind":"AdmissionReview","request":{"kind":{"kind":"Pod"},"uid":"the-uid","object":"` + padding, `"uid":"the-uid","allowed":false`},
		"large, no UID":  {`{"kind":"AdmissionReview","request":{"object":"` + padding, "has no UID"},
		"large, no JSON": {"x" + padding, "has no UID"},
		"large, a list":  {"[" + padding, "has no UID"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			answer := httptest.NewRecorder()
			webhooks.LimitSize(next).ServeHTTP(answer, httptest.NewRequest(http.MethodPost, "/enforce", strings.NewReader(tc.body)))
			if !strings.Contains(answer.Body.String(), tc.want) {
				t.Errorf("the answer is %q, want it to contain %q", answer.Body, tc.want)
			}
		})
	}
}

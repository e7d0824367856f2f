package webhooks_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/hack/controlplane"
	"github.com/countersign-dev/countersign/internal/action"
	"github.com/countersign-dev/countersign/internal/approval"
	"github.com/countersign-dev/countersign/internal/catalogue"
	"github.com/countersign-dev/countersign/internal/intake"
	"github.com/countersign-dev/countersign/internal/operatortest"
	"github.com/countersign-dev/countersign/internal/policy"
	"github.com/countersign-dev/countersign/internal/registry"
	"github.com/countersign-dev/countersign/webhooks"
)

// TestBoundary steps the clock of a webhook over the instants at which a request and an approval expire. The approval is
// stored by a real API server; the reviews are made by the test, since nobody else's clock can be stepped.
func TestBoundary(t *testing.T) {
	for name, tc := range map[string]struct {
		// approve is when a person approves, and expires when the approval does, after the request.
		approve time.Duration
		expires time.Duration
		uses    int
	}{
		"used at the last instant":                  {approve: time.Minute, expires: time.Minute + time.Hour, uses: 1},
		"approved at the last instant of a request": {approve: 4*time.Hour - time.Second, expires: 5*time.Hour - time.Second, uses: 1},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHandler(t)
			asks := h.review(t)
			if asks.Allowed || !strings.Contains(asks.Result.Message, "is pending") {
				t.Fatalf("the answer is %+v", asks.Result)
			}
			h.clock.SetTime(h.start.Add(tc.approve))
			h.approve(t)
			for _, at := range []struct {
				after   time.Duration
				allowed bool
			}{{tc.expires - 1, true}, {tc.expires, false}, {tc.expires + 1, false}} {
				h.clock.SetTime(h.start.Add(at.after))
				if got := h.review(t); got.Allowed != at.allowed {
					t.Errorf("%s after the request it is allowed %t: %+v", at.after, got.Allowed, got.Result)
				}
			}
			if a := h.approval(t); len(a.Status.Uses) != tc.uses {
				t.Errorf("the uses are %+v", a.Status.Uses)
			}
		})
	}
}

// TestTooLate has a person approve at the instant at which the request expires.
func TestTooLate(t *testing.T) {
	h := newHandler(t)
	h.review(t)
	h.clock.SetTime(h.start.Add(4 * time.Hour))
	h.approve(t)
	if got := h.review(t); got.Allowed {
		t.Error("consent that came too late lets an action pass")
	}
}

// handler is the webhook in this process, with a clock of the test, before a stored object and policy.
type handler struct {
	*webhooks.ActionWebhook
	client.Client
	clock *clocktesting.FakePassiveClock
	start time.Time
	web   *appsv1.Deployment
	first string // name of the first approval
	// agentUID is that of the agent's service account.
	agentUID string
}

func newHandler(t *testing.T) *handler {
	t.Helper()
	return newHandlerFor(t, asks)
}

// newHandlerFor is the same under another policy.
func newHandlerFor(t *testing.T, spec string) *handler {
	t.Helper()
	e := &environment{plane: controlplane.Shared(t)}
	e.admin = operatortest.NewClient(t, e.plane.AdminConfig())
	operatortest.ApplyDefinitions(t, e.admin)
	namespace := e.namespace(t)
	e.person(t, "erin")
	web := deployment(namespace, "web")
	allowed(t, e.admin.Create(t.Context(), web))
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "agent"}}
	allowed(t, e.admin.Create(t.Context(), account))
	stored := &v1alpha1.AgentActionPolicy{}
	p := e.policyNamed(t, "p-"+namespace, namespace, spec)
	allowed(t, e.admin.Get(t.Context(), client.ObjectKeyFromObject(p), stored))
	known := registry.New(policy.Identity{Username: "operator"}, policy.Operator{})
	known.Update([]*v1alpha1.AgentActionPolicy{stored})
	resources, err := discovery.NewDiscoveryClientForConfig(e.plane.AdminConfig())
	if err != nil {
		t.Fatal(err)
	}
	h := &handler{Client: e.admin, web: web, agentUID: string(account.UID), start: time.Now().Truncate(time.Second)}
	h.clock = clocktesting.NewFakePassiveClock(h.start)
	h.ActionWebhook = &webhooks.ActionWebhook{
		Registry: known, Clock: h.clock, Recorder: webhooks.NewRecorder(io.Discard, "test"),
		Hasher:     func() (action.Hasher, error) { return action.Hasher{KeyID: "k", Key: []byte("key")}, nil },
		Trust:      trusted,
		Activities: &webhooks.Activities{Client: e.admin, Live: e.admin, Clock: h.clock},
		Cluster:    &intake.Cluster{Kinds: catalogue.New(resources, clock.RealClock{}), Live: e.admin},
		Approvals: &webhooks.Approvals{
			Client: e.admin, Live: e.admin, Cached: e.admin, Registry: known, Recorder: events.NewFakeRecorder(100), Clock: h.clock,
		},
	}
	return h
}

// review asks for five replicas, as the object is: controllers still write it at first.
func (h *handler) review(t *testing.T) admission.Response {
	t.Helper()
	var response admission.Response
	operatortest.Eventually(t, "the object keeps still", func(context.Context) error {
		if response = h.reviewOnce(t); !response.Allowed && notYet.MatchString(response.Result.Message) {
			return fmt.Errorf("the answer is %s", response.Result.Message)
		}
		return nil
	})
	return response
}

func (h *handler) reviewOnce(t *testing.T) admission.Response {
	t.Helper()
	allowed(t, h.Get(t.Context(), client.ObjectKeyFromObject(h.web), h.web))
	after := h.web.DeepCopy()
	after.Spec.Replicas, after.Generation = new(int32(5)), h.web.Generation+1
	raw := func(o *appsv1.Deployment) runtime.RawExtension {
		o.APIVersion, o.Kind = "apps/v1", "Deployment"
		text, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		return runtime.RawExtension{Raw: text}
	}
	namespace := h.web.Namespace
	return h.Handle(t.Context(), admission.Request{AdmissionRequest: admissionv1.AdmissionRequest{
		UID: "review", Operation: admissionv1.Update, Namespace: namespace, Name: h.web.Name,
		Kind:     metav1.GroupVersionKind{Group: "apps", Version: "v1", Kind: "Deployment"},
		Resource: metav1.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"},
		UserInfo: authenticationv1.UserInfo{Username: "system:serviceaccount:" + namespace + ":agent", UID: h.agentUID},
		Object:   raw(after), OldObject: raw(h.web.DeepCopy()),
	}})
}

// approval is the first request that was opened.
func (h *handler) approval(t *testing.T) *v1alpha1.ActionApproval {
	t.Helper()
	var list v1alpha1.ActionApprovalList
	operatortest.Eventually(t, "there is a request", func(ctx context.Context) error {
		if err := h.List(ctx, &list, client.InNamespace(h.web.Namespace)); err != nil {
			return err
		}
		for i := range list.Items {
			if list.Items[i].Spec.Follows == "" {
				h.first = list.Items[i].Name
				return nil
			}
		}
		return fmt.Errorf("there are %d", len(list.Items))
	})
	a := &v1alpha1.ActionApproval{}
	allowed(t, h.Get(t.Context(), client.ObjectKey{Namespace: h.web.Namespace, Name: h.first}, a))
	return a
}

// approve records the consent of a person, as the mutating webhook would.
func (h *handler) approve(t *testing.T) {
	t.Helper()
	a := h.approval(t)
	before := a.DeepCopy()
	a.Spec.Decision = &v1alpha1.Decision{Verdict: v1alpha1.VerdictApprove}
	erin := approval.Caller{MayApprove: true}
	erin.Username = "erin"
	approval.Stamp(before, a, erin, h.clock.Now())
	allowed(t, h.Update(t.Context(), a))
}

package webhooks

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/action"
	"github.com/countersign-dev/countersign/internal/intake"
	"github.com/countersign-dev/countersign/internal/policy"
	"github.com/countersign-dev/countersign/internal/registry"
	"github.com/countersign-dev/countersign/internal/reviewtest"
)

// benchPolicy covers what the account of the captured reviews does, but for what is done to Secrets: inside a change
// window that is always open, and outside of a freeze that is far off.
const benchPolicy = `
metadata: {uid: 0d9e1f3c-65a5-4d5f-9d5c-1f2a3b4c5d6e, generation: 1}
spec:
  enforcement: Enforce
  subjects: [{kind: ServiceAccount, namespace: ci, name: bot}]
  outOfScope: Deny
  timeZone: Europe/Berlin
  windows:
  - {name: always, weekly: {days: [Mon, Tue, Wed, Thu, Fri, Sat, Sun], start: "00:00", end: "00:00"}}
  - {name: year-end, once: {from: "2098-12-18T17:00:00+01:00", to: "2099-01-04T08:00:00+01:00"}}
  changeWindows: {allowed: [always]}
  freezes: [{window: year-end}]
  tasks:
  - name: work
    scope:
      resourceRules:
      - {apiGroups: [apps], resources: [deployments], operations: ["*"]}
      - {apiGroups: [""], resources: [pods, pods/ephemeralcontainers, configmaps], operations: ["*"]}
      namespaces: [shop]
`

// BenchmarkAnswer measures all that happens in this process between the body of a review and the answer, but for
// encryption: nothing in it waits for the API server.
func BenchmarkAnswer(b *testing.B) {
	for _, bc := range []struct {
		name     string
		policies int
		body     []byte
		allowed  bool
	}{
		{"5 KB Deployment, an image", 1, reviewtest.Named(b, "deployment-set-image.1"), true},
		{"40 KB Deployment, an image", 1, reviewtest.WithContainers(b, "deployment-set-image.1", 18), true},
		{"Pod of 30 containers, created", 1, reviewtest.WithContainers(b, "pod-create.1", 30), true},
		{"Pod of 30 containers, one added", 1, reviewtest.WithContainers(b, "pod-debug.1", 30), true},
		{"1 MB ConfigMap, a key", 1, reviewtest.LargeConfigMap(b), true},
		{"5 KB Deployment, deleted", 1, reviewtest.Named(b, "deployment-delete.1"), true},
		{"Secret, refused", 1, reviewtest.Named(b, "secret-apply-change.1"), false},
		{"5 KB Deployment, 1,000 policies match", 1000, reviewtest.Named(b, "deployment-set-image.1"), true},
	} {
		b.Run(bc.name, func(b *testing.B) {
			handler := benchHandler(b, bc.policies)
			var answer admissionv1.AdmissionReview
			if err := json.Unmarshal(post(b, handler, bc.body), &answer); err != nil || answer.Response.Allowed != bc.allowed {
				b.Fatalf("the answer is %+v: %v", answer.Response, err)
			}
			b.ReportAllocs()
			b.SetBytes(int64(len(bc.body)))
			for b.Loop() {
				post(b, handler, bc.body)
			}
		})
	}
}

func post(tb testing.TB, handler http.Handler, body []byte) []byte {
	tb.Helper()
	request := httptest.NewRequestWithContext(tb.Context(), http.MethodPost, "/enforce", bytes.NewReader(body))
	request.Header.Set("Content-Type", "application/json")
	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, request)
	return answer.Body.Bytes()
}

// benchHandler is the webhook as it is set up in the operator, with so many policies and a cluster that answers from memory.
func benchHandler(tb testing.TB, policies int) http.Handler {
	tb.Helper()
	stored := make([]*v1alpha1.AgentActionPolicy, policies)
	for i := range stored {
		stored[i] = &v1alpha1.AgentActionPolicy{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("policy-%05d", i)}}
		if err := yaml.UnmarshalStrict([]byte(benchPolicy), stored[i]); err != nil {
			tb.Fatal(err)
		}
	}
	known := registry.New(policy.Identity{Username: "operator"}, policy.Operator{Namespace: "countersign-system"})
	known.Update(stored)
	memory := memory{Reader: nil}
	actions := &ActionWebhook{
		Registry: known, Clock: clock.RealClock{}, Recorder: NewRecorder(io.Discard, "bench"),
		Hasher:    func() (action.Hasher, error) { return action.Hasher{KeyID: "k", Key: []byte("key")}, nil },
		Trust:     Trust{Decide: trusted, Approvals: trusted, Activities: trusted},
		Cluster:   &intake.Cluster{Kinds: kindsOf(tb), Live: memory},
		Approvals: &Approvals{Cached: memory, Registry: known, Clock: clock.RealClock{}},
	}
	return (&Drain{}).Handler(LimitSize(Reviews(actions)))
}

func trusted() error { return nil }

// memory stands for the informers' cache: a namespace without labels, and no approvals.
type memory struct{ client.Reader }

func (memory) Get(context.Context, client.ObjectKey, client.Object, ...client.GetOption) error {
	return nil
}
func (memory) List(context.Context, client.ObjectList, ...client.ListOption) error { return nil }

// kinds are what the captured reviews know of kinds.
type kinds map[string]action.KindFacts

func kindsOf(tb testing.TB) kinds {
	tb.Helper()
	all := kinds{"configmaps.": {Kind: "ConfigMap", Namespaced: true, PreferredVersion: "v1"}}
	for _, r := range reviewtest.All(tb) {
		var review admissionv1.AdmissionReview
		var facts action.KindFacts
		for into, text := range map[any][]byte{&review: r.Body, &facts: r.Facts} {
			if err := json.Unmarshal(text, into); err != nil {
				tb.Fatal(err)
			}
		}
		all[strings.Join([]string{review.Request.Resource.Resource, review.Request.Resource.Group}, ".")] = facts
	}
	return all
}

func (k kinds) Facts(group, resource string) (action.KindFacts, error) {
	facts, known := k[resource+"."+group]
	if !known {
		return facts, errors.New("not a kind of the captured reviews")
	}
	return facts, nil
}

func (k kinds) Resource(string, string) (string, error) { return "", errors.New("not known") }

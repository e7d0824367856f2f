package webhooks_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admission/v1"
	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/operatortest"
)

// forger posts reviews straight to the operator, as anything can that reaches its port.
type forger struct {
	*environment
	client http.Client
}

func (e *environment) forger(t *testing.T) *forger {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	t.Cleanup(transport.CloseIdleConnections)
	return &forger{environment: e, client: http.Client{Transport: transport, Timeout: 30 * time.Second}}
}

// post sends a review to a path of the operator and returns what it answers.
func (f *forger) post(t *testing.T, path string, request *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
	t.Helper()
	review := admissionv1.AdmissionReview{TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"}, Request: request}
	body, err := json.Marshal(review)
	allowed(t, err)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.operator.URL+path, bytes.NewReader(body))
	allowed(t, err)
	r.Header.Set("Content-Type", "application/json")
	answer, err := f.client.Do(r)
	allowed(t, err)
	defer answer.Body.Close()
	var answered admissionv1.AdmissionReview
	allowed(t, json.NewDecoder(answer.Body).Decode(&answered))
	if answered.Response == nil {
		t.Fatalf("the answer to a forged review is %s", answer.Status)
	}
	return answered.Response
}

// update is the review that the API server would send of an update by an agent whom it has authenticated.
func (f *forger) update(t *testing.T, agent *identity, web *appsv1.Deployment, change func(old, updated *appsv1.Deployment)) *admissionv1.AdmissionRequest {
	t.Helper()
	old := &appsv1.Deployment{}
	allowed(t, f.admin.Get(t.Context(), client.ObjectKeyFromObject(web), old))
	old.APIVersion, old.Kind = "apps/v1", "Deployment"
	updated := old.DeepCopy()
	updated.Generation++
	change(old, updated)
	request := f.request(t, agent, admissionv1.Update, old.Name)
	request.Object, request.OldObject = raw(t, updated), raw(t, old)
	return request
}

func (f *forger) request(t *testing.T, agent *identity, operation admissionv1.Operation, name string) *admissionv1.AdmissionRequest {
	t.Helper()
	who := identityOf(t, agent)
	return &admissionv1.AdmissionRequest{
		UID: "forged", Operation: operation, Namespace: strings.Split(agent.name, ":")[2], Name: name,
		Kind:     metav1.GroupVersionKind{Group: "apps", Version: "v1", Kind: "Deployment"},
		Resource: metav1.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"},
		UserInfo: authenticationv1.UserInfo{Username: who.Username, UID: who.UID, Groups: who.Groups},
	}
}

func raw(t *testing.T, o any) runtime.RawExtension {
	t.Helper()
	text, err := json.Marshal(o)
	allowed(t, err)
	return runtime.RawExtension{Raw: text}
}

// still waits until controllers have written the object for the last time.
func (e *environment) still(t *testing.T, web *appsv1.Deployment) {
	t.Helper()
	operatortest.Eventually(t, "the deployment keeps still", func(ctx context.Context) error {
		before := web.ResourceVersion
		if err := e.admin.Get(ctx, client.ObjectKeyFromObject(web), web); err != nil {
			return err
		}
		if web.Status.ObservedGeneration != web.Generation || web.ResourceVersion != before {
			return fmt.Errorf("it is at %s", web.ResourceVersion)
		}
		return nil
	})
}

// forgeries are reviews that the API server cannot have sent, of an agent whose action is approved.
func forgeries() map[string]func(r *admissionv1.AdmissionRequest, old, updated *appsv1.Deployment) {
	five := func(d *appsv1.Deployment) { d.Spec.Replicas = new(int32(5)) }
	return map[string]func(r *admissionv1.AdmissionRequest, old, updated *appsv1.Deployment){
		"of a future generation": func(_ *admissionv1.AdmissionRequest, old, updated *appsv1.Deployment) {
			five(updated)
			old.Generation, updated.Generation = old.Generation+90, updated.Generation+90
		},
		"of a future version": func(_ *admissionv1.AdmissionRequest, old, updated *appsv1.Deployment) {
			five(updated)
			old.ResourceVersion, old.Generation, updated.Generation = "999999999", old.Generation+90, updated.Generation+90
		},
		"without a generation": func(_ *admissionv1.AdmissionRequest, old, updated *appsv1.Deployment) {
			five(updated)
			old.Generation, updated.Generation, old.ResourceVersion = 0, 0, "999999999"
		},
		"of another object": func(_ *admissionv1.AdmissionRequest, old, updated *appsv1.Deployment) {
			five(updated)
			old.UID, updated.UID = "made-up", "made-up"
		},
		"by another account of this name": func(r *admissionv1.AdmissionRequest, _, updated *appsv1.Deployment) {
			five(updated)
			r.UserInfo.UID = "made-up"
		},
		"that would void it": func(_ *admissionv1.AdmissionRequest, old, updated *appsv1.Deployment) {
			five(updated)
			old.Spec.Replicas = new(int32(3))
		},
		"that would void it by drift": func(_ *admissionv1.AdmissionRequest, old, updated *appsv1.Deployment) {
			five(updated)
			old.Labels, old.Spec.Replicas = map[string]string{"drifted": "yes"}, new(int32(4))
		},
		"that would disturb it": func(_ *admissionv1.AdmissionRequest, old, updated *appsv1.Deployment) {
			updated.Spec.Template.Spec.Containers[0].Image = "web:2"
			old.Spec.Template.Spec.Containers[0].Image, old.ResourceVersion = "web:0", "1"
		},
		"that would open another": func(_ *admissionv1.AdmissionRequest, old, updated *appsv1.Deployment) {
			old.Spec.MinReadySeconds, updated.Spec.MinReadySeconds = 9, 10
		},
		"that would open another, for nobody": func(r *admissionv1.AdmissionRequest, _, updated *appsv1.Deployment) {
			updated.Spec.MinReadySeconds, r.UserInfo.UID = 10, "made-up"
		},
	}
}

// approvedToFive has an agent ask for five replicas, and a person approve it. Nothing has used that yet.
func approvedToFive(t *testing.T, e *environment) (string, *identity, *appsv1.Deployment, *v1alpha1.ActionApproval) {
	t.Helper()
	namespace, agent, web := governed(t, e, asks)
	e.still(t, web)
	a := asked(t, e, namespace, func() error { return patch(t.Context(), agent, web, types.MergePatchType, toFive) })
	allowed(t, decide(t.Context(), e.person(t, "erin"), a, "Approve"))
	waitState(t, e, a, "Approved")
	e.still(t, web)
	return namespace, agent, web, a
}

// TestForgedReviews posts reviews that whoever cannot read the objects would make up. The agent's own action passes
// afterwards as if there had been none.
func TestForgedReviews(t *testing.T) {
	e := newEnvironment(t)
	f := e.forger(t)
	namespace, agent, web, a := approvedToFive(t, e)
	for name, change := range forgeries() {
		for _, path := range []string{"/enforce", "/observe"} {
			t.Run(name+" to "+path, func(t *testing.T) {
				before := e.approvals(t, namespace)
				var old, updated *appsv1.Deployment
				r := f.update(t, agent, web, func(o, u *appsv1.Deployment) { old, updated = o, u })
				change(r, old, updated)
				r.Object, r.OldObject = raw(t, updated), raw(t, old)
				answer := f.post(t, path, r)
				if answer.Allowed && name != "that would disturb it" && path == "/enforce" {
					t.Error("it is allowed")
				}
				if diff := cmp.Diff(before, e.approvals(t, namespace)); diff != "" {
					t.Errorf("approvals have changed (-before +after), after the answer %+v:\n%s", answer.Result, diff)
				}
			})
		}
	}
	allowed(t, patch(t.Context(), agent, web, types.MergePatchType, toFive))
	waitState(t, e, a, "Spent")
	if len(a.Status.Uses) != 1 {
		t.Errorf("the uses are %+v", a.Status.Uses)
	}
}

// approvals are those of a namespace as they are stored.
func (e *environment) approvals(t *testing.T, namespace string) []v1alpha1.ActionApproval {
	t.Helper()
	var list v1alpha1.ActionApprovalList
	allowed(t, e.admin.List(t.Context(), &list, client.InNamespace(namespace)))
	return list.Items
}

// TestForgedCopy posts exactly what the API server would send, as somebody can who may read the object. The use is the one
// that the agent's own action finds.
func TestForgedCopy(t *testing.T) {
	e := newEnvironment(t)
	f := e.forger(t)
	_, agent, web, a := approvedToFive(t, e)
	copied := f.update(t, agent, web, func(_, updated *appsv1.Deployment) { updated.Spec.Replicas = new(int32(5)) })
	for range 3 {
		if answer := f.post(t, "/enforce", copied); !answer.Allowed {
			t.Fatalf("the answer is %+v", answer.Result)
		}
	}
	allowed(t, patch(t.Context(), agent, web, types.MergePatchType, toFive))
	waitState(t, e, a, "Spent")
	if len(a.Status.Uses) != 1 {
		t.Errorf("the uses are %+v", a.Status.Uses)
	}
}

// TestForgedCreation posts the creation of an object that nobody creates. The operator cannot know that at once; the use
// comes back when the object has not appeared.
func TestForgedCreation(t *testing.T) {
	e := newEnvironment(t, "--give-back-after", "2s")
	f := e.forger(t)
	namespace, agent, _ := governed(t, e, asks)
	made := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "made"}, Data: map[string]string{"a": "b"}}
	a := asked(t, e, namespace, func() error { return agent.Create(t.Context(), made.DeepCopy()) })
	allowed(t, decide(t.Context(), e.person(t, "erin"), a, "Approve"))
	waitState(t, e, a, "Approved")
	r := f.request(t, agent, admissionv1.Create, "made")
	r.Kind, r.Resource = metav1.GroupVersionKind{Version: "v1", Kind: "ConfigMap"}, metav1.GroupVersionResource{Version: "v1", Resource: "configmaps"}
	forged := made.DeepCopy()
	forged.UID, forged.APIVersion, forged.Kind = "made-up", "v1", "ConfigMap"
	r.Object = raw(t, forged)
	if answer := f.post(t, "/enforce", r); !answer.Allowed {
		t.Fatalf("the answer is %+v", answer.Result)
	}
	operatortest.Eventually(t, "the use comes back", func(ctx context.Context) error { return agent.Create(ctx, made.DeepCopy()) })
	waitState(t, e, a, "Spent")
}

// TestForgedBudget posts actions that a budget counts.
func TestForgedBudget(t *testing.T) {
	e := newEnvironment(t)
	f := e.forger(t)
	namespace, agent, _ := governed(t, e, budget(2))
	kept := plainSecret(namespace, "kept")
	allowed(t, e.admin.Create(t.Context(), kept))
	allowed(t, patch(t.Context(), agent, kept, types.MergePatchType, `{"data":{"k":"MQ=="}}`))
	before := e.did(t, agent)
	for name, change := range map[string]func(r *admissionv1.AdmissionRequest, old *corev1.Secret){
		"of another object":              func(_ *admissionv1.AdmissionRequest, old *corev1.Secret) { old.UID = "made-up" },
		"of a future version":            func(_ *admissionv1.AdmissionRequest, old *corev1.Secret) { old.ResourceVersion = "999999999" },
		"of other content":               func(_ *admissionv1.AdmissionRequest, old *corev1.Secret) { old.Data["k"] = []byte("x") },
		"of an object that is not there": func(r *admissionv1.AdmissionRequest, old *corev1.Secret) { r.Name, old.Name = "absent", "absent" },
		"by another account":             func(r *admissionv1.AdmissionRequest, _ *corev1.Secret) { r.UserInfo.UID = "made-up" },
	} {
		for _, operation := range []admissionv1.Operation{admissionv1.Update, admissionv1.Delete} {
			t.Run(fmt.Sprint(name, " ", operation), func(t *testing.T) {
				old := &corev1.Secret{}
				allowed(t, e.admin.Get(t.Context(), client.ObjectKeyFromObject(kept), old))
				old.APIVersion, old.Kind = "v1", "Secret"
				r := f.request(t, agent, operation, "kept")
				r.Kind, r.Resource = metav1.GroupVersionKind{Version: "v1", Kind: "Secret"}, metav1.GroupVersionResource{Version: "v1", Resource: "secrets"}
				change(r, old)
				r.OldObject = raw(t, old)
				if operation == admissionv1.Update {
					updated := old.DeepCopy()
					updated.Data["k"] = []byte("forged")
					r.Object = raw(t, updated)
				}
				if answer := f.post(t, "/enforce", r); answer.Allowed {
					t.Error("it is allowed")
				}
				if diff := cmp.Diff(before, e.did(t, agent)); diff != "" {
					t.Errorf("what the agent did has changed (-before +after):\n%s", diff)
				}
			})
		}
	}
	allowed(t, patch(t.Context(), agent, kept, types.MergePatchType, `{"data":{"k":"Mg=="}}`))
}

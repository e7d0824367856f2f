package webhooks_test

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/internal/operatortest"
)

// neighbour runs a validating webhook of somebody else in a namespace. The API server asks it at the same time as the
// operator, and waits for both. It refuses what judge returns an error for. The returned function removes it.
func (e *environment) neighbour(t *testing.T, namespace string, judge func(*admissionv1.AdmissionRequest) error) (remove func()) {
	t.Helper()
	var asked atomic.Int64
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		var review admissionv1.AdmissionReview
		if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		review.Response = &admissionv1.AdmissionResponse{UID: review.Request.UID, Allowed: true}
		if err := judge(review.Request); err != nil {
			review.Response.Allowed, review.Response.Result = false, &metav1.Status{Message: err.Error()}
		}
		review.Request = nil
		_ = json.NewEncoder(w).Encode(review) // where the API server has gone nobody reads it
	}))
	t.Cleanup(server.Close)
	configuration := neighbourConfiguration(namespace, server)
	allowed(t, e.admin.Create(t.Context(), configuration))
	remove = func() {
		if err := e.admin.Delete(context.WithoutCancel(t.Context()), configuration); client.IgnoreNotFound(err) != nil {
			t.Error(err)
		}
	}
	t.Cleanup(remove)
	operatortest.Eventually(t, "the neighbour is asked", func(ctx context.Context) error {
		probe := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "probe"}}
		if err := e.admin.Create(ctx, probe, client.DryRunAll); err != nil {
			return err
		}
		if asked.Load() == 0 {
			return errors.New("not yet")
		}
		return nil
	})
	return remove
}

func neighbourConfiguration(namespace string, server *httptest.Server) *admissionregistrationv1.ValidatingWebhookConfiguration {
	return &admissionregistrationv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "neighbour-" + namespace},
		Webhooks: []admissionregistrationv1.ValidatingWebhook{{
			Name: "neighbour.example.com",
			ClientConfig: admissionregistrationv1.WebhookClientConfig{
				URL: &server.URL, CABundle: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}),
			},
			Rules: []admissionregistrationv1.RuleWithOperations{{
				Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.OperationAll},
				Rule:       admissionregistrationv1.Rule{APIGroups: []string{"*"}, APIVersions: []string{"*"}, Resources: []string{"*/*"}},
			}},
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: namespace}},
			SideEffects:       new(admissionregistrationv1.SideEffectClassNone), TimeoutSeconds: new(int32(30)),
			AdmissionReviewVersions: []string{"v1"},
		}},
	}
}

// refuseUpdates has a neighbour refuse what an agent does to one object.
func (e *environment) refuseUpdates(t *testing.T, agent *identity, o client.Object) (remove func()) {
	t.Helper()
	return e.neighbour(t, o.GetNamespace(), func(r *admissionv1.AdmissionRequest) error {
		if r.UserInfo.Username == agent.name && r.Name == o.GetName() {
			return errors.New("not today")
		}
		return nil
	})
}

// gate holds a request up.
type gate struct{ arrived, released chan struct{} }

// hold has a neighbour hold up what an agent does to an object of a name.
func (e *environment) hold(t *testing.T, agent *identity, namespace, name string) *gate {
	t.Helper()
	g := &gate{arrived: make(chan struct{}, 100), released: make(chan struct{})}
	e.neighbour(t, namespace, func(r *admissionv1.AdmissionRequest) error {
		if r.UserInfo.Username != agent.name || r.Name != name {
			return nil
		}
		g.arrived <- struct{}{}
		select {
		case <-g.released:
			return nil
		case <-t.Context().Done():
			return fmt.Errorf("waiting: %w", t.Context().Err())
		}
	})
	return g
}

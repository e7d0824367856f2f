package controlplane

import (
	"context"
	"crypto/tls"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// refusingWebhook is a server that refuses everything, with a certificate for a Service.
func refusingWebhook(t *testing.T, host string) (address string, caBundle []byte) {
	t.Helper()
	authority, err := newAuthority("webhook")
	if err != nil {
		t.Fatal(err)
	}
	template := certificate(pkix.Name{CommonName: host})
	template.DNSNames = []string{host}
	pair, err := authority.issueFrom(template)
	if err != nil {
		t.Fatal(err)
	}
	serving, err := tls.X509KeyPair(pair.cert, pair.key)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var review admissionv1.AdmissionReview
		if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		review.Response = &admissionv1.AdmissionResponse{UID: review.Request.UID, Result: &metav1.Status{Message: "refused by the test"}}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(review)
	}))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{serving}}
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.Listener.Addr().String(), authority.pair.cert
}

func TestRouteService(t *testing.T) {
	plane := Shared(t)
	client, ns := newNamespace(t)
	address, caBundle := refusingWebhook(t, "hook."+ns+".svc")
	if _, err := client.CoreV1().Services(ns).Create(t.Context(), &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "hook"},
		Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 443}}},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	hooks := client.AdmissionregistrationV1().ValidatingWebhookConfigurations()
	if _, err := hooks.Create(t.Context(), webhookConfiguration(ns, caBundle), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = hooks.Delete(context.Background(), ns, metav1.DeleteOptions{}) })

	steps := []struct{ name, target, want string }{
		{"no route", "", "no route"},
		{"route", address, "refused by the test"},
	}
	for _, step := range steps {
		if err := plane.RouteService(ns, "hook", step.target); err != nil {
			t.Fatal(err)
		}
		within(t, step.name, func(ctx context.Context) error {
			object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{GenerateName: "x-"}}
			_, err := client.CoreV1().ConfigMaps(ns).Create(ctx, object, metav1.CreateOptions{})
			if err == nil {
				return errors.New("the API server does not call the webhook yet")
			}
			// The API server hides why its proxy refused, and says 502.
			if !strings.Contains(err.Error(), step.want) && (step.target != "" || !strings.Contains(err.Error(), "502")) {
				return err
			}
			return nil
		})
	}
}

func webhookConfiguration(ns string, caBundle []byte) *admissionregistrationv1.ValidatingWebhookConfiguration {
	return &admissionregistrationv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: ns},
		Webhooks: []admissionregistrationv1.ValidatingWebhook{{
			Name: "hook.example.test",
			ClientConfig: admissionregistrationv1.WebhookClientConfig{
				Service:  &admissionregistrationv1.ServiceReference{Namespace: ns, Name: "hook"},
				CABundle: caBundle,
			},
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: ns}},
			Rules: []admissionregistrationv1.RuleWithOperations{{
				Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
				Rule:       admissionregistrationv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"configmaps"}},
			}},
			SideEffects:             new(admissionregistrationv1.SideEffectClassNone),
			AdmissionReviewVersions: []string{"v1"},
		}},
	}
}

func TestRouteServiceNeedsTheOption(t *testing.T) {
	if err := new(Plane).RouteService("a", "b", "127.0.0.1:1"); err == nil {
		t.Error("routing succeeded without a router")
	}
}

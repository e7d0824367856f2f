package charts

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/countersign-dev/countersign/hack/controlplane"
)

// TestService lets the API server reach the operator by the Service of the chart, with the certificates of its
// Secret, as it does inside of a cluster.
func TestService(t *testing.T) {
	a := admin(t)
	agent, somebody := agentAndPerson(t)
	install(t, "--set", "replicas=2")

	first := startOperator(t)
	eventually(t, "the Secret to be filled", func(ctx context.Context) error {
		secret, err := a.CoreV1().Secrets(namespace).Get(ctx, certSecret, metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, key := range []string{"ca.crt", "ca.key", "hash.key", "tls.crt", "tls.key"} {
			if len(secret.Data[key]) == 0 {
				return fmt.Errorf("there is no %s", key)
			}
		}
		return nil
	})
	route(t, first)
	govern(t, a)
	t.Run("the configurations name the Service", func(t *testing.T) { wantService(t, a) })
	t.Run("the agent is refused", func(t *testing.T) { wantRefused(t, write(t.Context(), agent)) })
	t.Run("a person is not", func(t *testing.T) {
		if err := write(t.Context(), somebody); err != nil {
			t.Error(err)
		}
	})
	second := startOperator(t)
	t.Run("a second replica takes over", func(t *testing.T) {
		route(t, second)
		first.stop()
		eventually(t, "the second replica to answer", func(ctx context.Context) error { return asRefused(write(ctx, agent)) })
		stays(t, "the answer of the second replica", time.Second, func(ctx context.Context) error { return asRefused(write(ctx, agent)) })
	})
	t.Run("an upgrade changes nothing", func(t *testing.T) { wantUpgradesWithoutEffect(t, a) })
	t.Run("an upgrade with other values leaves the certificates alone", func(t *testing.T) {
		before := secretData(t, a)
		mustHelm(t, "upgrade", release, chart, "--namespace", namespace, "--set", "logLevel=1,replicas=2")
		if diff := cmp.Diff(before, secretData(t, a)); diff != "" {
			t.Errorf("data of the Secret (-before +after):\n%s", diff)
		}
	})
	t.Run("nothing is forbidden to the operator", func(t *testing.T) {
		first.wantNothingForbidden(t)
		second.wantNothingForbidden(t)
	})
	t.Run("cleanup", func(t *testing.T) {
		second.stop()
		wantCleanup(t, a)
		if err := write(t.Context(), agent); err != nil {
			t.Errorf("the former agent: %v", err)
		}
	})
}

// route sends what the API server sends to the Service of the chart to one operator.
func route(t *testing.T, p *process) {
	t.Helper()
	if err := controlplane.Shared(t).RouteService(namespace, service, p.webhookAddress); err != nil {
		t.Fatal(err)
	}
}

func secretData(t *testing.T, a *connection) map[string][]byte {
	t.Helper()
	secret, err := a.CoreV1().Secrets(namespace).Get(t.Context(), certSecret, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(secret.Data) == 0 {
		t.Fatal("the Secret is empty")
	}
	return secret.Data
}

func wantService(t *testing.T, a *connection) {
	t.Helper()
	bundle := secretData(t, a)["ca.crt"]
	paths := map[string][]string{actionsConfig: {"/enforce"}, policiesConfig: {"/policies", "/approvals/validate", "/activities/validate"}}
	for name, want := range paths {
		stored, err := configuration(t.Context(), a, name)
		if err != nil {
			t.Fatal(err)
		}
		var got []admissionregistrationv1.WebhookClientConfig
		for i := range stored.Webhooks {
			got = append(got, stored.Webhooks[i].ClientConfig)
		}
		var wanted []admissionregistrationv1.WebhookClientConfig
		for _, path := range want {
			wanted = append(wanted, admissionregistrationv1.WebhookClientConfig{CABundle: bundle, Service: &admissionregistrationv1.ServiceReference{
				Namespace: namespace, Name: service, Path: new(path), Port: new(int32(443)),
			}})
		}
		if diff := cmp.Diff(wanted, got); diff != "" {
			t.Errorf("%s reaches the operator by (-want +got):\n%s", name, diff)
		}
	}
}

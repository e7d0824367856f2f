package charts

import (
	"bytes"
	"context"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestChangeOfMode has others take over the certificate, with the new replica beside the one before, as in a rolling update.
func TestChangeOfMode(t *testing.T) {
	a := admin(t)
	agent, _ := agentAndPerson(t)
	defineCertManager(t, a)
	startCertManager(t)
	install(t)
	t.Cleanup(func() { removeSecrets(t, a) })
	var current atomic.Pointer[process]
	current.Store(startOperator(t))
	route(t, current.Load())
	govern(t, a)
	allowed := allow(t, a, current.Load())
	key := secretData(t, a)["hash.key"]

	for _, mode := range []string{"cert-manager", "self-managed"} {
		steadily(t, a, agent, allowed, current.Load, func() {
			written := writesOf(t, a, certSecret)
			mustHelm(t, "upgrade", release, chart, "--namespace", namespace, "--wait", "--timeout", "60s", "--reset-values",
				"--set", "certificates.mode="+mode)
			before, next := current.Load(), startOperator(t)
			for _, p := range []*process{before, next} {
				stays(t, "trust in both", time.Second, func(ctx context.Context) error { return handshake(ctx, a, p) })
			}
			route(t, next)
			current.Store(next)
			before.stop()
			// Once for each authority that is new, and where the operator makes them, for its certificates.
			n := written()
			t.Logf("to %s: the operator's Secret was written %d times", mode, n)
			if n > 10 {
				t.Errorf("to %s: the operator's Secret was written %d times", mode, n)
			}
		})
		if !bytes.Equal(secretData(t, a)["hash.key"], key) {
			t.Errorf("to %s: the hash key is another one", mode)
		}
	}
	current.Load().wantNothingForbidden(t)
}

// writesOf counts from now on how often a Secret is written.
func writesOf(t *testing.T, a *connection, name string) func() int {
	t.Helper()
	secrets := a.CoreV1().Secrets(namespace)
	stored, err := secrets.Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	watched, err := secrets.Watch(t.Context(), metav1.ListOptions{
		FieldSelector: "metadata.name=" + name, ResourceVersion: stored.ResourceVersion,
	})
	if err != nil {
		t.Fatal(err)
	}
	var n atomic.Int64
	go func() {
		for range watched.ResultChan() {
			n.Add(1)
		}
	}()
	t.Cleanup(watched.Stop)
	return func() int { return int(n.Load()) }
}

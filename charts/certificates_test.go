package charts

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	certutil "k8s.io/client-go/util/cert"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const webhookHost = service + "." + namespace + ".svc"

// issue makes a certificate for a host, of a new authority, as the contents of a Secret.
func issue(t *testing.T, host string) map[string][]byte {
	t.Helper()
	chain, key, err := certutil.GenerateSelfSignedCertKey(host, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	certs, err := certutil.ParseCertsPEM(chain)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := certutil.EncodeCertificates(certs[0])
	if err != nil {
		t.Fatal(err)
	}
	authority, err := certutil.EncodeCertificates(certs[1])
	if err != nil {
		t.Fatal(err)
	}
	return map[string][]byte{"tls.crt": leaf, "tls.key": key, "ca.crt": authority}
}

// provide stores what somebody else has issued, and takes it away in the end.
func provide(t *testing.T, a *connection, name string, data map[string][]byte) *corev1.Secret {
	t.Helper()
	makeNamespace(t, a)
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Data: data}
	if err := a.Create(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Delete(context.Background(), secret) })
	return secret
}

// wantServed wants an operator to serve a certificate, now or soon.
func wantServed(t *testing.T, p *process, want []byte) {
	t.Helper()
	eventually(t, "the certificate to be served", func(ctx context.Context) error {
		dialer := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}
		connection, err := dialer.DialContext(ctx, "tcp", p.webhookAddress)
		if err != nil {
			return err
		}
		defer func() { _ = connection.Close() }()
		served, err := certutil.EncodeCertificates(connection.(*tls.Conn).ConnectionState().PeerCertificates[0]) //nolint:forcetypeassert // it dials by TLS
		if err == nil && !bytes.Equal(served, want) {
			err = errors.New("another one is served")
		}
		return err
	})
}

// TestExistingSecret has somebody else keep the certificate: it is served, trusted and followed, and never written.
func TestExistingSecret(t *testing.T) {
	a := admin(t)
	agent, _ := agentAndPerson(t)
	first, second := issue(t, webhookHost), issue(t, webhookHost)
	theirs := provide(t, a, "theirs", first)
	mode := []string{"--set", "certificates.mode=existing-secret,certificates.existingSecret=theirs"}
	install(t, mode...)
	operator := startOperator(t)
	route(t, operator)
	govern(t, a)
	wantServed(t, operator, first["tls.crt"])

	t.Run("the operator's own Secret holds what is its own", func(t *testing.T) {
		own := secretData(t, a)
		if len(own["hash.key"]) == 0 || !bytes.Equal(own["ca-bundle.crt"], first["ca.crt"]) || len(own) != 2 {
			t.Errorf("it holds %v, want the hash key, and the authority as the bundle", own)
		}
	})
	t.Run("a certificate of another authority is taken, and nobody is lost", func(t *testing.T) {
		stop, done := make(chan struct{}), make(chan error, 1)
		go func() { done <- refusedAllAlong(t.Context(), agent, stop) }()
		theirs.Data = second
		if err := a.Update(t.Context(), theirs); err != nil {
			t.Fatal(err)
		}
		wantServed(t, operator, second["tls.crt"])
		close(stop)
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Run("what the API server would not accept is not taken", func(t *testing.T) {
		theirs.Data = issue(t, "another.host.svc")
		if err := a.Update(t.Context(), theirs); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the log to say so", func(context.Context) error {
			if !strings.Contains(operator.output(t), "taking the certificate of Secret countersign-system/theirs") {
				return errors.New("it does not")
			}
			return nil
		})
		wantServed(t, operator, second["tls.crt"])
		wantRefused(t, write(t.Context(), agent))
	})
	t.Run("it is never written", func(t *testing.T) {
		var stored corev1.Secret
		if err := a.Get(t.Context(), client.ObjectKeyFromObject(theirs), &stored); err != nil {
			t.Fatal(err)
		}
		if stored.ResourceVersion != theirs.ResourceVersion {
			t.Errorf("somebody has written it: %v", stored.ManagedFields)
		}
		wantAccess(t, a, []access{{who: release, verb: "update", resource: "secrets", namespace: namespace, name: "theirs"}})
	})
	t.Run("nothing is forbidden to the operator", operator.wantNothingForbidden)
	t.Run("the hash key outlives a change of the mode", func(t *testing.T) {
		key := secretData(t, a)["hash.key"]
		mustHelm(t, "upgrade", release, chart, "--namespace", namespace, "--reset-values")
		operator.stop()
		again := startOperator(t)
		route(t, again)
		eventually(t, "the refusal", func(ctx context.Context) error { return asRefused(write(ctx, agent)) })
		own := secretData(t, a)
		if !bytes.Equal(own["hash.key"], key) {
			t.Error("there is another one")
		}
		wantServed(t, again, own["tls.crt"])
	})
}

// refusedAllAlong writes as an agent until it is stopped, and wants each answer to be the operator's.
func refusedAllAlong(ctx context.Context, agent *connection, stop <-chan struct{}) error {
	for n := 1; ; n++ {
		if err := asRefused(write(ctx, agent)); err != nil {
			return fmt.Errorf("write %d: %w", n, err)
		}
		select {
		case <-stop:
			return nil
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// TestCertManager has the chart ask cert-manager for the certificate. The test issues what the chart asks for: what is
// shown is that the request is valid, and that what comes of it is served.
func TestCertManager(t *testing.T) {
	a := admin(t)
	agent, _ := agentAndPerson(t)
	makeNamespace(t, a)
	mode := []string{"--set", "certificates.mode=cert-manager"}
	out, err := helm(t, append([]string{"install", release, chart, "--namespace", namespace, "--dry-run=server"}, mode...)...)
	if err == nil || !strings.Contains(out, "needs cert-manager") {
		t.Errorf("without cert-manager: %v\n%.1000s", err, out)
	}
	definitionsOf(t, a, "github.com/cert-manager/cert-manager", "v1.21.2",
		"deploy/crds/cert-manager.io_certificates.yaml", "deploy/crds/cert-manager.io_issuers.yaml")
	install(t, mode...)

	certificate := certManagerObject(t, a, "Certificate", release)
	name, _, _ := unstructured.NestedString(certificate.Object, "spec", "secretName")
	hosts, _, _ := unstructured.NestedStringSlice(certificate.Object, "spec", "dnsNames")
	if diff := cmp.Diff([]string{webhookHost, webhookHost + ".cluster.local"}, hosts); diff != "" {
		t.Errorf("the certificate is for (-want +got):\n%s", diff)
	}
	// From the certificate up to the authority that signs itself, by the names in the objects.
	for _, step := range []struct{ certificate, issuer string }{{release, "countersign-authority"}, {"countersign-authority", "countersign-self-signed"}} {
		c := certManagerObject(t, a, "Certificate", step.certificate)
		if got, _, _ := unstructured.NestedString(c.Object, "spec", "issuerRef", "name"); got != step.issuer {
			t.Errorf("certificate %s comes of issuer %q, want %s", step.certificate, got, step.issuer)
		}
		certManagerObject(t, a, "Issuer", step.issuer)
	}
	issued := issue(t, hosts[0])
	provide(t, a, name, issued)
	operator := startOperator(t)
	route(t, operator)
	govern(t, a)
	wantServed(t, operator, issued["tls.crt"])
	wantRefused(t, write(t.Context(), agent))
	operator.wantNothingForbidden(t)

	mustHelm(t, "upgrade", release, chart, "--namespace", namespace, "--reuse-values",
		"--set", "certificates.certManager.issuerRef.kind=ClusterIssuer,certificates.certManager.issuerRef.name=internal")
	certificate = certManagerObject(t, a, "Certificate", release)
	if kind, _, _ := unstructured.NestedString(certificate.Object, "spec", "issuerRef", "kind"); kind != "ClusterIssuer" {
		t.Errorf("the issuer is a %s", kind)
	}
	var left unstructured.Unstructured
	left.SetAPIVersion("cert-manager.io/v1")
	left.SetKind("Issuer")
	if err := a.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "countersign-authority"}, &left); !apierrors.IsNotFound(err) {
		t.Errorf("the chart's own issuer stays beside another: %v", err)
	}
}

func certManagerObject(t *testing.T, a *connection, kind, name string) *unstructured.Unstructured {
	t.Helper()
	o := &unstructured.Unstructured{}
	o.SetAPIVersion("cert-manager.io/v1")
	o.SetKind(kind)
	if err := a.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, o); err != nil {
		t.Fatal(err)
	}
	return o
}

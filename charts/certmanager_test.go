package charts

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	certutil "k8s.io/client-go/util/cert"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/internal/operatortest"
)

const (
	providedSecret  = "countersign-provided-cert"
	authoritySecret = "countersign-authority"
	allowedName     = "release-bot"
)

var certManagerMode = []string{"--set", "certificates.mode=cert-manager"}

// TestCertManager has cert-manager's own controllers issue, renew and replace what the chart asks them for, while the API
// server calls the operator all along.
func TestCertManager(t *testing.T) {
	a := admin(t)
	agent, _ := agentAndPerson(t)
	makeNamespace(t, a)
	out, err := helm(t, append([]string{"install", release, chart, "--namespace", namespace, "--dry-run=server"}, certManagerMode...)...)
	if err == nil || !strings.Contains(out, "needs cert-manager") {
		t.Errorf("without cert-manager: %v\n%.1000s", err, out)
	}
	defineCertManager(t, a)
	install(t, certManagerMode...)
	t.Cleanup(func() { removeSecrets(t, a) })
	operator := launchOperator(t)
	route(t, operator)

	t.Run("before cert-manager runs nothing is claimed", func(t *testing.T) {
		eventually(t, "the log to say what is missing", func(context.Context) error {
			if !strings.Contains(operator.output(t), "Waiting for the Secret with the certificate") {
				return errors.New("it does not")
			}
			return nil
		})
		stays(t, "waiting for the certificate", time.Second, func(ctx context.Context) error {
			if operator.ready(ctx) == nil {
				return errors.New("the operator is ready")
			}
			return noConfigurations(ctx, a)
		})
	})
	startCertManager(t)
	operator.wantReady(t)
	govern(t, a)
	allowed := allow(t, a, operator)

	t.Run("what it issues is served and trusted", func(t *testing.T) {
		leaf, authority := secretOf(t, a, providedSecret), secretOf(t, a, authoritySecret)
		wantChartsRequest(t, a, leaf, authority)
		wantServed(t, operator, leaf["tls.crt"])
		wantBundles(t, a, authority["tls.crt"])
		wantRefused(t, write(t.Context(), agent))
	})

	during := func(name string, change func(t *testing.T)) {
		t.Run(name, func(t *testing.T) {
			steadily(t, a, agent, allowed, func() *process { return operator }, func() { change(t) })
		})
		if !operator.running() {
			t.Fatal("the operator has ended")
		}
	}
	first := secretOf(t, a, authoritySecret)["tls.crt"]
	during("it is renewed", func(t *testing.T) {
		issuedAnew(t, a, providedSecret, func() { renew(t, a, release) })
		wantServed(t, operator, secretOf(t, a, providedSecret)["tls.crt"])
		wantBundles(t, a, first)
	})
	during("its Secret is deleted", func(t *testing.T) {
		issuedAnew(t, a, providedSecret, func() { deleteSecret(t, a, namespace, providedSecret) })
		wantServed(t, operator, secretOf(t, a, providedSecret)["tls.crt"])
		wantBundles(t, a, first)
	})
	during("its authority is replaced", func(t *testing.T) {
		before := secretOf(t, a, providedSecret)["tls.crt"]
		issuedAnew(t, a, authoritySecret, func() { renew(t, a, authoritySecret) })
		// cert-manager leaves what the authority before has signed until that is renewed.
		wantServed(t, operator, before)
		issuedAnew(t, a, providedSecret, func() { renew(t, a, release) })
		wantServed(t, operator, secretOf(t, a, providedSecret)["tls.crt"])
		wantBundles(t, a, secretOf(t, a, authoritySecret)["tls.crt"], first)
	})
	second := secretOf(t, a, authoritySecret)["tls.crt"]
	during("another issuer takes over", func(t *testing.T) {
		internal := clusterIssuer(t, a)
		issuedAnew(t, a, providedSecret, func() {
			mustHelm(t, "upgrade", release, chart, "--namespace", namespace, "--reuse-values", "--wait", "--timeout", "60s",
				"--set", "certificates.certManager.issuerRef.kind=ClusterIssuer,certificates.certManager.issuerRef.name=internal")
		})
		wantServed(t, operator, secretOf(t, a, providedSecret)["tls.crt"])
		wantBundles(t, a, internal, second, first)
		left := certManagerObject("Issuer", authoritySecret)
		if err := a.Get(t.Context(), client.ObjectKeyFromObject(left), left); !apierrors.IsNotFound(err) {
			t.Errorf("the chart's own issuer stays beside another: %v", err)
		}
		mustHelm(t, "upgrade", release, chart, "--namespace", namespace, "--reset-values", "--wait", "--timeout", "60s",
			"--set", "certificates.mode=cert-manager")
		issuedBy(t, a, authoritySecret)
	})
	t.Run("nothing is forbidden to the operator", operator.wantNothingForbidden)
	t.Run("uninstalled, it leaves nothing", func(t *testing.T) { wantUninstalled(t, a) })
}

// wantChartsRequest wants the certificate to be what the chart asks for, of the authority that the chart asks for.
func wantChartsRequest(t *testing.T, a *connection, leaf, authority map[string][]byte) {
	t.Helper()
	for _, name := range []string{release, authoritySecret} {
		wantIssued(t, a, name)
	}
	certs, err := certutil.ParseCertsPEM(leaf["tls.crt"])
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(authority["tls.crt"]) || !bytes.Equal(leaf["ca.crt"], authority["tls.crt"]) {
		t.Errorf("ca.crt is not the authority:\n%s\n%s", leaf["ca.crt"], authority["tls.crt"])
	}
	if _, err := certs[0].Verify(x509.VerifyOptions{DNSName: webhookHost, Roots: roots}); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{webhookHost, webhookHost + ".cluster.local"}, certs[0].DNSNames); diff != "" {
		t.Errorf("the certificate is for (-want +got):\n%s", diff)
	}
	if good := certs[0].NotAfter.Sub(certs[0].NotBefore); good != 90*24*time.Hour {
		t.Errorf("it is good for %s", good)
	}
}

// clusterIssuer has cert-manager make an authority for the cluster, the issuer internal, and returns its certificate.
func clusterIssuer(t *testing.T, a *connection) []byte {
	t.Helper()
	for _, o := range decode(t, `
apiVersion: cert-manager.io/v1
kind: ClusterIssuer
metadata: {name: self-signed}
spec: {selfSigned: {}}
---
apiVersion: cert-manager.io/v1
kind: Certificate
metadata: {name: internal, namespace: kube-system}
spec: {isCA: true, commonName: internal, secretName: internal, issuerRef: {kind: ClusterIssuer, name: self-signed}}
---
apiVersion: cert-manager.io/v1
kind: ClusterIssuer
metadata: {name: internal}
spec: {ca: {secretName: internal}}
`) {
		if err := a.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = a.Delete(context.Background(), o) })
	}
	var authority []byte
	eventually(t, "the authority of the cluster", func(ctx context.Context) error {
		secret, err := a.CoreV1().Secrets("kube-system").Get(ctx, "internal", metav1.GetOptions{})
		if err == nil {
			authority = secret.Data["tls.crt"]
		}
		return err
	})
	t.Cleanup(func() {
		_ = a.CoreV1().Secrets("kube-system").Delete(context.Background(), "internal", metav1.DeleteOptions{})
	})
	return authority
}

// wantUninstalled uninstalls while cert-manager runs. The pods of this cluster run nothing, so that the test does
// what the hook does before and after, with the hook's own rights.
func wantUninstalled(t *testing.T, a *connection) {
	t.Helper()
	job := makeHook(t, a, "pre-delete")
	kubeconfig := serviceAccountKubeconfig(t, namespace, job.Spec.Template.Spec.ServiceAccountName)
	clean := func() {
		t.Helper()
		args := append(slices.Clone(job.Spec.Template.Spec.Containers[0].Args), "--kubeconfig="+kubeconfig)
		if out, err := exec.CommandContext(t.Context(), operatortest.Binary(t), args...).CombinedOutput(); err != nil {
			t.Fatalf("countersign %v: %v\n%s", args, err, out)
		}
	}
	wantAccess(t, a, []access{
		{who: "countersign-cleanup", verb: "delete", resource: "secrets", namespace: namespace, name: providedSecret, want: true},
		{who: "countersign-cleanup", verb: "delete", resource: "secrets", namespace: namespace, name: authoritySecret, want: true},
		{who: "countersign-cleanup", verb: "delete", resource: "secrets", namespace: namespace, name: certSecret},
		{who: "countersign-cleanup", verb: "get", resource: "secrets", namespace: namespace, name: providedSecret},
	})
	issuedAnew(t, a, providedSecret, clean)
	mustHelm(t, "uninstall", release, "--namespace", namespace, "--no-hooks", "--wait", "--timeout", "60s")
	clean()
	if err := noConfigurations(t.Context(), a); err != nil {
		t.Error(err)
	}
	for _, kind := range []string{"Certificate", "CertificateRequest", "Issuer", "Secret"} {
		list := &unstructured.UnstructuredList{}
		list.SetAPIVersion("cert-manager.io/v1")
		if kind == "Secret" {
			list.SetAPIVersion("v1")
		}
		list.SetKind(kind)
		eventually(t, kind+"s to go", func(ctx context.Context) error {
			if err := a.List(ctx, list, client.InNamespace(namespace)); err != nil {
				return err
			}
			if len(list.Items) > 0 {
				return fmt.Errorf("%s is left", list.Items[0].GetName())
			}
			return nil
		})
	}
}

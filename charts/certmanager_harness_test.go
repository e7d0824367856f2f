package charts

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/hack/controlplane"
)

// startCertManager runs cert-manager until the test ends.
func startCertManager(t *testing.T) {
	t.Helper()
	plane := controlplane.Shared(t)
	binary := filepath.Join(plane.WorkDir(), "certmanager")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, ".")
	build.Dir = certManagerModule
	// As the operator is built, with which it shares most of what it needs.
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building cert-manager: %v\n%s", err, out)
	}
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(binary, "--kubeconfig="+plane.Kubeconfig("admin"))
	command.Stdout, command.Stderr = log, log
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Signal(syscall.SIGTERM)
		if err := errors.Join(command.Wait(), log.Close()); err != nil {
			t.Errorf("cert-manager: %v", err)
		}
		if content, err := os.ReadFile(log.Name()); t.Failed() {
			t.Logf("log of cert-manager: %v\n%s", err, content)
		}
	})
}

// certManagerModule is where cert-manager is pinned and started from.
var certManagerModule = filepath.Join("..", "hack", "tools", "certmanager")

// defineCertManager makes cert-manager's kinds, those of the version that is pinned.
func defineCertManager(t *testing.T, a *connection) {
	t.Helper()
	dir := downloaded(t, certManagerModule, "github.com/cert-manager/cert-manager")
	files, err := filepath.Glob(filepath.Join(dir, "deploy", "crds", "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("cert-manager's kinds: %v, %d files", err, len(files))
	}
	for _, file := range files {
		define(t, a, file)
	}
}

func certManagerObject(kind, name string) *unstructured.Unstructured {
	o := &unstructured.Unstructured{}
	o.SetAPIVersion("cert-manager.io/v1")
	o.SetKind(kind)
	o.SetNamespace(namespace)
	o.SetName(name)
	return o
}

// secretOf waits for the contents of a Secret that cert-manager fills.
func secretOf(t *testing.T, a *connection, name string) map[string][]byte {
	t.Helper()
	var data map[string][]byte
	eventually(t, "Secret "+name, func(ctx context.Context) error {
		secret, err := a.CoreV1().Secrets(namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if data = secret.Data; len(data["tls.crt"]) == 0 {
			return errors.New("it holds no certificate")
		}
		return nil
	})
	return data
}

// wantIssued waits until cert-manager says that a certificate is there, and that it does nothing about it.
func wantIssued(t *testing.T, a *connection, name string) {
	t.Helper()
	eventually(t, "Certificate "+name+" to be ready", func(ctx context.Context) error {
		certificate := certManagerObject("Certificate", name)
		if err := a.Get(ctx, client.ObjectKeyFromObject(certificate), certificate); err != nil {
			return err
		}
		if conditions := conditionsOf(certificate); conditions["Ready"] != "True" || conditions["Issuing"] == "True" {
			return fmt.Errorf("its conditions are %v", conditions)
		}
		return nil
	})
}

func conditionsOf(o *unstructured.Unstructured) map[string]string {
	found := map[string]string{}
	conditions, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")
	for _, c := range conditions {
		if condition, ok := c.(map[string]any); ok {
			found[fmt.Sprint(condition["type"])] = fmt.Sprint(condition["status"])
		}
	}
	return found
}

// renew asks for a certificate before its time, as cmctl renew does.
func renew(t *testing.T, a *connection, name string) {
	t.Helper()
	eventually(t, "asking for a renewal", func(ctx context.Context) error {
		certificate := certManagerObject("Certificate", name)
		if err := a.Get(ctx, client.ObjectKeyFromObject(certificate), certificate); err != nil {
			return err
		}
		conditions, _, err := unstructured.NestedSlice(certificate.Object, "status", "conditions")
		if err != nil {
			return err
		}
		conditions = append(conditions, map[string]any{
			"type": "Issuing", "status": "True", "reason": "ManuallyTriggered", "message": "a test wants it",
			"observedGeneration": certificate.GetGeneration(), "lastTransitionTime": time.Now().UTC().Format(time.RFC3339),
		})
		if err := unstructured.SetNestedSlice(certificate.Object, conditions, "status", "conditions"); err != nil {
			return err
		}
		return a.Status().Update(ctx, certificate)
	})
}

// issuedAnew waits until a Secret holds another certificate than before something was done.
func issuedAnew(t *testing.T, a *connection, name string, do func()) {
	t.Helper()
	before := secretOf(t, a, name)
	do()
	eventually(t, "another certificate in "+name, func(ctx context.Context) error {
		secret, err := a.CoreV1().Secrets(namespace).Get(ctx, name, metav1.GetOptions{})
		if err == nil && (len(secret.Data["tls.crt"]) == 0 || bytes.Equal(secret.Data["tls.crt"], before["tls.crt"])) {
			err = errors.New("it is the same")
		}
		return err
	})
}

func issuedBy(t *testing.T, a *connection, issuer string) {
	t.Helper()
	eventually(t, "a certificate of "+issuer, func(ctx context.Context) error {
		secret, err := a.CoreV1().Secrets(namespace).Get(ctx, providedSecret, metav1.GetOptions{})
		if err == nil && secret.Annotations["cert-manager.io/issuer-name"] != issuer {
			err = fmt.Errorf("it is of %s", secret.Annotations["cert-manager.io/issuer-name"])
		}
		return err
	})
}

func deleteSecret(t *testing.T, a *connection, namespace, name string) {
	t.Helper()
	if err := a.CoreV1().Secrets(namespace).Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
}

// removeSecrets leaves none of cert-manager's to the next test.
func removeSecrets(t *testing.T, a *connection) {
	t.Helper()
	for _, name := range []string{providedSecret, authoritySecret} {
		err := a.CoreV1().Secrets(namespace).Delete(context.Background(), name, metav1.DeleteOptions{})
		if client.IgnoreNotFound(err) != nil {
			t.Error(err)
		}
	}
}

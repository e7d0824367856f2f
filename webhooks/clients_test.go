package webhooks_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/countersign-dev/countersign/hack/controlplane"
	"github.com/countersign-dev/countersign/internal/operatortest"
)

// authority signs certificates for callers of the webhooks.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	template := certificateFor("callers", x509.ExtKeyUsageAny)
	template.IsCA, template.BasicConstraintsValid, template.ExtKeyUsage, template.KeyUsage = true, true, nil, x509.KeyUsageCertSign
	a := &authority{cert: template, key: newKey(t)}
	a.cert, _ = a.sign(t, template)
	return a
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	allowed(t, err)
	return key
}

// certificateFor is good for an hour.
func certificateFor(name string, usage x509.ExtKeyUsage) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{usage},
	}
}

// sign signs a certificate for a new key, or the authority's own.
func (a *authority) sign(t *testing.T, template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key := a.key
	if !template.IsCA {
		key = newKey(t)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	allowed(t, err)
	cert, err := x509.ParseCertificate(der)
	allowed(t, err)
	return cert, key
}

// pair is a certificate with its key.
func (a *authority) pair(t *testing.T, template *x509.Certificate) tls.Certificate {
	t.Helper()
	cert, key := a.sign(t, template)
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}
}

func (a *authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

// admissionConfiguration has an API server present a certificate to webhooks. It returns the path of its configuration.
func admissionConfiguration(t *testing.T, pair tls.Certificate) string {
	t.Helper()
	dir := t.TempDir()
	write := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		allowed(t, os.WriteFile(path, content, 0o600))
		return path
	}
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	allowed(t, err)
	cert := write("client.crt", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]}))
	keyFile := write("client.key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))
	kubeconfig := write("kubeconfig.yaml", fmt.Appendf(nil, "apiVersion: v1\nkind: Config\nusers:\n"+
		"- name: '*'\n  user: {client-certificate: %s, client-key: %s}\n", cert, keyFile))
	var plugins strings.Builder
	for _, plugin := range []string{"ValidatingAdmissionWebhook", "MutatingAdmissionWebhook"} {
		fmt.Fprintf(&plugins, "- name: %s\n  configuration: {apiVersion: apiserver.config.k8s.io/v1, kind: WebhookAdmissionConfiguration, kubeConfigFile: %s}\n",
			plugin, kubeconfig)
	}
	return write("admission.yaml", []byte("apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\nplugins:\n"+plugins.String()))
}

// TestClientCertificates has the operator answer nobody but an API server that proves who it is.
func TestClientCertificates(t *testing.T) {
	trusted, other := newAuthority(t), newAuthority(t)
	file := filepath.Join(t.TempDir(), "clients.pem")
	allowed(t, os.WriteFile(file, trusted.pem(), 0o600))
	config := admissionConfiguration(t, trusted.pair(t, certificateFor("kube-apiserver", x509.ExtKeyUsageClientAuth)))
	e := newOwn(t, controlplane.Options{
		ControllerManager: true, Flags: map[string][]string{controlplane.APIServer: {"--admission-control-config-file=" + config}},
	}, "--client-ca-file", file, "--client-names", "kube-apiserver,kube-apiserver.example.com", "--log-level", "1")
	s := e.scene(t, asks) // a policy was validated, an action was refused
	allowed(t, decide(t.Context(), s.person(t, "erin"), s.request, "Approve"))
	waitState(t, e, s.request, "Approved")
	web := deployment(s.namespace, "web")

	t.Run("callers", func(t *testing.T) { e.callers(t, trusted, other) })
	t.Run("the file changes", func(t *testing.T) {
		allowed(t, os.WriteFile(file, other.pem(), 0o600))
		err := patch(t.Context(), s.agent, web, types.MergePatchType, toFive)
		checkRefusal(t, err, "failed calling webhook")
		allowed(t, os.WriteFile(file, []byte("nothing"), 0o600))
		err = patch(t.Context(), s.agent, web, types.MergePatchType, toFive)
		checkRefusal(t, err, "failed calling webhook")
		allowed(t, os.WriteFile(file, append(other.pem(), trusted.pem()...), 0o600))
		operatortest.Eventually(t, "the agent may act", func(ctx context.Context) error {
			return patch(ctx, s.agent, web, types.MergePatchType, toFive)
		})
	})
	waitState(t, e, s.request, "Spent")
	if refused := strings.Count(e.operator.LogText(t), "Refused a connection"); refused == 0 {
		t.Error("the log does not tell of refused callers")
	}
}

// callers tries to ask with certificates of all kinds.
func (e *environment) callers(t *testing.T, trusted, other *authority) {
	t.Helper()
	expired := certificateFor("kube-apiserver", x509.ExtKeyUsageClientAuth)
	expired.NotAfter = time.Now().Add(-time.Minute)
	dns := certificateFor("node", x509.ExtKeyUsageClientAuth)
	dns.DNSNames = []string{"kube-apiserver.example.com"}
	one := func(pair tls.Certificate) []tls.Certificate { return []tls.Certificate{pair} }
	for name, tc := range map[string]struct {
		pairs []tls.Certificate
		may   bool
	}{
		"a certificate as asked for":   {one(trusted.pair(t, certificateFor("kube-apiserver", x509.ExtKeyUsageClientAuth))), true},
		"the name as a DNS name":       {one(trusted.pair(t, dns)), true},
		"none":                         {nil, false},
		"of another authority":         {one(other.pair(t, certificateFor("kube-apiserver", x509.ExtKeyUsageClientAuth))), false},
		"of another name":              {one(trusted.pair(t, certificateFor("agent", x509.ExtKeyUsageClientAuth))), false},
		"of a server":                  {one(trusted.pair(t, certificateFor("kube-apiserver", x509.ExtKeyUsageServerAuth))), false},
		"expired":                      {one(trusted.pair(t, expired)), false},
		"signed by such a certificate": {one(signedByLeaf(t, trusted)), false},
	} {
		t.Run(name, func(t *testing.T) {
			status, err := ask(t, e.operator.URL, tc.pairs)
			if may := err == nil && status == http.StatusOK; may != tc.may {
				t.Errorf("answered with %d, %v; want an answer: %t", status, err, tc.may)
			}
		})
	}
}

// signedByLeaf is signed by a certificate that is not an authority's.
func signedByLeaf(t *testing.T, trusted *authority) tls.Certificate {
	t.Helper()
	leaf, key := trusted.sign(t, certificateFor("kube-apiserver", x509.ExtKeyUsageClientAuth))
	pair := (&authority{cert: leaf, key: key}).pair(t, certificateFor("kube-apiserver", x509.ExtKeyUsageClientAuth))
	pair.Certificate = append(pair.Certificate, leaf.Raw)
	return pair
}

// ask posts a review without a decision in it.
func ask(t *testing.T, url string, pairs []tls.Certificate) (status int, err error) {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, Certificates: pairs}}
	defer transport.CloseIdleConnections()
	body := strings.NewReader(`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"x"}}`)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/enforce", body)
	allowed(t, err)
	r.Header.Set("Content-Type", "application/json")
	answer, err := (&http.Client{Transport: transport, Timeout: 10 * time.Second}).Do(r)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, answer.Body)
	return answer.StatusCode, errors.Join(err, answer.Body.Close())
}

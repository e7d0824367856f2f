package controllers_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	certutil "k8s.io/client-go/util/cert"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/countersign-dev/countersign/controllers"
	"github.com/countersign-dev/countersign/internal/certificate"
)

// replacement is a Secret, whose certificates are replaced, and one replica's directory.
type replacement struct {
	client.Client
	clock      *clocktesting.FakePassiveClock
	reconciler *controllers.CertificateReconciler
	dir        certificate.Dir
	secret     *corev1.Secret
	told       int
	// keys are those that the directory held when they were said to change.
	keys []certificate.HashKey
}

func newReplacement(t *testing.T) *replacement {
	t.Helper()
	r := &replacement{
		Client: adminClient(t), clock: clocktesting.NewFakePassiveClock(time.Now()), dir: certificate.Dir(t.TempDir()),
		secret: &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, GenerateName: "certificates-"}},
	}
	if err := r.Create(t.Context(), r.secret); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.remove(t) })
	r.reconciler = &controllers.CertificateReconciler{
		Client: r, Secret: client.ObjectKeyFromObject(r.secret), Dir: r.dir, Trust: func() { r.told++ }, Rekeyed: func() { r.rekeyed(t) }, Clock: r.clock,
	}
	return r
}

func (r *replacement) rekeyed(t *testing.T) {
	t.Helper()
	current, previous, err := r.dir.HashKeys()
	if err != nil {
		t.Fatal(err)
	}
	if r.keys = []certificate.HashKey{current}; previous != nil {
		r.keys = append(r.keys, *previous)
	}
}

func (r *replacement) remove(t *testing.T) {
	t.Helper()
	for _, o := range []client.Object{r.secret, &admissionregistrationv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: controllers.PoliciesConfiguration},
	}} {
		if err := r.Delete(context.Background(), o); client.IgnoreNotFound(err) != nil {
			t.Error(err)
		}
	}
}

// replace does what the rotator does: it makes an authority and a certificate, and leaves the other data alone.
func (r *replacement) replace(t *testing.T) (authority, cert []byte) {
	t.Helper()
	pem, key, err := certutil.GenerateSelfSignedCertKey("127.0.0.1", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	certs, err := certutil.ParseCertsPEM(pem)
	if err != nil {
		t.Fatal(err)
	}
	if authority, err = certutil.EncodeCertificates(certs[len(certs)-1]); err != nil {
		t.Fatal(err)
	}
	if err := r.Get(t.Context(), client.ObjectKeyFromObject(r.secret), r.secret); err != nil {
		t.Fatal(err)
	}
	if r.secret.Data == nil {
		r.secret.Data = map[string][]byte{}
	}
	r.secret.Data[certificate.CAFile], r.secret.Data[certificate.CertFile], r.secret.Data[certificate.KeyFile] = authority, pem, key
	if err := r.Update(t.Context(), r.secret); err != nil {
		t.Fatal(err)
	}
	return authority, pem
}

// pass reconciles until nothing more happens at once.
func (r *replacement) pass(t *testing.T) reconcile.Result {
	t.Helper()
	var last reconcile.Result
	for range 3 {
		var err error
		if last, err = r.reconciler.Reconcile(t.Context(), reconcile.Request{NamespacedName: r.reconciler.Secret}); err != nil {
			t.Fatal(err)
		}
	}
	return last
}

// configure stores a webhook configuration that trusts a bundle.
func (r *replacement) configure(t *testing.T, bundle []byte) {
	t.Helper()
	fail, none := admissionregistrationv1.Fail, admissionregistrationv1.SideEffectClassNone
	c := &admissionregistrationv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: controllers.PoliciesConfiguration},
		Webhooks: []admissionregistrationv1.ValidatingWebhook{{
			Name: "policies.countersign.dev", FailurePolicy: &fail, SideEffects: &none, AdmissionReviewVersions: []string{"v1"},
			ClientConfig: admissionregistrationv1.WebhookClientConfig{URL: new("https://127.0.0.1:1/policies"), CABundle: bundle},
		}},
	}
	if err := r.Delete(t.Context(), c.DeepCopy()); client.IgnoreNotFound(err) != nil {
		t.Fatal(err)
	}
	if err := r.Create(t.Context(), c); err != nil {
		t.Fatal(err)
	}
}

// want compares what is in the directory.
func (r *replacement) want(t *testing.T, when string, bundle, cert []byte) {
	t.Helper()
	for name, want := range map[string][]byte{certificate.CAFile: bundle, certificate.CertFile: cert} {
		got, err := os.ReadFile(filepath.Join(string(r.dir), name))
		if err != nil && want != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("%s, %s (-want +got):\n%s", when, name, diff)
		}
	}
}

// TestReplacedAuthority wants a new authority to be trusted, beside the one before, before its certificate is served.
func TestReplacedAuthority(t *testing.T) {
	r := newReplacement(t)
	first, firstCert := r.replace(t)
	r.pass(t)
	r.want(t, "where nothing is configured", first, firstCert)
	hashKey, err := os.ReadFile(filepath.Join(string(r.dir), certificate.HashKeyFile))
	if err != nil || len(hashKey) == 0 {
		t.Fatalf("the hash key is %x, %v", hashKey, err)
	}

	r.configure(t, first)
	second, secondCert := r.replace(t)
	both := bytes.Join([][]byte{second, first}, nil)
	told := r.told
	if result := r.pass(t); result.RequeueAfter == 0 || r.told == told {
		t.Errorf("it does not come back (%+v), or does not tell of the bundle", result)
	}
	r.want(t, "before it is trusted", both, firstCert)
	r.clock.SetTime(r.clock.Now().Add(time.Hour))
	r.pass(t)
	r.want(t, "an hour later, still not trusted", both, firstCert)

	r.configure(t, both)
	result := r.pass(t)
	r.want(t, "when it has just been stored", both, firstCert)
	r.clock.SetTime(r.clock.Now().Add(result.RequeueAfter))
	if result := r.pass(t); result.RequeueAfter != 0 {
		t.Errorf("it comes back for nothing: %+v", result)
	}
	r.want(t, "once it is trusted", both, secondCert)
	if kept, err := os.ReadFile(filepath.Join(string(r.dir), certificate.HashKeyFile)); err != nil || !bytes.Equal(kept, hashKey) {
		t.Errorf("the hash key has become %x, %v", kept, err)
	}
}

// TestReplacedWhileNobodyServes wants a process that has no certificate yet to wait for trust, but not for ever.
func TestReplacedWhileNobodyServes(t *testing.T) {
	r := newReplacement(t)
	authority, cert := r.replace(t)
	other, _, err := certutil.GenerateSelfSignedCertKey("127.0.0.1", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.configure(t, other)
	r.pass(t)
	r.want(t, "while another authority is trusted", authority, nil)
	r.clock.SetTime(r.clock.Now().Add(time.Minute))
	r.pass(t)
	r.want(t, "after a minute", authority, cert)
}

// TestHashKeyMoved replaces the hash key as people do, and takes the previous one away.
func TestHashKeyMoved(t *testing.T) {
	r := newReplacement(t)
	r.replace(t)
	patch := func(text string) {
		t.Helper()
		if err := r.Patch(t.Context(), r.secret, client.RawPatch(types.JSONPatchType, []byte(text))); err != nil {
			t.Fatal(err)
		}
		r.pass(t)
	}
	r.pass(t)
	first := r.keys
	if len(first) != 1 {
		t.Fatalf("at first there are the keys %v", first)
	}
	patch(`[{"op":"move","from":"/data/hash.key","path":"/data/hash-previous.key"}]`)
	second := r.keys
	if len(second) != 2 || second[0].ID == first[0].ID || second[1].ID != first[0].ID {
		t.Errorf("of key %v come %v", first, second)
	}
	patch(`[{"op":"remove","path":"/data/hash-previous.key"}]`)
	if len(r.keys) != 1 || r.keys[0].ID != second[0].ID {
		t.Errorf("without the previous one there are the keys %v, want only %v", r.keys, second[0])
	}
}

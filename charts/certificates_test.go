package charts

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
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
		stop := allAlong(t, "the refusal", func(ctx context.Context) error { return asRefused(write(ctx, agent)) })
		theirs.Data = second
		if err := a.Update(t.Context(), theirs); err != nil {
			t.Fatal(err)
		}
		wantServed(t, operator, second["tls.crt"])
		stop()
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

var hashKeyInRefusal = regexp.MustCompile(`hash=v1\.([0-9a-f]+):`)

// hashKeyOf names the key under which the operator hashes what an agent does with a Secret.
func hashKeyOf(ctx context.Context, agent *connection) (string, error) {
	err := agent.Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "test-", Namespace: agentNamespace}, StringData: map[string]string{"password": "a"},
	})
	if err := asRefused(err); err != nil {
		return "", err
	}
	name := hashKeyInRefusal.FindStringSubmatch(err.Error())
	if name == nil {
		return "", fmt.Errorf("the refusal has no hash: %w", err)
	}
	return name[1], nil
}

// TestHashKeyReplaced makes the hash key the previous one, as docs/operations.md says: the operator makes and uses another one, and
// forgets the previous one once that is taken away.
func TestHashKeyReplaced(t *testing.T) {
	a := admin(t)
	agent, _ := agentAndPerson(t)
	install(t)
	route(t, startOperator(t))
	govern(t, a)
	old := secretData(t, a)["hash.key"]
	before, err := hashKeyOf(t.Context(), agent)
	if err != nil {
		t.Fatal(err)
	}
	patch := func(text string) {
		t.Helper()
		secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: certSecret}}
		if err := a.Patch(t.Context(), secret, client.RawPatch(types.JSONPatchType, []byte(text))); err != nil {
			t.Fatal(err)
		}
	}
	another := func(ctx context.Context) error {
		name, err := hashKeyOf(ctx, agent)
		if err == nil && name == before {
			err = errors.New("it is " + name)
		}
		return err
	}
	patch(`[{"op":"move","from":"/data/hash.key","path":"/data/hash-previous.key"}]`)
	eventually(t, "another key to be used", another)
	data := secretData(t, a)
	if !bytes.Equal(data["hash-previous.key"], old) || len(data["hash.key"]) == 0 || bytes.Equal(data["hash.key"], old) {
		t.Errorf("the Secret holds %d keys, want another hash key beside the previous one", len(data))
	}
	patch(`[{"op":"remove","path":"/data/hash-previous.key"}]`)
	stays(t, "the new key", time.Second, another)
}

package webhooks_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/internal/certificate"
)

// TestHashKeyReplaced has approvals of a changed Secret and of another object be asked for, granted and refused before the hash key
// is replaced, and what they are for be done again afterwards.
func TestHashKeyReplaced(t *testing.T) {
	certs := filepath.Join(t.TempDir(), "shared")
	e, replicas := newReplicated(t, 1, "--cert-dir", certs)
	s := newStory(t, e, consentToAll)
	setTo := func(name, value string) func() error {
		secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: name}, StringData: map[string]string{"password": "a"}}
		allowed(t, client.IgnoreAlreadyExists(e.admin.Create(t.Context(), secret)))
		return func() error {
			return patch(t.Context(), s.agent, secret, types.MergePatchType, fmt.Sprintf(`{"stringData":{"password":%q}}`, value))
		}
	}
	scale := func() error { return patch(t.Context(), s.agent, s.web, types.MergePatchType, toFive) }
	pending, granted, denied := s.asked(t, setTo("db", "b")), s.grant(t, scale), s.asked(t, setTo("cache", "b"))
	allowed(t, decide(t.Context(), s.person, denied, "Deny"))
	waitState(t, e, denied, "Denied")

	if err := replicas.Kill(0); err != nil {
		t.Fatal(err)
	}
	before, after := replaceHashKey(t, certificate.Dir(certs))
	replicas.Restart(t, 0)

	if again := s.asked(t, setTo("db", "b")); again.Name != pending.Name || !strings.HasPrefix(again.Spec.Action.Hash, "v1."+before+":") {
		t.Errorf("approval %s with hash %s is asked for again, instead of %s", again.Name, again.Spec.Action.Hash, pending.Name)
	}
	refusal := refused(t, setTo("cache", "b")(), "ActionOutOfScope", "ApprovalUnusable").Error()
	if !strings.Contains(refusal, "approval "+s.namespace+"/"+denied.Name+" cannot be used: people refused this") {
		t.Errorf("what people have refused is answered by %s", refusal)
	}
	redeem(t, scale)
	s.wantUses(t, granted, 1)
	allowed(t, decide(t.Context(), s.person, pending, "Approve"))
	waitState(t, e, pending, "Approved")
	redeem(t, setTo("db", "b"))
	s.wantUses(t, pending, 1)
	if next := s.asked(t, setTo("db", "c")); !strings.HasPrefix(next.Spec.Action.Hash, "v1."+after+":") {
		t.Errorf("the hash of a new request is %s, want one under key %s", next.Spec.Action.Hash, after)
	}
}

// replaceHashKey does in a directory what the operator does in its Secret, and returns the names of the keys.
func replaceHashKey(t *testing.T, dir certificate.Dir) (before, after string) {
	t.Helper()
	old, _, err := dir.HashKeys()
	if err != nil {
		t.Fatal(err)
	}
	key, err := certificate.NewHashKey()
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{certificate.PreviousHashKeyFile: old.Key, certificate.HashKeyFile: key}
	if err := dir.Write(files); err != nil {
		t.Fatal(err)
	}
	current, previous, err := dir.HashKeys()
	if err != nil || previous == nil || previous.ID != old.ID {
		t.Fatalf("the previous key is %v: %v", previous, err)
	}
	return old.ID, current.ID
}

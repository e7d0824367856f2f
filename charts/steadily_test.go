package charts

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

// steadily changes something, and wants nobody to be refused meanwhile who may pass, and nobody to pass who may not. The
// operator is the one that serves at each time.
func steadily(t *testing.T, a, refused, allowed *connection, operator func() *process, change func()) {
	t.Helper()
	var stops []func()
	defer func() {
		for _, stop := range stops {
			stop()
		}
	}()
	for what, again := range map[string]func(context.Context) error{
		"the refusal of an agent":    func(ctx context.Context) error { return asRefused(try(ctx, refused)) },
		"what another agent may do":  func(ctx context.Context) error { return try(ctx, allowed) },
		"the check of a policy":      func(ctx context.Context) error { return tryPolicy(ctx, a) },
		"what the API server trusts": func(ctx context.Context) error { return handshake(ctx, a, operator()) },
	} {
		stops = append(stops, allAlong(t, what, again))
	}
	change()
}

// allow has another agent, to which a policy leaves everything open. What it does is decided all the same.
func allow(t *testing.T, a *connection, operator *process) *connection {
	t.Helper()
	other := serviceAccount(t, agentNamespace, allowedName)
	ensure(t, a.Client, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: agentNamespace, Name: allowedName},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: agentNamespace, Name: allowedName}},
	})
	policy := openPolicy("open")
	if err := a.Create(t.Context(), policy); err != nil {
		t.Fatal(err)
	}
	wantInForce(t, a, policy.Name)
	eventually(t, "a decision that lets the agent pass", func(ctx context.Context) error {
		if err := try(ctx, other); err != nil {
			return err
		}
		content, err := os.ReadFile(operator.decisions)
		if err == nil && !bytes.Contains(content, []byte("system:serviceaccount:"+agentNamespace+":"+allowedName)) {
			err = errors.New("there is none in the log")
		}
		return err
	})
	return other
}

// tryPolicy has the operator check a policy that is not stored.
func tryPolicy(ctx context.Context, a *connection) error {
	if err := a.Create(ctx, openPolicy("tried"), client.DryRunAll); err != nil {
		return err
	}
	wrong := openPolicy("tried")
	wrong.Spec.ChangeWindows = &v1alpha1.ChangeWindows{Allowed: []v1alpha1.WindowName{"nowhere"}}
	err := a.Create(ctx, wrong, client.DryRunAll)
	if err == nil {
		return errors.New("a policy with a window that it does not define is accepted")
	}
	if !strings.Contains(err.Error(), "name windows, and none are defined") {
		return fmt.Errorf("got %w, want it to say that the window is missing", err)
	}
	return nil
}

// openPolicy leaves everything open to the other agent.
func openPolicy(name string) *v1alpha1.AgentActionPolicy {
	return &v1alpha1.AgentActionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: v1alpha1.AgentActionPolicySpec{
			Enforcement: v1alpha1.Enforce,
			Subjects:    []v1alpha1.Subject{{Kind: v1alpha1.SubjectServiceAccount, Namespace: agentNamespace, Name: allowedName}},
			OutOfScope:  v1alpha1.OutOfScopeAllow,
			TimeZone:    "Europe/Berlin",
		},
	}
}

// try makes a change that is decided on and not stored.
func try(ctx context.Context, c *connection) error {
	object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-", Namespace: agentNamespace}}
	return c.Create(ctx, object, client.DryRunAll)
}

// bundles are what the operator's webhook configurations have the API server trust, each of them once.
func bundles(ctx context.Context, a *connection) ([][]byte, error) {
	var found [][]byte
	for _, name := range []string{actionsConfig, policiesConfig} {
		stored, err := configuration(ctx, a, name)
		if err != nil {
			return nil, err
		}
		for i := range stored.Webhooks {
			found = append(found, stored.Webhooks[i].ClientConfig.CABundle)
		}
	}
	stamping, err := a.AdmissionregistrationV1().MutatingWebhookConfigurations().Get(ctx, "countersign-approvals", metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	for i := range stamping.Webhooks {
		found = append(found, stamping.Webhooks[i].ClientConfig.CABundle)
	}
	slices.SortFunc(found, bytes.Compare)
	return slices.CompactFunc(found, bytes.Equal), nil
}

// wantBundles wants all webhook configurations to trust these authorities and no others, in this order.
func wantBundles(t *testing.T, a *connection, authorities ...[]byte) {
	t.Helper()
	found, err := bundles(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{string(bytes.Join(authorities, nil))}, asStrings(found)); diff != "" {
		t.Errorf("the API server trusts (-want +got):\n%s", diff)
	}
}

func asStrings(all [][]byte) []string {
	var texts []string
	for _, one := range all {
		texts = append(texts, string(one))
	}
	return texts
}

// handshake connects to the operator as the API server does that has just read the webhook configurations.
func handshake(ctx context.Context, a *connection, p *process) error {
	found, err := bundles(ctx, a)
	if err != nil {
		return err
	}
	for _, bundle := range found {
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(bundle)
		dialer := tls.Dialer{Config: &tls.Config{RootCAs: roots, ServerName: webhookHost}}
		connection, err := dialer.DialContext(ctx, "tcp", p.webhookAddress)
		if err != nil {
			return fmt.Errorf("trusting %d bytes: %w", len(bundle), err)
		}
		if err := connection.Close(); err != nil {
			return err
		}
	}
	return nil
}

// allAlong tries something over and over, until the function that it returns is called, and reports the first error.
func allAlong(t *testing.T, what string, try func(context.Context) error) (stop func()) {
	t.Helper()
	stopped, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- repeat(t.Context(), stopped, try) }()
	return sync.OnceFunc(func() {
		close(stopped)
		if err := <-done; err != nil {
			t.Errorf("%s: %v", what, err)
		}
	})
}

func repeat(ctx context.Context, stopped <-chan struct{}, try func(context.Context) error) error {
	for n := 1; ; n++ {
		if err := try(ctx); err != nil {
			return fmt.Errorf("try %d: %w", n, err)
		}
		select {
		case <-stopped:
			return nil
		case <-time.After(20 * time.Millisecond):
		}
	}
}

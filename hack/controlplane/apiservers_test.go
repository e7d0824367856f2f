package controlplane

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

func clientOf(t *testing.T, config *rest.Config) kubernetes.Interface {
	t.Helper()
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func TestSeveralAPIServers(t *testing.T) {
	second := apiServerName(2)
	plane, err := Start(t.Context(), Options{APIServers: 2, Flags: map[string][]string{APIServer: {"--profiling=false"}, second: {"--v=1"}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := plane.Stop(); err != nil {
			t.Error(err)
		}
	})
	first, other := clientOf(t, plane.AdminConfig()), clientOf(t, plane.Through(2, plane.AdminConfig()))
	write := func(ctx context.Context, client kubernetes.Interface, name string) error {
		config := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}
		_, err := client.CoreV1().ConfigMaps(metav1.NamespaceDefault).Create(ctx, config, metav1.CreateOptions{})
		return err
	}
	read := func(ctx context.Context, client kubernetes.Interface, name string) error {
		_, err := client.CoreV1().ConfigMaps(metav1.NamespaceDefault).Get(ctx, name, metav1.GetOptions{})
		return err
	}

	t.Run("serve the same objects", func(t *testing.T) {
		err := errors.Join(write(t.Context(), first, "by-first"), write(t.Context(), other, "by-second"),
			read(t.Context(), other, "by-first"), read(t.Context(), first, "by-second"))
		if err != nil {
			t.Error(err)
		}
	})
	t.Run("have logs of their own", func(t *testing.T) {
		if plane.Component(APIServer).LogFile() == plane.Component(second).LogFile() {
			t.Error("two API servers write one log")
		}
		deleted := other.CoreV1().ConfigMaps(metav1.NamespaceDefault).Delete(t.Context(), "by-first", metav1.DeleteOptions{})
		if err := errors.Join(deleted, write(t.Context(), first, "by-first")); err != nil {
			t.Fatal(err)
		}
		for n, verb := range map[int]string{1: "create", 2: "delete"} {
			within(t, "the audit event", func(ctx context.Context) error {
				return findEvent(plane.AuditLogOf(n), verb, "/api/v1/namespaces/default/configmaps")
			})
		}
		if err := findEvent(plane.AuditLog(), "delete", "/api/v1/namespaces/default/configmaps"); err == nil {
			t.Error("the first API server logs a request that the second has answered")
		}
	})
	t.Run("know the same identities", func(t *testing.T) { testIdentityThrough(t, plane) })
	t.Run("have flags of their own", func(t *testing.T) {
		for name, want := range map[string]bool{APIServer: false, second: true} {
			flags := plane.Component(name).flags()
			if !slices.Contains(flags, "--profiling=false") || slices.Contains(flags, "--v=1") != want {
				t.Errorf("the flags of %s are %q", name, flags)
			}
		}
	})
	t.Run("one pauses", func(t *testing.T) {
		if err := plane.Component(second).Pause(); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := read(ctx, other, "by-first"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a paused API server answers %v", err)
		}
		if err := write(t.Context(), first, "meanwhile"); err != nil {
			t.Error(err)
		}
		if err := plane.Component(second).Resume(); err != nil {
			t.Fatal(err)
		}
		within(t, "the second API server", func(ctx context.Context) error { return read(ctx, other, "meanwhile") })
	})
	t.Run("the first is gone", func(t *testing.T) {
		if err := plane.Component(APIServer).Kill(); err != nil {
			t.Fatal(err)
		}
		if err := write(t.Context(), other, "alone"); err != nil {
			t.Error(err)
		}
		if err := plane.Component(APIServer).Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := read(t.Context(), first, "alone"); err != nil {
			t.Error(err)
		}
	})
}

// testIdentityThrough asks both API servers who somebody is.
func testIdentityThrough(t *testing.T, plane *Plane) {
	account, err := plane.ServiceAccountKubeconfig(t.Context(), "default", "robot")
	if err != nil {
		t.Fatal(err)
	}
	person, err := plane.PersonKubeconfig("ann@example.test", "platform")
	if err != nil {
		t.Fatal(err)
	}
	for kubeconfig, want := range map[string]string{account: "system:serviceaccount:default:robot", person: "ann@example.test"} {
		for n := 1; n <= 2; n++ {
			through, err := plane.KubeconfigThrough(n, kubeconfig)
			if err != nil {
				t.Fatal(err)
			}
			config, err := plane.Config(through)
			if err != nil {
				t.Fatal(err)
			}
			if config.Host != plane.URLOf(n) {
				t.Errorf("%s goes to %s, want %s", through, config.Host, plane.URLOf(n))
			}
			review, err := clientOf(t, config).AuthenticationV1().SelfSubjectReviews().Create(t.Context(), &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
			if err != nil {
				t.Fatal(fmt.Errorf("asking API server %d: %w", n, err))
			}
			if got := review.Status.UserInfo.Username; got != want {
				t.Errorf("API server %d knows %q, want %q", n, got, want)
			}
		}
	}
}

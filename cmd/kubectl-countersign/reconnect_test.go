package main_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/hack/controlplane"
	"github.com/countersign-dev/countersign/internal/operatortest"
)

// bareShop is a cluster with Countersign's kinds and no operator: what is read does not depend on one.
func bareShop(t *testing.T, options controlplane.Options) *shop {
	t.Helper()
	plane, err := controlplane.Start(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := plane.Stop(); err != nil {
			t.Error(err)
		}
	})
	s := &shop{plane: plane, kubeconfigs: map[string]string{"admin": plane.Kubeconfig("admin")}}
	s.admin = operatortest.NewClient(t, plane.AdminConfig())
	operatortest.ApplyDefinitions(t, s.admin)
	s.create(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}})
	return s
}

// createSoon creates something in an API server that may just be starting.
func (s *shop) createSoon(t *testing.T, o client.Object) {
	t.Helper()
	operatortest.Eventually(t, o.GetName()+" is created", func(ctx context.Context) error {
		return client.IgnoreAlreadyExists(s.admin.Create(ctx, o))
	})
}

// undecided is a request for a run that people can decide for some time.
func undecided(i int) *v1alpha1.ActionApproval {
	a := ended(i)
	a.Spec.RequestExpiresAt = new(metav1.NewTime(time.Now().Add(12 * time.Hour)))
	return a
}

// watching is a plugin that writes rows.
type watching struct {
	command  *exec.Cmd
	out, err lockedBuffer
}

func (s *shop) startWatching(t *testing.T, kubeconfig string) *watching {
	t.Helper()
	w := &watching{command: exec.CommandContext(t.Context(), plugin(t), "watch", "-n", "shop")}
	w.command.Env = environment(t, kubeconfig)
	w.command.Stdout, w.command.Stderr = &w.out, &w.err
	if err := w.command.Start(); err != nil {
		t.Fatal(err)
	}
	return w
}

// stop ends it as Ctrl-C does, and wants every approval to have been written once.
func (w *watching) stop(t *testing.T, once ...string) {
	t.Helper()
	if err := w.command.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := w.command.Wait(); err != nil {
		t.Errorf("it ends with %v: %s", err, w.err.String())
	}
	for _, name := range once {
		if n := strings.Count(w.out.String(), name); n != 1 {
			t.Errorf("%s is written %d times:\n%s", name, n, w.out.String())
		}
	}
}

// TestReconnect takes the API server away from those who watch and wait.
func TestReconnect(t *testing.T) {
	// Watches are ended by the server within a second or two, as others are after minutes.
	s := bareShop(t, controlplane.Options{Flags: map[string][]string{controlplane.APIServer: {"--min-request-timeout=1"}}})
	s.createSoon(t, undecided(1))
	t.Run("a server that restarts", func(t *testing.T) { testRestart(t, s) })
	t.Run("watches that end", func(t *testing.T) { testShortWatches(t, s) })
	t.Run("a version that has expired", func(t *testing.T) { testExpiredVersion(t, s) })
}

func testRestart(t *testing.T, s *shop) {
	rows := s.startWatching(t, s.kubeconfigs["admin"])
	rows.out.expect(t, "old-0001")
	tty := newTTY(t, 100)
	live := tty.start(t, s.kubeconfigs["admin"], "watch", "-n", "shop")
	tty.expect(t, "old-0001")
	waits := newTTY(t, 100)
	end := waits.start(t, s.kubeconfigs["admin"], "wait", "old-0001", "-n", "shop")
	waits.expect(t, "waiting: shop/old-0001 is Pending")
	server := s.plane.Component(controlplane.APIServer)
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	rows.err.expect(t, "cannot reach the API server")
	rows.err.expect(t, "; trying again")
	tty.expect(t, "; trying again")
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.createSoon(t, undecided(2))
	rows.out.expect(t, "old-0002")
	tty.expect(t, "old-0002")
	operatortest.Eventually(t, "the first is deleted", func(ctx context.Context) error {
		return client.IgnoreNotFound(s.admin.Delete(ctx, ended(1)))
	})
	if code := end(); code != 10 || !strings.Contains(waits.text(), "shop/old-0001 was deleted") {
		t.Errorf("who waited ends with %d:\n%s", code, waits.text())
	}
	rows.out.expect(t, "shop/old-0001 deleted")
	rows.stop(t, "old-0002")
	tty.send(t, "\x03")
	if code := live(); code != 0 {
		t.Errorf("the table ends with %d", code)
	}
}

// testShortWatches has watches end, as they do after a while.
func testShortWatches(t *testing.T, s *shop) {
	s.watchAnew(t, 3, func(*http.Response, int32) error { return nil })
}

// expired is what a server sends whose history does not go back as far as a watch asks.
const expired = `{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","status":"Failure","message":"too old resource version","reason":"Expired","code":410}}` + "\n"

func testExpiredVersion(t *testing.T, s *shop) {
	s.watchAnew(t, 4, func(answer *http.Response, watch int32) error {
		if watch > 2 {
			return nil
		}
		if err := answer.Body.Close(); err != nil {
			return err
		}
		answer.Body = io.NopCloser(strings.NewReader(expired))
		return nil
	})
}

// watchAnew goes on until three watches have begun, whose answers are changed, and then has a request come, the next of a
// number. All are shown, and nothing is complained of.
func (s *shop) watchAnew(t *testing.T, next int, change func(answer *http.Response, watch int32) error) {
	t.Helper()
	var watches atomic.Int32
	rows := s.startWatching(t, s.through(t, func(answer *http.Response) error {
		if answer.Request.URL.Query().Get("watch") == "" {
			return nil
		}
		return change(answer, watches.Add(1))
	}))
	operatortest.Eventually(t, "three watches have begun", func(context.Context) error {
		if n := watches.Load(); n < 3 {
			return fmt.Errorf("there were %d", n)
		}
		return nil
	})
	s.createSoon(t, undecided(next))
	var shown []string
	for i := 2; i <= next; i++ {
		shown = append(shown, fmt.Sprintf("old-%04d", i))
	}
	rows.out.expect(t, shown[len(shown)-1])
	rows.stop(t, shown...)
	if text := rows.err.String(); text != "" {
		t.Errorf("it complains: %s", text)
	}
}

package main_test

import (
	"net"
	"os"
	"strings"
	"testing"

	"github.com/countersign-dev/countersign/hack/controlplane"
)

// TestFailures is what people see of a cluster that does not answer as it should.
func TestFailures(t *testing.T) {
	bare, err := controlplane.Start(t.Context(), controlplane.Options{})
	if err != nil {
		t.Fatal(err)
	}
	admin := bare.Kubeconfig("admin")
	text, err := os.ReadFile(admin)
	if err != nil {
		t.Fatal(err)
	}
	nobody, gone := t.TempDir()+"/nobody.yaml", t.TempDir()+"/gone.yaml"
	stranger := strings.NewReplacer("client-certificate-data", "ignored-certificate", "client-key-data", "ignored-key",
		"client-certificate:", "ignored-certificate:", "client-key:", "ignored-key:").Replace(string(text))
	if err := os.WriteFile(nobody, []byte(stranger), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(gone, text, 0o600); err != nil { // stopping the plane removes the other
		t.Fatal(err)
	}
	show := func(file, kubeconfig string, args ...string) {
		t.Helper()
		golden(t, "failures/"+file, transcript(run(t, kubeconfig, args...), args...))
	}
	show("not-installed", admin, "list")
	show("not-installed-show", admin, "show", "web")
	show("not-installed-watch", admin, "watch", "-A")
	show("not-installed-doctor", admin, "doctor")
	show("not-installed-windows", admin, "windows")
	show("not-installed-can-i", admin, "can-i", "delete", "deploy/web", "--as", "system:serviceaccount:ci:deploy-bot")
	show("not-installed-explain", admin, "explain", "last")
	show("not-installed-wait", admin, "wait", "web")
	show("not-installed-approve", admin, "approve", "web", "--yes")
	show("not-installed-request", admin, "request", "tonight", "--task", "shop/restarts")
	show("wrong-token", nobody, "list", "--token", "nobody")
	if err := bare.Stop(); err != nil {
		t.Fatal(err)
	}
	show("unreachable", gone, "list")
	wantUnreachable(t, gone)
	show("no-kubeconfig", "", "list")
	show("no-such-context", gone, "list", "--context", "elsewhere")
	silent, err := net.Listen("tcp", "127.0.0.1:0") // it takes connections, and never answers
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	got := run(t, "", "list", "--server", "https://"+silent.Addr().String(), "--request-timeout", "1s")
	golden(t, "failures/silent", transcript(got, "list", "--request-timeout", "1s"))
}

// wantUnreachable wants one sentence of every command that asks a server which is not there, and no answer that looks like one.
func wantUnreachable(t *testing.T, kubeconfig string) {
	t.Helper()
	for _, args := range [][]string{
		{"show", "web"}, {"watch"}, {"wait", "web"}, {"approve", "web", "--yes"}, {"deny", "web", "--yes"}, {"revoke", "web", "--yes"},
		{"request", "tonight", "--task", "shop/restarts"}, {"request", "-f", "testdata/policytest/cluster.yaml"}, {"doctor"}, {"windows"},
		{"can-i", "delete", "deploy/web", "--as", "system:serviceaccount:ci:deploy-bot"}, {"explain", "last"}, {"list", "--mine"},
	} {
		got := run(t, kubeconfig, args...)
		if got.out != "" || got.code == 0 || strings.Count(got.err, "\n") != 1 || !strings.HasPrefix(got.err, "error: ") ||
			!strings.Contains(got.err, "cannot reach the API server at https://127.0.0.1:") {
			t.Errorf("%v ends with %d and says %s%s", args, got.code, got.out, got.err)
		}
	}
}

package main_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/countersign-dev/countersign/hack/controlplane"
)

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	controlplane.Main(m, controlplane.Options{})
}

var built struct {
	sync.Once
	path string
	err  error
}

// plugin builds the binary once in a test process, with a version that golden files can hold.
func plugin(tb testing.TB) string {
	tb.Helper()
	built.Do(func() {
		dir, err := os.MkdirTemp("", "countersign-bin-") //nolint:usetesting // it outlives the test that builds first
		if err != nil {
			built.err = err
			return
		}
		built.path = filepath.Join(dir, "kubectl-countersign")
		build := exec.Command("go", "build", "-ldflags", "-X main.version=v0.0.0-test", "-o", built.path, ".")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if output, err := build.CombinedOutput(); err != nil {
			built.err = fmt.Errorf("building the plugin: %w\n%s", err, output)
		}
	})
	if built.err != nil {
		tb.Fatal(built.err)
	}
	return built.path
}

// result is what a person sees of a command.
type result struct {
	out, err string
	code     int
}

// run runs the built plugin with the kubeconfig of somebody; with "" there is none. No terminal is attached.
func run(tb testing.TB, kubeconfig string, args ...string) result {
	tb.Helper()
	command := exec.CommandContext(tb.Context(), plugin(tb), args...)
	command.Env = environment(tb, kubeconfig)
	var out, errOut bytes.Buffer
	command.Stdout, command.Stderr = &out, &errOut
	var exit *exec.ExitError
	if err := command.Run(); err != nil && !errors.As(err, &exit) {
		tb.Fatalf("running kubectl countersign %s: %v", strings.Join(args, " "), err)
	}
	return result{out: out.String(), err: errOut.String(), code: command.ProcessState.ExitCode()}
}

// environment is a bare one, so that nothing of the machine shows.
func environment(tb testing.TB, kubeconfig string) []string {
	tb.Helper()
	if kubeconfig == "" {
		kubeconfig = filepath.Join(tb.TempDir(), "none")
	}
	return []string{
		"HOME=/nonexistent", "PATH=" + os.Getenv("PATH"), "KUBECONFIG=" + kubeconfig, "TERM=xterm", "NO_COLOR=" + os.Getenv("NO_COLOR"),
	}
}

// golden compares a text with a file below testdata, which UPDATE_GOLDEN=1 writes.
func golden(tb testing.TB, name, got string) {
	tb.Helper()
	path := filepath.Join("testdata", name+".golden")
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			tb.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			tb.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		tb.Errorf("the output differs from %s; set UPDATE_GOLDEN=1 to write it (-want +got):\n%s", path, diff)
	}
}

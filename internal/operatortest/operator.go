// Package operatortest runs the real operator binary against a control plane, for tests that go through the API
// server.
package operatortest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

// Operator is one running process of the operator.
type Operator struct {
	// URL is where the API server reaches it, and Port where it listens.
	URL  string
	Port int
	// Probes is the address of its health endpoints, such as 127.0.0.1:8081.
	Probes string
	// Log holds its log and Decisions its decision log.
	Log, Decisions string

	command *exec.Cmd
	ended   chan struct{}
}

// Start builds the operator, runs it against the cluster of a kubeconfig at a free port of loopback, and waits until
// it is ready. It is stopped when the test ends.
func Start(tb testing.TB, kubeconfig string, flags ...string) *Operator {
	tb.Helper()
	port := FreePort(tb)
	certs := filepath.Join(tb.TempDir(), "certs")
	o := launch(tb, kubeconfig, "https://"+loopback(port), port, append([]string{"--cert-dir", certs}, flags...))
	tb.Cleanup(func() {
		o.askToStop(tb)
		o.waitStopped(tb)
		cleanUp(tb, kubeconfig)
	})
	o.waitReady(tb)
	return o
}

// launch runs a process with logs of its own, which the caller has to stop.
func launch(tb testing.TB, kubeconfig, url string, port int, flags []string) *Operator {
	tb.Helper()
	dir := tb.TempDir()
	o := &Operator{
		URL: url, Port: port, Probes: loopback(FreePort(tb)), ended: make(chan struct{}),
		Log: filepath.Join(dir, "operator.log"), Decisions: filepath.Join(dir, "decisions.jsonl"),
	}
	o.run(tb, append([]string{
		"--kubeconfig", kubeconfig, "--webhook-url", url, "--webhook-port", strconv.Itoa(port),
		"--health-probe-bind-address", o.Probes, "--decision-log", o.Decisions,
	}, flags...))
	return o
}

func loopback(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

// cleanUp deletes the webhook configurations, which would send requests to a process that is gone.
func cleanUp(tb testing.TB, kubeconfig string) {
	tb.Helper()
	if output, err := exec.Command(Binary(tb), "cleanup", "--kubeconfig", kubeconfig).CombinedOutput(); err != nil {
		tb.Errorf("cleaning up: %v\n%s", err, output)
	}
}

func (o *Operator) run(tb testing.TB, args []string) {
	tb.Helper()
	log, err := os.Create(o.Log)
	if err != nil {
		tb.Fatal(err)
	}
	o.command = exec.Command(Binary(tb), args...)
	o.command.Stdout, o.command.Stderr = log, log
	if err := o.command.Start(); err != nil {
		tb.Fatalf("starting the operator: %v", err)
	}
	go func() {
		defer close(o.ended)
		var exit *exec.ExitError
		if err := o.command.Wait(); err != nil && !errors.As(err, &exit) {
			fmt.Fprintln(log, "waiting for the operator:", err)
		}
		log.Close()
	}()
}

// waitReady waits until it says that it serves and has read the policies.
func (o *Operator) waitReady(tb testing.TB) {
	tb.Helper()
	err := wait.PollUntilContextTimeout(tb.Context(), 50*time.Millisecond, 30*time.Second, true, func(ctx context.Context) (bool, error) {
		select {
		case <-o.ended:
			return false, errors.New("it ended")
		default:
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+o.Probes+"/readyz", nil)
		if err != nil {
			return false, fmt.Errorf("asking for its health: %w", err)
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			return false, nil //nolint:nilerr // not yet
		}
		return answer.StatusCode == http.StatusOK, answer.Body.Close()
	})
	if err != nil {
		tb.Fatalf("waiting for the operator: %v\n%s", err, o.LogText(tb))
	}
}

// Kill ends the process at once, as a crash would.
func (o *Operator) Kill() error {
	err := o.command.Process.Kill()
	<-o.ended
	return err
}

func (o *Operator) askToStop(tb testing.TB) {
	tb.Helper()
	if err := o.command.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		tb.Errorf("stopping the operator: %v", err)
	}
}

func (o *Operator) waitStopped(tb testing.TB) {
	tb.Helper()
	<-o.ended
	if tb.Failed() {
		tb.Logf("log of the operator:\n%s", o.LogText(tb))
	}
}

// PeakMemory is the most memory that the process has had resident, in MiB.
func (o *Operator) PeakMemory(tb testing.TB) int {
	tb.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", o.command.Process.Pid))
	if err != nil {
		tb.Fatalf("reading the state of the operator: %v", err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, found := strings.CutPrefix(line, "VmHWM:"); found {
			kilobytes, err := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")))
			if err != nil {
				tb.Fatalf("reading the state of the operator: %v", err)
			}
			return kilobytes >> 10
		}
	}
	tb.Fatal("the state of the operator does not tell its memory")
	return 0
}

// LogText is the operator's log.
func (o *Operator) LogText(tb testing.TB) string {
	tb.Helper()
	text, err := os.ReadFile(o.Log)
	if err != nil {
		tb.Errorf("reading the operator's log: %v", err)
	}
	return string(text)
}

// DecisionLines are the lines of the decision log that contain a text.
func (o *Operator) DecisionLines(tb testing.TB, containing string) []string {
	tb.Helper()
	text, err := os.ReadFile(o.Decisions)
	if err != nil {
		tb.Fatalf("reading the decision log: %v", err)
	}
	var lines []string
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, containing) {
			lines = append(lines, line)
		}
	}
	return lines
}

var built struct {
	sync.Once
	path string
	err  error
}

// Binary builds the operator once in a test process and returns its path. The go command's cache makes that cheap.
func Binary(tb testing.TB) string {
	tb.Helper()
	built.Do(func() {
		sweep()
		dir, err := os.MkdirTemp("", "countersign-bin-") //nolint:usetesting // it outlives the test that builds first
		if err != nil {
			built.err = err
			return
		}
		built.path = filepath.Join(dir, "countersign")
		var output bytes.Buffer
		build := exec.Command("go", "build", "-o", built.path, "github.com/countersign-dev/countersign")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		build.Stdout, build.Stderr = &output, &output
		if err := build.Run(); err != nil {
			built.err = fmt.Errorf("building the operator: %w\n%s", err, output.String())
		}
	})
	if built.err != nil {
		tb.Fatal(built.err)
	}
	return built.path
}

// sweep removes binaries of test processes that ended long ago: none knows when it is the last to use its own.
func sweep() {
	old, err := filepath.Glob(filepath.Join(os.TempDir(), "countersign-bin-*"))
	if err != nil {
		return // the pattern is well-formed
	}
	for _, dir := range old {
		if info, err := os.Stat(dir); err == nil && time.Since(info.ModTime()) > time.Hour {
			_ = os.RemoveAll(dir) // the next sweep tries again
		}
	}
}

// FreePort asks the system for a port that nobody listens on.
func FreePort(tb testing.TB) int {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

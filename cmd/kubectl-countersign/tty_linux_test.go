package main_test

import (
	"errors"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// tty is a terminal that a test looks at.
type tty struct {
	// master is the side of who looks, slave that of the program.
	master, slave *os.File

	mu   sync.Mutex
	seen strings.Builder
	more chan struct{}
}

// newTTY makes a terminal of so many columns.
func newTTY(t *testing.T, columns uint16) *tty {
	t.Helper()
	master, slave := openTerminal(t, columns)
	return &tty{master: master, slave: slave, more: make(chan struct{}, 1)}
}

// start runs the plugin on the terminal, and returns what waits for its exit code.
func (w *tty) start(t *testing.T, kubeconfig string, args ...string) (wait func() int) {
	t.Helper()
	command := exec.CommandContext(t.Context(), plugin(t), args...)
	command.Env = environment(t, kubeconfig)
	command.Stdin, command.Stdout, command.Stderr = w.slave, w.slave, w.slave
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	return w.run(t, command)
}

// run starts a command that has the terminal, and returns what waits for its exit code.
func (w *tty) run(t *testing.T, command *exec.Cmd) (wait func() int) {
	t.Helper()
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	w.slave.Close()
	read := make(chan struct{})
	go func() {
		defer close(read)
		buffer := make([]byte, 4096)
		for {
			n, err := w.master.Read(buffer)
			w.mu.Lock()
			w.seen.Write(buffer[:n])
			w.mu.Unlock()
			select {
			case w.more <- struct{}{}:
			default:
			}
			if err != nil {
				return
			}
		}
	}()
	return func() int {
		var exit *exec.ExitError
		if err := command.Wait(); err != nil && !errors.As(err, &exit) {
			t.Errorf("waiting for the plugin: %v", err)
		}
		<-read
		return command.ProcessState.ExitCode()
	}
}

// text is all that was written so far.
func (w *tty) text() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seen.String()
}

// expect waits until a text was written.
func (w *tty) expect(t *testing.T, text string) {
	t.Helper()
	late := time.After(30 * time.Second)
	for !strings.Contains(w.text(), text) {
		select {
		case <-w.more:
		case <-late:
			t.Fatalf("waiting for %q; there is:\n%s", text, w.text())
		}
	}
}

// send types something.
func (w *tty) send(t *testing.T, text string) {
	t.Helper()
	if _, err := w.master.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

// escapes are the sequences for colours.
var escapes = regexp.MustCompile("\x1b\\[[0-9;]*m")

// visible writes the sequences for colours as text.
func visible(text string) string { return strings.ReplaceAll(text, "\x1b", "␛") }

// show runs the plugin on a terminal of so many columns, and returns what stands there then.
func show(t *testing.T, columns uint16, kubeconfig string, args ...string) string {
	t.Helper()
	return showCode(t, 0, columns, kubeconfig, args...)
}

// showFailing does so for a command that ends with 1.
func showFailing(t *testing.T, columns uint16, kubeconfig string, args ...string) string {
	t.Helper()
	return showCode(t, 1, columns, kubeconfig, args...)
}

func showCode(t *testing.T, want int, columns uint16, kubeconfig string, args ...string) string {
	t.Helper()
	w := newTTY(t, columns)
	if code := w.start(t, kubeconfig, args...)(); code != want {
		t.Errorf("it ends with %d:\n%s", code, w.text())
	}
	return strings.ReplaceAll(w.text(), "\r\n", "\n")
}

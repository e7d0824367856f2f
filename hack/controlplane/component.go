package controlplane

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// readyTimeout bounds the wait for one component; a loaded machine with two
	// cores needs a few seconds, so this only ends what would never be ready.
	readyTimeout = 2 * time.Minute
	stopTimeout  = 10 * time.Second
	portAttempts = 5
)

// Component is one process of the plane. It keeps its name, ports and flags when
// it is stopped and started again.
type Component struct {
	name   string
	binary string
	dir    string // of the plane
	detach bool   // let it outlive this process
	nPorts int
	flags  func() []string
	env    []string
	ready  func(context.Context) error

	ports []int

	mu   sync.Mutex
	proc *process
}

// process is one run of a component.
type process struct {
	cmd  *exec.Cmd
	done chan struct{}
	err  error // valid once done is closed
}

// Name is the name of the binary, such as kube-apiserver, with a number from the
// second of a kind on, such as kube-apiserver-2.
func (c *Component) Name() string { return c.name }

// LogFile is where every run of the component appends what it prints.
func (c *Component) LogFile() string { return filepath.Join(c.dir, "logs", c.name+".log") }

// launch starts the component on ports that are free now, and on others if
// another process took one of them in between.
func (c *Component) launch(ctx context.Context) error {
	var err error
	for range portAttempts {
		if c.ports, err = freePorts(c.nPorts); err != nil {
			return err
		}
		if err = c.Start(ctx); err == nil || !strings.Contains(err.Error(), "address already in use") {
			return err
		}
	}
	return err
}

// Start starts a stopped component and waits until it is ready.
func (c *Component) Start(ctx context.Context) error {
	proc, err := c.spawn()
	if err != nil {
		return fmt.Errorf("starting %s: %w", c.name, err)
	}
	if err := c.waitReady(ctx, proc); err != nil {
		_ = proc.end(os.Kill, 0)
		return fmt.Errorf("starting %s: %w\n%s", c.name, err, c.logTail())
	}
	return nil
}

// Stop asks the component to stop, and kills it if it does not within a bound.
func (c *Component) Stop() error { return c.end(syscall.SIGTERM, stopTimeout) }

// Kill ends the component without a chance to finish anything.
func (c *Component) Kill() error { return c.end(os.Kill, 0) }

// Restart stops the component and waits until its next run is ready.
func (c *Component) Restart(ctx context.Context) error {
	if err := c.Stop(); err != nil {
		return err
	}
	return c.Start(ctx)
}

// Pause freezes the component: connections stay open and nothing answers. It
// returns when every thread has stopped, which the signal alone does not wait for.
func (c *Component) Pause() error {
	if err := c.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	proc := c.current()
	if proc == nil {
		return fmt.Errorf("pausing %s: %w", c.name, os.ErrProcessDone)
	}
	return waitStopped(proc.cmd.Process.Pid)
}

// Resume continues a paused component.
func (c *Component) Resume() error { return c.Signal(syscall.SIGCONT) }

// Signal sends a signal to the running process.
func (c *Component) Signal(sig os.Signal) error {
	proc := c.current()
	if proc == nil {
		return fmt.Errorf("signalling %s: %w", c.name, os.ErrProcessDone)
	}
	if err := proc.cmd.Process.Signal(sig); err != nil {
		return fmt.Errorf("signalling %s: %w", c.name, err)
	}
	return nil
}

// Running says whether the process lives; a paused one does.
func (c *Component) Running() bool { return c.current() != nil }

func (c *Component) current() *process {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.proc == nil || c.proc.ended() {
		return nil
	}
	return c.proc
}

func (c *Component) end(sig os.Signal, grace time.Duration) error {
	proc := c.current()
	if proc == nil {
		return nil
	}
	if err := proc.end(sig, grace); err != nil {
		return fmt.Errorf("stopping %s: %w", c.name, err)
	}
	return nil
}

func (c *Component) spawn() (*process, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.proc != nil && !c.proc.ended() {
		return nil, errors.New("it is running already")
	}
	log, err := os.OpenFile(c.LogFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()

	// The plane ends its components; the context of a start must not.
	cmd := exec.CommandContext(context.Background(), c.binary, c.flags()...)
	cmd.Dir = c.dir
	cmd.Env = append(os.Environ(), c.env...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = processAttributes(c.detach)
	proc, err := run(cmd)
	if err == nil {
		c.proc = proc
	}
	return proc, err
}

// run starts the command and waits for it on a thread of its own. The kernel
// kills the child when the thread that started it ends, not the process: a
// goroutine that starts a component and then loses its thread would take the
// component with it.
func run(cmd *exec.Cmd) (*process, error) {
	proc := &process{cmd: cmd, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			proc.err = cmd.Wait()
			close(proc.done)
		}
	}()
	return proc, <-started
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

func (p *process) end(sig os.Signal, grace time.Duration) error {
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	if sig != os.Kill {
		// A paused process sees no other signal until it continues.
		_ = p.cmd.Process.Signal(syscall.SIGCONT)
		select {
		case <-p.done:
			return nil
		case <-time.After(grace):
			_ = p.cmd.Process.Kill()
		}
	}
	<-p.done
	return nil
}

func (c *Component) waitReady(ctx context.Context, proc *process) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	last := errors.New("not asked yet")
	for {
		attempt, done := context.WithTimeout(ctx, 5*time.Second)
		err := c.ready(attempt)
		done()
		if err == nil {
			return nil
		}
		if ctx.Err() == nil {
			last = err
		}
		select {
		case <-proc.done:
			return fmt.Errorf("the process ended: %w", errors.Join(proc.err, last))
		case <-ctx.Done():
			return fmt.Errorf("waiting until it is ready: %w (last answer: %w)", ctx.Err(), last)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (c *Component) logTail() string {
	data, err := os.ReadFile(c.LogFile())
	if err != nil {
		return ""
	}
	return fmt.Sprintf("last lines of %s:\n%s", c.LogFile(), lastLines(data, 15))
}

func lastLines(data []byte, n int) string {
	lines := bytes.Split(bytes.TrimRight(data, "\n"), []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-n):], []byte("\n")))
}

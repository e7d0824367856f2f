package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"time"
)

// replica is one process of the operator.
type replica struct {
	name string
	// webhook, probes and metrics are addresses.
	webhook, probes, metrics string
	// log is its log, decisions its decision log.
	log, decisions string
	command        *exec.Cmd
	done           chan struct{}
}

// launch starts a replica with the arguments of the chart's Deployment and what differs outside of a pod.
func (s *stage) launch(binary string, env ...string) (*replica, error) {
	s.launched++
	dir, err := os.MkdirTemp(s.bench.dir, fmt.Sprintf("%s-%d-", s.bench.report.drill.name, s.launched))
	if err != nil {
		return nil, fmt.Errorf("making a directory for a replica: %w", err)
	}
	r := &replica{
		name: filepath.Base(dir), done: make(chan struct{}),
		log: filepath.Join(dir, "operator.log"), decisions: filepath.Join(dir, "decisions.jsonl"),
	}
	for _, address := range []*string{&r.webhook, &r.probes, &r.metrics} {
		if *address, err = freeAddress(); err != nil {
			return nil, err
		}
	}
	_, port, err := net.SplitHostPort(r.webhook)
	if err != nil {
		return nil, fmt.Errorf("finding a port: %w", err)
	}
	r.command = exec.Command(binary, append(slices.Clone(s.args),
		"--kubeconfig="+s.operatorKubeconfig, "--cert-dir="+filepath.Join(dir, "certificates"),
		"--webhook-port="+port, "--health-probe-bind-address="+r.probes, "--metrics-bind-address="+r.metrics,
		"--decision-log="+r.decisions)...)
	r.command.Env = append(os.Environ(), env...)
	r.command.SysProcAttr = attributes()
	if err := r.start(); err != nil {
		return nil, err
	}
	s.replicas = append(s.replicas, r)
	return r, nil
}

// start runs the process on a thread that lives as long: the kernel ends a child with the thread that started it.
func (r *replica) start() error {
	log, err := os.Create(r.log)
	if err != nil {
		return fmt.Errorf("opening the log of a replica: %w", err)
	}
	r.command.Stdout, r.command.Stderr = log, log
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(r.done)
		defer func() { _ = log.Close() }()
		err := r.command.Start()
		started <- err
		if err == nil {
			_ = r.command.Wait() // how it ends is the drill's affair
		}
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("starting the operator: %w", err)
	}
	return nil
}

func (r *replica) ready(ctx context.Context) error { return get(ctx, "http://"+r.probes+"/readyz") }

func (r *replica) waitReady(ctx context.Context) error {
	err := wait(ctx, "a replica is ready", time.Minute, func(ctx context.Context) error {
		if r.ended() {
			return errors.New("it has ended")
		}
		return r.ready(ctx)
	})
	if err != nil {
		return fmt.Errorf("%w\n%s", err, r.tail())
	}
	return nil
}

func (r *replica) ended() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

// kill ends it as a crash would.
func (r *replica) kill() {
	_ = r.command.Process.Kill() // it may have ended
	<-r.done
}

// terminate asks it to stop and waits for that, as a kubelet does.
func (r *replica) terminate(ctx context.Context) error {
	if err := r.command.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("asking a replica to stop: %w", err)
	}
	select {
	case <-r.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(45 * time.Second):
		return errors.New("a replica does not stop within its grace period")
	}
}

// memory is its resident memory in MiB.
func (r *replica) memory() (float64, error) {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", r.command.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("reading the memory of a replica: %w", err)
	}
	var kib int64
	_, rest, found := bytes.Cut(content, []byte("VmRSS:"))
	if !found {
		return 0, errors.New("reading the memory of a replica: it is not told")
	}
	if _, err := fmt.Sscan(string(rest), &kib); err != nil {
		return 0, fmt.Errorf("reading the memory of a replica: %w", err)
	}
	return float64(kib) / 1024, nil
}

// tail is the end of its log.
func (r *replica) tail() string {
	text, err := os.ReadFile(r.log)
	if err != nil {
		return ""
	}
	return string(text[max(0, len(text)-2000):])
}

// The control plane takes the ports from 20000 on. Those above are what the kernel gives to outgoing connections, of which
// the load makes many: one of them would take a port between the moment it is found and the moment it is used.
const firstPort, ports = 12000, 8000

// freeAddress is an address of loopback that nobody listens on.
func freeAddress() (string, error) {
	var last error
	for range 100 {
		address := fmt.Sprintf("127.0.0.1:%d", firstPort+rand.IntN(ports))
		l, err := net.Listen("tcp", address)
		if err != nil {
			last = err
			continue
		}
		return address, l.Close()
	}
	return "", fmt.Errorf("finding a free port: %w", last)
}

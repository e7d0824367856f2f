package testbed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/countersign-dev/countersign/hack/measure"
)

// Replica is one process of the operator.
type Replica struct {
	// Name is unique within a run.
	Name string
	// Webhook, probes and Metrics are addresses.
	Webhook, probes, Metrics string
	// Log is the file of its log, Decisions that of its decision log.
	Log, Decisions string
	// profiles says where its profiles come from and go to; nil: none are wanted.
	profiles *profiles
	command  *exec.Cmd
	done     chan struct{}
}

// Launch starts a replica with the arguments of the chart's Deployment and what differs outside of a pod.
func (s *Testbed) Launch(binary string, env ...string) (*Replica, error) {
	s.launched++
	dir, err := os.MkdirTemp(s.Run.Dir, fmt.Sprintf("%s-%d-", s.Run.Report.Name, s.launched))
	if err != nil {
		return nil, fmt.Errorf("making a directory for a replica: %w", err)
	}
	r := &Replica{
		Name: filepath.Base(dir), done: make(chan struct{}),
		Log: filepath.Join(dir, "operator.log"), Decisions: filepath.Join(dir, "decisions.jsonl"),
	}
	for _, address := range []*string{&r.Webhook, &r.probes, &r.Metrics} {
		if *address, err = FreeAddress(); err != nil {
			return nil, err
		}
	}
	_, port, err := net.SplitHostPort(r.Webhook)
	if err != nil {
		return nil, fmt.Errorf("finding a port: %w", err)
	}
	r.command = exec.Command(binary, append(slices.Clone(s.args),
		"--kubeconfig="+s.operatorKubeconfig, "--cert-dir="+filepath.Join(dir, "certificates"),
		"--webhook-port="+port, "--health-probe-bind-address="+r.probes, "--metrics-bind-address="+r.Metrics,
		"--decision-log="+r.Decisions)...)
	if r.profiles, err = newProfiles(s.Run); err != nil {
		return nil, err
	}
	r.command.Args = append(r.command.Args, r.profiles.args()...)
	if s.direct {
		r.command.Args = append(r.command.Args, "--webhook-url=https://"+r.Webhook)
	}
	r.command.Env = append(os.Environ(), env...)
	if err := r.start(); err != nil {
		return nil, err
	}
	s.Replicas = append(s.Replicas, r)
	return r, nil
}

func (r *Replica) start() error {
	log, err := os.Create(r.Log)
	if err != nil {
		return fmt.Errorf("opening the log of a replica: %w", err)
	}
	r.command.Stdout, r.command.Stderr = log, log
	err = StartChild(r.command, func() {
		_ = log.Close()
		close(r.done)
	})
	if err != nil {
		return fmt.Errorf("starting the operator: %w", err)
	}
	return nil
}

func (r *Replica) ready(ctx context.Context) error { return get(ctx, "http://"+r.probes+"/readyz") }

// WaitReady waits until its readiness probe succeeds.
func (r *Replica) WaitReady(ctx context.Context) error {
	err := measure.Wait(ctx, "a replica is ready", time.Minute, func(ctx context.Context) error {
		if r.Ended() {
			return errors.New("it has ended")
		}
		return r.ready(ctx)
	})
	if err != nil {
		return fmt.Errorf("%w\n%s", err, r.Tail())
	}
	return nil
}

// Ended says whether the process has ended.
func (r *Replica) Ended() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

// Kill ends it as a crash would.
func (r *Replica) Kill() {
	_ = r.command.Process.Kill() // it may have ended
	<-r.done
}

// Terminate asks it to stop and waits for that, as a kubelet does.
func (r *Replica) Terminate(ctx context.Context) error {
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

// Memory is its resident memory in MiB.
func (r *Replica) Memory() (float64, error) { return r.memory("VmRSS:") }

// PeakMemory is the most memory that it has had resident, in MiB.
func (r *Replica) PeakMemory() (float64, error) { return r.memory("VmHWM:") }

func (r *Replica) memory(field string) (float64, error) {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", r.command.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("reading the memory of a replica: %w", err)
	}
	var kib int64
	_, rest, found := bytes.Cut(content, []byte(field))
	if !found {
		return 0, errors.New("reading the memory of a replica: it is not told")
	}
	if _, err := fmt.Sscan(string(rest), &kib); err != nil {
		return 0, fmt.Errorf("reading the memory of a replica: %w", err)
	}
	return float64(kib) / 1024, nil
}

// ticks is how many there are to a second in which Linux counts processor time, on all architectures.
const ticks = 100

// ProcessorTime is what it has used so far. Its own metrics say so as well, but gathering them is work: there are three for each
// policy.
func (r *Replica) ProcessorTime() (time.Duration, error) {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", r.command.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("reading the processor time of a replica: %w", err)
	}
	fields := strings.Fields(string(content[bytes.LastIndexByte(content, ')')+1:]))
	const user, system = 14 - 3, 15 - 3 // as proc_pid_stat(5) numbers them, from 1; the first two are cut off
	var sum int64
	for _, i := range []int{user, system} {
		if i >= len(fields) {
			return 0, errors.New("reading the processor time of a replica: it is not told")
		}
		n, err := strconv.ParseInt(fields[i], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("reading the processor time of a replica: %w", err)
		}
		sum += n
	}
	return time.Duration(sum) * time.Second / ticks, nil
}

// Tail is the end of its log.
func (r *Replica) Tail() string {
	text, err := os.ReadFile(r.Log)
	if err != nil {
		return ""
	}
	return string(text[max(0, len(text)-2000):])
}

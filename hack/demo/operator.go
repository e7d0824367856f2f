package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// operator runs Countersign beside the cluster. The nodes of the story run no containers.
type operator struct {
	stage *stage
	// webhook and probe are ports.
	webhook, probe int
	process        *exec.Cmd
	done           chan struct{}
}

func newOperator(s *stage) (*operator, error) {
	webhook, err := freePort(0)
	if err != nil {
		return nil, err
	}
	probe, err := freePort(webhook)
	if err != nil {
		return nil, err
	}
	return &operator{stage: s, webhook: webhook, probe: probe}, nil
}

// Files of the operator in the directory of the story.
const (
	operatorLog = "operator.log"
	decisionLog = "decisions.jsonl"
)

// line is the command that starts the operator; the flags about the release are those of the chart.
func (o *operator) line() string {
	return fmt.Sprintf(`countersign --webhook-url=https://127.0.0.1:%d --cert-dir=certificates \
    --namespace=%s --owner-cluster-role=countersign-anchor \
    --health-probe-bind-address=127.0.0.1:%d \
    --decision-log=%s 2>>%s`,
		o.webhook, namespace, o.probe, decisionLog, operatorLog)
}

// start runs the operator and waits until it says that it is ready.
func (o *operator) start(ctx context.Context) error {
	// The process outlives the step that starts it.
	command, err := o.stage.command(context.WithoutCancel(ctx), theOperator, "exec "+o.line())
	if err != nil {
		return err
	}
	command.SysProcAttr = attributes()
	if err := o.run(command); err != nil {
		return fmt.Errorf("starting the operator: %w", err)
	}
	for !o.ready(ctx) {
		select {
		case <-o.done:
			return errors.New("the operator ended")
		case <-ctx.Done():
			return fmt.Errorf("waiting until the operator is ready: %w", ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
	return nil
}

// run starts the process on a thread that lives as long: the kernel ends a child with the thread that started it.
func (o *operator) run(command *exec.Cmd) error {
	started, done := make(chan error), make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(done)
		err := command.Start()
		started <- err
		if err == nil {
			_ = command.Wait()
		}
	}()
	o.process, o.done = command, done
	return <-started
}

func (o *operator) ready(ctx context.Context) bool {
	url := fmt.Sprintf("http://127.0.0.1:%d/readyz", o.probe)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	defer response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// stop ends the operator as a kubelet would.
func (o *operator) stop(ctx context.Context) error {
	if o.process == nil || o.process.Process == nil {
		return nil
	}
	_ = o.process.Process.Signal(syscall.SIGTERM)
	select {
	case <-o.done:
	case <-ctx.Done():
		_ = o.process.Process.Kill()
	case <-time.After(10 * time.Second):
		_ = o.process.Process.Kill()
	}
	<-o.done
	return nil
}

// tail is the end of the operator's log, for a story that went wrong.
func (o *operator) tail() string {
	log, err := os.ReadFile(filepath.Join(o.stage.dir, operatorLog))
	if err != nil || len(log) == 0 {
		return ""
	}
	lines := strings.Split(strings.TrimRight(string(log), "\n"), "\n")
	lines = lines[max(0, len(lines)-tailLines):]
	for i, line := range lines {
		lines[i] = line[:min(len(line), tailWidth)]
	}
	return "\nLast lines of the operator's log:\n" + strings.Join(lines, "\n")
}

// Size of what is shown of the log; its lines have stack traces.
const tailLines, tailWidth = 15, 300

package controlplane

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

var (
	buildFlags = []string{"-trimpath"}
	// buildEnv shields the build from the caller's settings: the binaries must run
	// on this machine and come from the pinned go.sum alone.
	buildEnv = []string{"CGO_ENABLED=0", "GOOS=", "GOARCH=", "GOWORK=off", "GOFLAGS=-mod=readonly"}
)

func goOutput(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), buildEnv...)
	// An interrupted go command stops its compilers; a killed one leaves them.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("running go %s: %w\n%s", args[0], err, lastLines(stderr.Bytes(), 20))
	}
	return strings.TrimSpace(stdout.String()), nil
}

// progress shows one build of maybe minutes: what it is, that it is alive, and
// how long it took.
type progress struct {
	out   io.Writer
	label string
}

func (p progress) run(estimate time.Duration, work func() error) error {
	p.line("… about %s on two cores, less if Go has built parts of it before", estimate)
	start := time.Now()
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(30 * time.Second)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				p.line("… %s", time.Since(start).Round(time.Second))
			case <-quit:
				return
			}
		}
	}()
	err := work()
	close(quit)
	<-done
	if err == nil {
		p.line("done in %s", time.Since(start).Round(time.Second))
	}
	return err
}

func (p progress) line(format string, args ...any) {
	_, _ = fmt.Fprintf(p.out, p.label+" "+format+"\n", args...)
}

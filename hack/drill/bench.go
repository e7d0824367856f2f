package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/countersign-dev/countersign/hack/controlplane"
)

// bench is what all drills share: the operator's binary, and where results are shown.
type bench struct {
	screen io.Writer
	pace   float64
	// root is the checkout, dir holds what is built and written.
	root, dir string
	binary    string
	report    *report
	loadAvg   string
	// kubernetes is the version that the drills run on.
	kubernetes string
}

func (b *bench) prepare(ctx context.Context) error {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	path := strings.TrimSpace(string(out))
	if err != nil || filepath.Base(path) != "go.mod" {
		return fmt.Errorf("finding the checkout: run the drills inside of it: %w", err)
	}
	b.root, b.loadAvg = filepath.Dir(path), loadAverage()
	if b.dir, err = os.MkdirTemp("", "countersign-drill-"); err != nil {
		return fmt.Errorf("making a directory: %w", err)
	}
	b.binary = filepath.Join(b.dir, "countersign")
	if err := b.build(ctx, b.binary); err != nil {
		return err
	}
	binaries, err := controlplane.Ensure(ctx, b.screen)
	b.kubernetes = binaries.Kubernetes
	return err
}

// build builds the operator as make does, with further build tags for drills that need another one.
func (b *bench) build(ctx context.Context, path string, tags ...string) error {
	command := exec.CommandContext(ctx, "go", "build", "-trimpath", "-tags", strings.Join(tags, ","),
		"-ldflags", "-s -w -X main.version=drill", "-o", path, ".")
	command.Dir = b.root
	command.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=", "GOARCH=")
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("building the operator: %w\n%s", err, out)
	}
	return nil
}

// close leaves what was written where something failed, for its logs.
func (b *bench) close(held bool) {
	if b.dir == "" {
		return
	}
	if !held {
		fmt.Fprintln(b.screen, "Logs of the operator are in", b.dir)
		return
	}
	_ = os.RemoveAll(b.dir) // it is below the system's temporary directory
}

// carryOut plays one drill and shows what came of it.
func (b *bench) carryOut(ctx context.Context, d drill) *report {
	r := &report{drill: d}
	b.report = r
	fmt.Fprintf(b.screen, "\n%s: %s\n", d.name, d.title)
	began := time.Now()
	r.err = d.plays(ctx, b)
	r.took = time.Since(began)
	if r.setting != "" {
		row(b.screen, "    ", "under", r.setting)
	}
	r.print(b.screen)
	row(b.screen, "    ", "took", r.took.Round(time.Second).String())
	return r
}

// phase is a span of a drill at the pace of this run.
func (b *bench) phase(whole time.Duration) time.Duration {
	return max(time.Duration(float64(whole)*b.pace), time.Second)
}

// rounds is how often a drill repeats itself at the pace of this run.
func (b *bench) rounds(whole int) int { return max(1, int(float64(whole)*b.pace+.5)) }

// machine says what the drills ran on.
func (b *bench) machine() string {
	return fmt.Sprintf("%d cores, %s/%s, %s, load average %s when they began; Kubernetes %s; etcd does not wait for the disk",
		runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, memory(), b.loadAvg, b.kubernetes)
}

// memory says how much the machine has.
func memory() string {
	content, err := os.ReadFile("/proc/meminfo")
	var kib int64
	if err == nil {
		_, err = fmt.Sscanf(string(content), "MemTotal: %d kB", &kib)
	}
	if err != nil {
		return "memory unknown"
	}
	return fmt.Sprintf("%d GiB of memory", (kib+(1<<19))>>20)
}

// loadAverage is that of the last minute.
func loadAverage() string {
	content, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	one, _, _ := strings.Cut(string(content), " ")
	return one
}

// wait waits for a condition, up to a bound that only a defect reaches.
func wait(ctx context.Context, what string, bound time.Duration, condition func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	last := errors.New("not asked yet")
	for {
		err := condition(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting until %s: %w: %w", what, ctx.Err(), last)
		case <-ticker.C:
		}
	}
}

// pause lets a phase pass.
func pause(ctx context.Context, span time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(span):
		return nil
	}
}

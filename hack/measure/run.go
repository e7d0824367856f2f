package measure

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/countersign-dev/countersign/hack/controlplane"
)

// Experiment is something that is carried out on one machine, and measured.
type Experiment struct {
	// Name is what it is chosen by, Title says it in words.
	Name, Title string
	// Plays carries it out: it fills in the report, and returns an error where it could not be carried out.
	Plays func(context.Context, *Run) error
}

// Run is what all experiments of a command share.
type Run struct {
	// Screen is where results are shown.
	Screen io.Writer
	pace   float64
	// Root is the checkout, Dir holds what is built and written.
	Root, Dir string
	// Binary is the operator, built for this run.
	Binary string
	// Profiles is the directory for profiles of the operator's memory; empty: none are taken.
	Profiles string
	// Report is that of the experiment that is carried out.
	Report  *Report
	loadAvg string
	// kubernetes is the version that they run on.
	kubernetes string
}

func (b *Run) prepare(ctx context.Context) error {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	path := strings.TrimSpace(string(out))
	if err != nil || filepath.Base(path) != "go.mod" {
		return fmt.Errorf("finding the checkout: run this inside of it: %w", err)
	}
	b.Root, b.loadAvg = filepath.Dir(path), loadAverage()
	if b.Dir, err = os.MkdirTemp("", "countersign-measure-"); err != nil {
		return fmt.Errorf("making a directory: %w", err)
	}
	b.Binary = filepath.Join(b.Dir, "countersign")
	if err := b.Build(ctx, b.Binary); err != nil {
		return err
	}
	binaries, err := controlplane.Ensure(ctx, b.Screen)
	b.kubernetes = binaries.Kubernetes
	return err
}

// Build builds the operator as make does, with further build tags for what needs another one.
func (b *Run) Build(ctx context.Context, path string, tags ...string) error {
	command := exec.CommandContext(ctx, "go", "build", "-trimpath", "-tags", strings.Join(tags, ","),
		"-ldflags", "-s -w -X main.version=measured", "-o", path, ".")
	command.Dir = b.Root
	command.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=", "GOARCH=")
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("building the operator: %w\n%s", err, out)
	}
	return nil
}

// close leaves what was written where something failed, for its logs.
func (b *Run) close(held bool) {
	if b.Dir == "" {
		return
	}
	if !held {
		fmt.Fprintln(b.Screen, "Logs of the operator are in", b.Dir)
		return
	}
	_ = os.RemoveAll(b.Dir) // it is below the system's temporary directory
}

// play carries out one experiment and shows what came of it.
func (b *Run) play(ctx context.Context, e Experiment) *Report {
	r := &Report{Name: e.Name, title: e.Title}
	b.Report = r
	fmt.Fprintf(b.Screen, "\n%s: %s\n", e.Name, e.Title)
	began := time.Now()
	r.err = e.Plays(ctx, b)
	r.took = time.Since(began)
	if r.setting != "" {
		row(b.Screen, "    ", "under", r.setting)
	}
	r.print(b.Screen)
	row(b.Screen, "    ", "took", r.took.Round(time.Second).String())
	return r
}

// Phase is a span of an experiment at the pace of this run. It is not cut to less than a second.
func (b *Run) Phase(whole time.Duration) time.Duration {
	return max(time.Duration(float64(whole)*b.pace), min(whole, time.Second))
}

// Rounds is how often an experiment repeats itself at the pace of this run.
func (b *Run) Rounds(whole int) int { return max(1, int(float64(whole)*b.pace+.5)) }

// Largest is how large an experiment makes something at the pace of this run that is so large in a whole one: the points of a
// curve beyond it are left out.
func (b *Run) Largest(whole int) int {
	if b.pace >= 1 {
		return whole
	}
	return int(float64(whole) * b.pace)
}

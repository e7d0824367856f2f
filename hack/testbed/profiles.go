package testbed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"

	"github.com/countersign-dev/countersign/hack/measure"
)

// profiles are those of the memory of one replica. Nil: none are wanted.
type profiles struct {
	// address serves them, dir is where they are written.
	address, dir string
}

func newProfiles(run *measure.Run) (*profiles, error) {
	if run.Profiles == "" {
		return nil, nil
	}
	address, err := FreeAddress()
	return &profiles{address: address, dir: run.Profiles}, err
}

// args are the arguments by which a replica serves them.
func (p *profiles) args() []string {
	if p == nil {
		return nil
	}
	return []string{"--pprof-bind-address=" + p.address}
}

// Profile writes down what the heap of a replica holds and what its pages are, if that is wanted. Garbage is not collected for
// it: what was measured is to be seen, not what could be.
func (r *Replica) Profile(ctx context.Context, name string) error {
	if r.profiles == nil {
		return nil
	}
	heap, err := r.profiles.heap(ctx)
	if err != nil {
		return fmt.Errorf("taking a profile: %w", err)
	}
	pages, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", r.command.Process.Pid))
	if err != nil {
		return fmt.Errorf("reading what the pages of a replica are: %w", err)
	}
	metrics, err := r.ReadMetrics(ctx)
	if err != nil {
		return err
	}
	for _, series := range []string{"go_memstats_heap_inuse_bytes", "go_memstats_heap_idle_bytes", "go_memstats_heap_released_bytes",
		"go_memstats_heap_alloc_bytes", "go_memstats_stack_inuse_bytes", "go_memstats_next_gc_bytes", "go_goroutines"} {
		pages = fmt.Appendf(pages, "%s %.0f\n", series, metrics.Sum(series))
	}
	if err := os.MkdirAll(r.profiles.dir, 0o700); err != nil {
		return fmt.Errorf("making the directory of profiles: %w", err)
	}
	path := filepath.Join(r.profiles.dir, name)
	return errors.Join(os.WriteFile(path+".pprof", heap, 0o600), os.WriteFile(path+".memory", pages, 0o600))
}

func (p *profiles) heap(ctx context.Context) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.address+"/debug/pprof/heap", nil)
	if err != nil {
		return nil, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return nil, errors.New(answer.Status)
	}
	return io.ReadAll(answer.Body)
}

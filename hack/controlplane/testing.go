package controlplane

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"testing"
)

// shared is the plane of a test package. Tests of one package run in one process,
// so that one variable is enough.
var shared struct {
	sync.Mutex
	start func() (*Plane, error)
	plane *Plane
	err   error
}

// Main runs the tests of a package and stops the plane they shared. When tests
// fail the work directory stays, for its logs. Call it from TestMain.
func Main(m *testing.M, opts Options) {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	shared.Lock()
	shared.start = func() (*Plane, error) { return Start(ctx, opts) }
	shared.Unlock()

	finished := make(chan struct{})
	go func() {
		select {
		case <-ctx.Done():
			select {
			case <-finished: // the context ends then as well
			default:
				os.Exit(stopShared(1))
			}
		case <-finished:
		}
	}()
	code := m.Run()
	close(finished)
	cancel()
	os.Exit(stopShared(code))
}

// Shared returns the plane of the test package and starts it for the first test
// that asks. It never skips: what needs a cluster is always tested on a real one.
func Shared(tb testing.TB) *Plane {
	tb.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.start == nil {
		tb.Fatal("the test package has no TestMain that calls controlplane.Main")
	}
	if shared.plane == nil && shared.err == nil {
		shared.plane, shared.err = shared.start()
	}
	if shared.err != nil {
		tb.Fatal(shared.err)
	}
	return shared.plane
}

// stopShared returns the exit code: that of the tests, or 1 if stopping fails.
func stopShared(code int) int {
	shared.Lock()
	defer shared.Unlock()
	if shared.plane == nil {
		return code
	}
	if code != 0 {
		shared.plane.KeepWorkDir()
		fmt.Fprintln(os.Stderr, "Logs of the control plane are in", shared.plane.workDir)
	}
	if err := shared.plane.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

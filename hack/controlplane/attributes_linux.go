package controlplane

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

// processAttributes gives a component a process group of its own, so that Ctrl-C
// reaches only this process, which then stops the plane. The kernel kills the
// component should this process die without doing so.
func processAttributes(detach bool) *syscall.SysProcAttr {
	if detach {
		return &syscall.SysProcAttr{Setsid: true}
	}
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// waitStopped waits until every thread of a process is stopped, by /proc (proc(5)).
func waitStopped(pid int) error {
	threads := fmt.Sprintf("/proc/%d/task/*/stat", pid)
	err := wait.PollUntilContextTimeout(context.Background(), time.Millisecond, stopTimeout, true,
		func(context.Context) (bool, error) { return allStopped(threads) })
	if err != nil {
		return fmt.Errorf("waiting until process %d has stopped: %w", pid, err)
	}
	return nil
}

func allStopped(threads string) (bool, error) {
	files, err := filepath.Glob(threads)
	if err != nil || len(files) == 0 {
		return false, os.ErrProcessDone
	}
	for _, file := range files {
		stat, err := os.ReadFile(file)
		if err != nil {
			return false, nil //nolint:nilerr // the thread has ended since, look again
		}
		// The state is the first field behind the name, which stands in brackets and may hold any character.
		_, state, _ := bytes.Cut(stat[bytes.LastIndexByte(stat, ')'):], []byte(" "))
		if len(state) == 0 || state[0] != 'T' {
			return false, nil
		}
	}
	return true, nil
}

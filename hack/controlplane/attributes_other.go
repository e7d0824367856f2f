//go:build !linux

package controlplane

import "syscall"

// processAttributes leaves a component in the process group of this process:
// where the kernel does not kill it with its parent, at least Ctrl-C reaches it.
func processAttributes(detach bool) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setsid: detach}
}

// waitStopped does not wait where there is no /proc: the signal takes effect soon.
func waitStopped(int) error { return nil }

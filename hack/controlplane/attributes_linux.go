package controlplane

import "syscall"

// processAttributes gives a component a process group of its own, so that Ctrl-C
// reaches only this process, which then stops the plane. The kernel kills the
// component should this process die without doing so.
func processAttributes(detach bool) *syscall.SysProcAttr {
	if detach {
		return &syscall.SysProcAttr{Setsid: true}
	}
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

package testbed

import "syscall"

// attributes give the operator a process group of its own, so that Ctrl-C reaches only the demo, which then stops it.
// The kernel kills it should the demo die without doing so.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

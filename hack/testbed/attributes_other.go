//go:build !linux

package testbed

import "syscall"

// attributes leave the operator in the process group of the demo: where the kernel does not kill it with its parent,
// at least Ctrl-C reaches it.
func attributes() *syscall.SysProcAttr { return nil }

package testbed

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os/exec"
	"runtime"
)

// StartChild starts a process that does not outlive this one, and calls a function when it has ended. It is started on a
// thread that lives as long: the kernel ends a child with the thread that started it.
func StartChild(command *exec.Cmd, ended func()) error {
	command.SysProcAttr = attributes()
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer ended()
		err := command.Start()
		started <- err
		if err == nil {
			_ = command.Wait() // how it ends is its caller's affair
		}
	}()
	return <-started
}

// The control plane takes the ports from 20000 on. Those above are what the kernel gives to outgoing connections, of which
// the load makes many: one of them would take a port between the moment it is found and the moment it is used.
const firstPort, ports = 12000, 8000

// FreeAddress is an address of loopback that nobody listens on.
func FreeAddress() (string, error) {
	var last error
	for range 100 {
		address := fmt.Sprintf("127.0.0.1:%d", firstPort+rand.IntN(ports))
		l, err := net.Listen("tcp", address)
		if err != nil {
			last = err
			continue
		}
		return address, l.Close()
	}
	return "", fmt.Errorf("finding a free port: %w", last)
}

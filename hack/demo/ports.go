package main

import (
	"fmt"
	"math/rand/v2"
	"net"
)

// The control plane takes the ports from 20000 on.
const firstPort, ports = 12000, 8000

// freePort is a port that is free now and not the other one. It is below those that the kernel gives to outgoing
// connections: the operator is stopped and started in the story, and must find its port free again.
func freePort(other int) (int, error) {
	var last error
	for range 100 {
		port := firstPort + rand.IntN(ports)
		listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			last = err
			continue
		}
		if err := listener.Close(); err != nil || port != other {
			return port, err
		}
	}
	return 0, fmt.Errorf("finding a free port: %w", last)
}

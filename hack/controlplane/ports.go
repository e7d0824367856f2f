package controlplane

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
)

// Ports come from below the range the kernel gives to outgoing connections:
// a component that is stopped for a while must find its port free again.
const firstPort, lastPort = 20000, 29999

var (
	portsMu   sync.Mutex
	portsUsed = map[int]bool{} // by this process, also while a component is stopped
)

func freePorts(n int) ([]int, error) {
	portsMu.Lock()
	defer portsMu.Unlock()
	var ports []int
	for attempts := 0; len(ports) < n; attempts++ {
		if attempts == 1000 {
			return nil, errors.New("finding free ports: none found")
		}
		port := firstPort + rand.IntN(lastPort-firstPort+1)
		if portsUsed[port] || !portFree(port) {
			continue
		}
		portsUsed[port] = true
		ports = append(ports, port)
	}
	return ports, nil
}

func portFree(port int) bool {
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return false
	}
	return l.Close() == nil
}

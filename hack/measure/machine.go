package measure

import (
	"fmt"
	"os"
	"runtime"
	"strings"
)

// machine says what it was carried out on.
func (b *Run) machine() string {
	return fmt.Sprintf("%d cores, %s/%s, %s, load average %s when they began; Kubernetes %s; etcd does not wait for the disk",
		runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, memory(), b.loadAvg, b.kubernetes)
}

// memory says how much the machine has.
func memory() string {
	content, err := os.ReadFile("/proc/meminfo")
	var kib int64
	if err == nil {
		_, err = fmt.Sscanf(string(content), "MemTotal: %d kB", &kib)
	}
	if err != nil {
		return "memory unknown"
	}
	return fmt.Sprintf("%d GiB of memory", (kib+(1<<19))>>20)
}

// loadAverage is that of the last minute.
func loadAverage() string {
	content, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	one, _, _ := strings.Cut(string(content), " ")
	return one
}

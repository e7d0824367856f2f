package main

import (
	"math"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
)

const (
	// collectAt is how much the heap grows, in percent, before garbage is collected. The runtime's default of 100 has the process
	// hold twice what it needs.
	collectAt = 50
	// usable is how much of the memory that a container may have the runtime is to keep to, in percent. The rest is for what it
	// does not count: the binary, and pages of files.
	usable = 85
)

// boundMemory bounds what garbage takes, and has the runtime keep to the limit of the container, if there is one. $GOGC and
// $GOMEMLIMIT win.
func boundMemory() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(collectAt)
	}
	if limit, ok := containerLimit("/sys/fs/cgroup/memory.max"); ok && os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(limit / 100 * usable)
	}
}

// containerLimit reads the limit of a control group (version 2), in bytes. It is false where there is none, or another version.
func containerLimit(file string) (int64, bool) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, false
	}
	limit, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	return limit, err == nil && limit > 0 && limit < math.MaxInt64
}

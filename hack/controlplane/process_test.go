package controlplane

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// parentVariable makes the test binary play a process that has a component.
const parentVariable = "CONTROLPLANE_TEST_PARENT"

// TestProcessesDieWithTheParent kills a parent that has no chance to stop what
// it has started, as a test binary that times out.
func TestProcessesDieWithTheParent(t *testing.T) {
	if os.Getenv(parentVariable) != "" {
		playParent()
	}
	if runtime.GOOS != "linux" {
		t.Skip("only the kernel of Linux ends a process with its parent")
	}
	parent := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestProcessesDieWithTheParent$")
	parent.Env = append(os.Environ(), parentVariable+"=1")
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, 0); err != nil {
		t.Fatalf("the component ended before its parent: %v", err)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	for deadline := time.Now().Add(10 * time.Second); alive(pid); {
		if time.Now().After(deadline) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
			t.Fatal("the component outlives its parent")
		}
		<-time.After(10 * time.Millisecond)
	}
}

// playParent starts a component from a thread that ends at once, prints its
// process id when it has survived that, and waits to be killed.
func playParent() {
	pids := make(chan int)
	go func() {
		runtime.LockOSThread() // a goroutine that ends locked takes its thread along
		cmd := exec.Command("sleep", "600")
		cmd.SysProcAttr = processAttributes(false)
		if _, err := run(cmd); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		pids <- cmd.Process.Pid
	}()
	pid := <-pids
	<-time.After(300 * time.Millisecond)
	if alive(pid) {
		fmt.Println(pid)
	}
	<-time.After(time.Minute)
	os.Exit(1)
}

// alive is false for a zombie, which nobody may be there to collect.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

func TestEndKillsWhatDoesNotStop(t *testing.T) {
	tests := map[string]struct {
		command string
		grace   time.Duration
	}{
		"stops":  {"sleep 600", time.Minute},
		"paused": {"kill -STOP $$; exec sleep 600", time.Minute},
		"deaf":   {"trap '' TERM; while :; do sleep 1; done", 500 * time.Millisecond},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command("sh", "-c", tc.command)
			cmd.SysProcAttr = processAttributes(false)
			proc, err := run(cmd)
			if err != nil {
				t.Fatal(err)
			}
			<-time.After(200 * time.Millisecond) // until the shell has come to it
			if err := proc.end(syscall.SIGTERM, tc.grace); err != nil {
				t.Fatal(err)
			}
			if !proc.ended() || alive(cmd.Process.Pid) {
				t.Error("the process has not ended")
			}
		})
	}
}

package main_test

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestFirstAnswer measures how long it takes until the first byte of what each command says can be read, process start
// included: the table in docs/plugin.md. It asserts no times, which are the machine's, and runs only when it is asked to.
func TestFirstAnswer(t *testing.T) {
	if os.Getenv("MEASURE") == "" {
		t.Skip("MEASURE=1 measures how long commands take until their first byte")
	}
	s := newShop(t)
	s.clear(t)
	web, other := s.ask(t, "measured"), s.ask(t, "measured-too")
	if got := s.as(t, "ann", "approve", other.Name, "--yes"); got.code != 0 {
		t.Fatal(got.err)
	}
	s.wait(t, "shop", other.Name, "Approved")
	file := manifest(t, deployment("measured", "nginx:1.30"))
	agent := "system:serviceaccount:ci:deploy-bot"
	var table strings.Builder
	for _, m := range []struct {
		who  string
		args []string
	}{
		{"ann", []string{"version"}},
		{"ann", []string{"list", "--help"}},
		{"ann", []string{"list", "-n", "shop"}},
		{"ann", []string{"list", "--mine", "-n", "shop"}},
		{"ann", []string{"show", web.Name, "-n", "shop"}},
		{"ann", []string{"watch", "-n", "shop"}},
		{"deploy-bot", []string{"wait", other.Name, "-n", "shop"}},
		{"ann", []string{"approve", web.Name, "-n", "shop", "--yes", "--dry-run=server"}},
		{"ann", []string{"deny", web.Name, "-n", "shop", "--yes", "--dry-run=server"}},
		{"ann", []string{"revoke", other.Name, "-n", "shop", "--yes", "--dry-run=server"}},
		{"on-call-bot", []string{"request", "-f", file, "-n", "shop", "--force-conflicts"}},
		{"admin", []string{"can-i", "scale", "deploy/measured", "--replicas", "3", "-n", "shop", "--as", agent}},
		{"admin", []string{"explain", web.Name, "-n", "shop"}},
		{"admin", []string{"windows"}},
		{"admin", []string{"test", "testdata/policytest/passing.yaml"}},
		{"admin", []string{"doctor", "--operator-namespace", "default"}},
		{"ann", []string{"__complete", "approve", "-n", "shop", ""}},
	} {
		var first, whole []time.Duration
		for range 15 {
			f, w := s.firstByte(t, m.who, m.args)
			first, whole = append(first, f), append(whole, w)
		}
		slices.Sort(first)
		slices.Sort(whole)
		fmt.Fprintf(&table, "| `%s` | %d | %d | %d | %d |\n", strings.ReplaceAll(stable(strings.Join(m.args, " ")), file, "new.yaml"),
			first[0].Milliseconds(), first[7].Milliseconds(), first[13].Milliseconds(), whole[7].Milliseconds())
	}
	load, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("load average %s\n| Command | fastest | median | p90 | all of it, median |\n%s", load, table.String())
}

// firstByte is how long it takes until something is said, and until the command ends: one that goes on is ended.
func (s *shop) firstByte(t *testing.T, who string, args []string) (first, whole time.Duration) {
	t.Helper()
	command := exec.CommandContext(t.Context(), plugin(t), args...)
	command.Env = environment(t, s.kubeconfigs[who])
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	command.Stdout, command.Stderr = write, write
	began := time.Now()
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	if err := write.Close(); err != nil {
		t.Fatal(err)
	}
	head := make([]byte, 256)
	n, err := read.Read(head)
	if err != nil {
		t.Fatalf("%v says nothing: %v", args, err)
	}
	first = time.Since(began)
	if strings.HasPrefix(string(head[:n]), "error") {
		t.Fatalf("%v fails: %s", args, head[:n])
	}
	if args[0] == "watch" {
		if err := command.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := io.Copy(io.Discard, read); err != nil {
		t.Fatal(err)
	}
	_ = command.Wait() // some end with a code that says what they found
	return first, time.Since(began)
}

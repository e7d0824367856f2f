package main_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/operatortest"
)

// testTerminals looks at the same on terminals of several widths, with colours and without.
func testTerminals(t *testing.T, s *shop) {
	web := s.ask(t, "a-longer-name-of-a-deployment")
	justification := "web hangs since 21:40, and the on-call engineer has asked for the image of yesterday to be rolled out again"
	patch := []byte(`{"spec":{"justification":"` + justification + `"}}`)
	if err := s.bot.Patch(t.Context(), web.DeepCopy(), client.RawPatch("application/merge-patch+json", patch)); err != nil {
		t.Fatal(err)
	}
	for _, columns := range []uint16{40, 80, 120, 200} {
		for name, args := range map[string][]string{
			"list": {"list", "-n", "shop"}, "everywhere": {"list", "-A"}, "show": {"show", web.Name, "-n", "shop"}, "help": {"list", "--help"},
		} {
			text := show(t, columns, s.kubeconfigs["ann"], args...)
			golden(t, fmt.Sprintf("terminal/%s-%d", name, columns), visible(stable(text)))
			if columns < 80 || name == "help" {
				continue
			}
			for line := range strings.Lines(escapes.ReplaceAllString(text, "")) {
				if len([]rune(strings.TrimSuffix(line, "\n"))) > int(columns) {
					t.Errorf("%s is wider than %d columns: %s", name, columns, line)
				}
			}
		}
	}
	t.Setenv("NO_COLOR", "1")
	if text := show(t, 80, s.kubeconfigs["ann"], "show", web.Name, "-n", "shop"); strings.Contains(text, "\x1b") {
		t.Errorf("with NO_COLOR there are colours: %q", text)
	}
}

func testWatch(t *testing.T, s *shop) {
	web := s.ask(t, "watched")
	// Rows for a program.
	watching := exec.Command(plugin(t), "watch", "-n", "shop")
	watching.Env = environment(t, s.kubeconfigs["ann"])
	var out lockedBuffer
	watching.Stdout, watching.Stderr = &out, &out
	if err := watching.Start(); err != nil {
		t.Fatal(err)
	}
	out.expect(t, "Pending")
	// A table for a person.
	tty := newTTY(t, 100)
	live := tty.start(t, s.kubeconfigs["ann"], "watch", "-n", "shop")
	tty.expect(t, "Pending")
	s.as(t, "ann", "approve", web.Name, "--yes")
	out.expect(t, "Approved")
	tty.expect(t, "Approved")
	if err := s.admin.Delete(t.Context(), web); err != nil {
		t.Fatal(err)
	}
	out.expect(t, "deleted")
	tty.expect(t, "No requests or approvals in namespace shop.")
	tty.send(t, "\x03")
	if code := live(); code != 0 || !strings.HasSuffix(tty.text(), "\x1b[?25h\x1b[?1049l") {
		t.Errorf("Ctrl-C ends the table with %d, and leaves %q", code, tty.text()[max(0, len(tty.text())-40):])
	}
	if err := watching.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := watching.Wait(); err != nil {
		t.Errorf("Ctrl-C ends the rows with %v", err)
	}
	golden(t, "watch/rows", stable(out.String()))
}

// testMany has thousands of rows, and measures the first answer.
func testMany(t *testing.T, s *shop) {
	const many = 2000
	var group errgroup.Group
	group.SetLimit(16)
	for i := range many {
		group.Go(func() error { return s.admin.Create(context.Background(), ended(i)) })
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	web := s.ask(t, "among-many")
	got := s.as(t, "ann", "list")
	if lines := strings.Count(got.out, "\n"); got.code != 0 || lines != many+2 {
		t.Errorf("%d lines are shown, want %d: %s", lines, many+2, got.err)
	}
	if got := s.as(t, "ann", "list", "--pending", "-o", "name"); got.out != "actionapproval.countersign.dev/"+web.Name+"\n" {
		t.Errorf("pending is %s%s", got.out, got.err)
	}
	t.Logf("list of %d: %s, of which the first page %s; list --mine: %s; show: %s", many, fastest(t, s, "list"), s.firstRow(t), fastest(t, s, "list", "--mine"), fastest(t, s, "show", web.Name))
	s.clear(t)
	operatortest.Eventually(t, "all are gone", func(ctx context.Context) error {
		var list v1alpha1.ActionApprovalList
		return s.admin.List(ctx, &list, client.InNamespace("shop"))
	})
	if took := fastest(t, s, "list"); took > 300*time.Millisecond {
		t.Errorf("an empty list takes %s", took)
	}
}

// fastest is the shortest time of some runs: what other programs on the machine take is not the plugin's.
func fastest(t *testing.T, s *shop, args ...string) time.Duration {
	t.Helper()
	var took []time.Duration
	for range 5 {
		began := time.Now()
		s.as(t, "ann", args...)
		took = append(took, time.Since(began).Round(time.Millisecond))
	}
	return slices.Min(took)
}

// firstRow is how long it takes until the first row of a list stands there.
func (s *shop) firstRow(t *testing.T) time.Duration {
	t.Helper()
	var took []time.Duration
	for range 5 {
		command := exec.CommandContext(t.Context(), plugin(t), "list", "-n", "shop")
		command.Env = environment(t, s.kubeconfigs["ann"])
		out, err := command.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := out.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		took = append(took, time.Since(began).Round(time.Millisecond))
		if _, err := io.Copy(io.Discard, out); err != nil {
			t.Fatal(err)
		}
		if err := command.Wait(); err != nil {
			t.Fatal(err)
		}
	}
	return slices.Min(took)
}

// ended is a request for a run that nobody needs any more.
func ended(i int) *v1alpha1.ActionApproval {
	return &v1alpha1.ActionApproval{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: fmt.Sprintf("old-%04d", i)},
		Spec: v1alpha1.ActionApprovalSpec{
			Requester: v1alpha1.Requester{Username: "system:serviceaccount:ci:deploy-bot", UID: "u"},
			Task:      &v1alpha1.RequestedTask{Policy: "shop-deploy-bot", Name: "restart-pods", MaxActions: 1},
		},
	}
}

// lockedBuffer is written by a process and read by a test.
type lockedBuffer struct {
	mu sync.Mutex
	// text is no embedded field: its other methods would be found, and do not lock.
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func (b *lockedBuffer) expect(t *testing.T, text string) {
	t.Helper()
	operatortest.Eventually(t, text+" is written", func(context.Context) error {
		if got := b.String(); !strings.Contains(got, text) {
			return fmt.Errorf("there is %s", got)
		}
		return nil
	})
}

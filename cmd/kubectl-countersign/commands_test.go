package main_test

import (
	"context"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/operatortest"
)

// TestCommands runs the built binary against a real API server with the operator.
func TestCommands(t *testing.T) {
	s := newShop(t)
	for _, sub := range []struct {
		name string
		run  func(*testing.T, *shop)
	}{
		{"list and show", testListAndShow},
		{"approve", testApprove},
		{"deny and revoke", testDenyAndRevoke},
		{"only what was shown", testOnlyWhatWasShown},
		{"wait", testWait},
		{"request a run", testRequestRun},
		{"request actions", testRequestActions},
		{"completion", testCompletion},
		{"rights", testRights},
		{"terminals", testTerminals},
		{"watch", testWatch},
		{"many", testMany},
		{"wait for other ends", testWaitEnds},
	} {
		t.Run(sub.name, func(t *testing.T) {
			s.clear(t)
			sub.run(t, s)
		})
	}
}

func testListAndShow(t *testing.T, s *shop) {
	s.shows(t, "list/nothing", "ann", "list")
	s.shows(t, "list/nothing-pending", "ann", "list", "--pending", "--mine", "-A")
	web := s.ask(t, "web")
	for file, args := range map[string][]string{
		"pending": {"list"}, "everywhere": {"list", "-A"}, "wide": {"list", "-o", "wide"}, "name": {"list", "-o", "name"},
		"no-headers": {"list", "--no-headers"}, "no-such-form": {"list", "-o", "xml"},
	} {
		s.shows(t, "list/"+file, "ann", args...)
	}
	s.shows(t, "list/mine", "deploy-bot", "list", "--mine")
	if got := s.as(t, "ann", "list", "--mine", "-o", "name"); got.out != "" {
		t.Errorf("ann has asked for nothing, and is shown %s", got.out)
	}
	s.shows(t, "show/pending", "ann", "show", web.Name)
	s.shows(t, "show/missing", "ann", "show", "nobody")
	for form, want := range map[string]string{
		"yaml": "apiVersion: countersign.dev/v1alpha1\nkind: ActionApproval\n", "json": "\"kind\": \"ActionApproval\"",
		"jsonpath={.spec.requester.username}": "system:serviceaccount:ci:deploy-bot", "name": "actionapproval.countersign.dev/" + web.Name,
	} {
		for _, command := range [][]string{{"show", web.Name, "-o", form}, {"list", "-o", strings.Replace(form, "{", "{.items[*]", 1)}} {
			if got := s.as(t, "ann", command...); got.code != 0 || !strings.Contains(strings.ReplaceAll(got.out, "\n  ", "\n"), want) &&
				!strings.Contains(strings.ReplaceAll(got.out, "- apiVersion", "apiVersion"), strings.ReplaceAll(want, "\n", "\n  ")[:10]) {
				t.Errorf("%v prints %s%s, want %s in it", command, got.out, got.err, want)
			}
		}
	}
}

func testApprove(t *testing.T, s *shop) {
	web := s.ask(t, "web")
	s.shows(t, "approve/unasked", "ann", "approve", web.Name)
	s.shows(t, "approve/dry-run", "ann", "approve", web.Name, "--yes", "--dry-run=server")
	if got := s.wait(t, "shop", web.Name, "Pending"); len(got.Spec.Decisions) != 0 {
		t.Fatalf("a dry run recorded %+v", got.Spec.Decisions)
	}
	s.shows(t, "approve/approve", "ann", "approve", web.Name, "--yes", "-m", "see the ticket", "--valid-for", "9h30m")
	s.wait(t, "shop", web.Name, "Approved")
	s.shows(t, "show/approved", "ann", "show", web.Name)
	s.shows(t, "approve/again", "bob", "approve", web.Name, "--yes")
	s.shows(t, "approve/wider", "ann", "approve", web.Name, "--yes", "--valid-for", "24h")
	if err := s.setImage(t.Context(), "web", "nginx:1.29"); err != nil {
		t.Fatal(err)
	}
	s.wait(t, "shop", web.Name, "Spent")
	s.shows(t, "show/spent", "ann", "show", web.Name)
}

func testDenyAndRevoke(t *testing.T, s *shop) {
	db := s.ask(t, "db")
	s.shows(t, "deny/deny", "bob", "deny", db.Name, "--yes", "-m", "not before the audit")
	s.wait(t, "shop", db.Name, "Denied")
	s.shows(t, "deny/show", "ann", "show", db.Name)
	s.shows(t, "deny/too-late", "ann", "approve", db.Name, "--yes")
	s.shows(t, "revoke/denial", "ann", "revoke", db.Name, "--yes")
	again := s.asked(t, func() error { return s.setImage(t.Context(), "db", "nginx:1.29") })
	if again.Name == db.Name {
		t.Fatal("the denial was not lifted")
	}
	s.as(t, "ann", "approve", again.Name, "--yes")
	s.wait(t, "shop", again.Name, "Approved")
	s.shows(t, "revoke/approval", "ann", "revoke", again.Name, "--yes")
	if revoked := s.wait(t, "shop", again.Name, "Revoked"); len(revoked.Spec.Decisions) != 2 {
		t.Errorf("recorded is %+v", revoked.Spec.Decisions)
	}
}

func testWait(t *testing.T, s *shop) {
	web := s.ask(t, "waits")
	s.shows(t, "wait/timeout", "deploy-bot", "wait", web.Name, "--timeout", "1s")
	s.shows(t, "wait/missing", "deploy-bot", "wait", "nobody")
	s.shows(t, "wait/no-goal", "deploy-bot", "wait", web.Name, "--for", "godot")
	waiting := make(chan result, 1)
	go func() { waiting <- s.as(t, "deploy-bot", "wait", web.Name) }()
	s.as(t, "ann", "approve", web.Name, "--yes")
	golden(t, "wait/approved", transcript(<-waiting, "wait", web.Name))
	go func() { waiting <- s.as(t, "deploy-bot", "wait", web.Name, "--for", "ended") }()
	s.as(t, "ann", "revoke", web.Name, "--yes")
	golden(t, "wait/ended", transcript(<-waiting, "wait", web.Name, "--for", "ended"))
	s.shows(t, "wait/revoked", "deploy-bot", "wait", web.Name)
	denied := s.ask(t, "denied")
	s.as(t, "ann", "deny", denied.Name, "--yes")
	s.shows(t, "wait/denied", "deploy-bot", "wait", denied.Name)
	deleted := s.ask(t, "deleted")
	tty := newTTY(t, 80)
	ends := tty.start(t, s.kubeconfigs["deploy-bot"], "wait", deleted.Name, "-n", "shop")
	tty.expect(t, "waiting: shop/"+deleted.Name+" is Pending, until ")
	if err := s.admin.Delete(t.Context(), deleted); err != nil {
		t.Fatal(err)
	}
	if code := ends(); code != 10 || !strings.Contains(tty.text(), "was deleted") {
		t.Errorf("it ends with %d:\n%s", code, tty.text())
	}
}

// testOnlyWhatWasShown changes a request between showing and recording: the plugin is told to go on when it asks.
func testOnlyWhatWasShown(t *testing.T, s *shop) {
	web := s.ask(t, "shown")
	tty := newTTY(t, 120)
	approving := tty.start(t, s.kubeconfigs["ann"], "approve", web.Name, "-n", "shop")
	tty.expect(t, "[y/N]")
	justify := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"justification":"something else"}}`))
	if err := s.bot.Patch(t.Context(), web.DeepCopy(), justify); err != nil {
		t.Fatal(err)
	}
	tty.send(t, "y\n")
	if code := approving(); code != 1 || !strings.Contains(tty.text(), "is not what was shown any more, nothing was recorded") {
		t.Errorf("it ends with %d:\n%s", code, tty.text())
	}
	// What others decide meanwhile is no reason to ask again.
	label := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"seen":"yes"}}}`))
	tty = newTTY(t, 120)
	approving = tty.start(t, s.kubeconfigs["ann"], "approve", web.Name, "-n", "shop")
	tty.expect(t, "[y/N]")
	if err := s.admin.Patch(t.Context(), web.DeepCopy(), label); err != nil {
		t.Fatal(err)
	}
	tty.send(t, "y\n")
	if code := approving(); code != 0 {
		t.Errorf("it ends with %d:\n%s", code, tty.text())
	}
	s.wait(t, "shop", web.Name, "Approved")
	// A no, and Ctrl-C, record nothing.
	no := s.ask(t, "no")
	for answer, want := range map[string]int{"n\n": 1, "\n": 1, "\x03": 130} {
		tty = newTTY(t, 120)
		approving = tty.start(t, s.kubeconfigs["ann"], "approve", no.Name, "-n", "shop")
		tty.expect(t, "[y/N]")
		tty.send(t, answer)
		if code := approving(); code != want {
			t.Errorf("%q ends it with %d, want %d:\n%s", answer, code, want, tty.text())
		}
	}
	if got := s.wait(t, "shop", no.Name, "Pending"); len(got.Spec.Decisions) != 0 {
		t.Errorf("recorded is %+v", got.Spec.Decisions)
	}
}

func testRequestRun(t *testing.T, s *shop) {
	ask := []string{"request", "tonight", "--task", "shop-deploy-bot/restart-pods", "--max-actions", "3", "-m", "web hangs since 21:40"}
	s.shows(t, "request/run", "on-call-bot", ask...)
	run := s.wait(t, "shop", "tonight", "Pending")
	if run.Spec.Task.MaxActions != 3 || run.Spec.Justification != "web hangs since 21:40" {
		t.Errorf("asked is %+v", run.Spec)
	}
	s.shows(t, "request/show-run", "ann", "show", "tonight")
	s.shows(t, "explain/run", "admin", "explain", "tonight", "--at", "2033-11-24T10:00:00+01:00")
	got := s.as(t, "admin", "explain", "last", "--as", "system:serviceaccount:ci:on-call-bot", "-o", "json")
	var told struct {
		Recorded struct {
			Namespace, Where string
			Task             *v1alpha1.RequestedTask
		}
	}
	if err := json.Unmarshal([]byte(got.out), &told); err != nil || told.Recorded.Task == nil || told.Recorded.Task.MaxActions != 3 ||
		told.Recorded.Namespace != "shop" || told.Recorded.Where != "approval shop/tonight" {
		t.Errorf("of the run it tells a program, with %v: %s%s", err, got.out, got.err)
	}
	s.shows(t, "request/run-again", "on-call-bot", "request", "again", "--task", "shop-deploy-bot/restart-pods")
	s.shows(t, "request/no-such-task", "on-call-bot", "request", "again", "--task", "shop-deploy-bot/restart")
	s.shows(t, "request/not-governed", "admin", "request", "again", "--task", "shop-deploy-bot/restart-pods")
	s.shows(t, "request/neither", "on-call-bot", "request")
}

func testRequestActions(t *testing.T, s *shop) {
	s.create(t, deployment("api", "nginx:1.28"))
	file := manifest(t, deployment("api", "nginx:1.29"))
	args := []string{"request", "-f", "new.yaml"}
	ask := func(more ...string) result {
		return s.as(t, "on-call-bot", append([]string{"request", "-f", file, "--force-conflicts"}, more...)...)
	}
	shown := func(name string, r result, more ...string) {
		t.Helper()
		golden(t, "request/"+name, strings.ReplaceAll(transcript(r, append(args, more...)...), file, "new.yaml"))
	}
	shown("dry", ask())
	if got := s.as(t, "ann", "list", "-o", "name"); got.out != "" {
		t.Fatalf("without --send this is open: %s", got.out)
	}
	shown("send", ask("--send", "-m", "fixes the outage"), "--send", "-m", "fixes the outage")
	name := strings.TrimPrefix(strings.Fields(s.as(t, "ann", "list", "-o", "name").out)[0], "actionapproval.countersign.dev/")
	if a := s.wait(t, "shop", name, "Pending"); a.Spec.Justification != "fixes the outage" {
		t.Errorf("the justification is %q", a.Spec.Justification)
	}
	shown("again", ask())
	tty := newTTY(t, 80)
	ends := tty.start(t, s.kubeconfigs["on-call-bot"], "request", "-f", file, "--force-conflicts", "-n", "shop", "--wait")
	tty.expect(t, "waiting: shop/"+name+" is Pending, until ")
	s.as(t, "ann", "approve", name, "--yes")
	if code := ends(); code != 0 || !strings.Contains(tty.text(), "actionapproval.countersign.dev/"+name+" approved") {
		t.Errorf("it ends with %d:\n%s", code, tty.text())
	}
	shown("approved", ask())
	// What was asked for is what kubectl does then.
	kubectl := exec.CommandContext(t.Context(), filepath.Join(s.plane.BinDir(), "kubectl"),
		"apply", "--server-side", "--force-conflicts", "-f", file, "-n", "shop")
	kubectl.Env = environment(t, s.kubeconfigs["on-call-bot"])
	if output, err := kubectl.CombinedOutput(); err != nil {
		t.Errorf("applying: %v\n%s", err, output)
	}
	s.wait(t, "shop", name, "Spent")
	outside := manifest(t, &corev1.ConfigMap{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"}, ObjectMeta: metav1.ObjectMeta{Name: "settings"},
	})
	shown("refused", s.as(t, "on-call-bot", "request", "-f", outside, "--send"), "--send")
}

func testCompletion(t *testing.T, s *shop) {
	s.ask(t, "completed")
	for _, command := range []string{"approve", "revoke", "wait"} {
		args := []string{"__complete", command, "-n", "shop", ""}
		golden(t, "completion/"+command, transcript(run(t, s.kubeconfigs["ann"], args...), args...))
	}
	if got := run(t, s.kubeconfigs["admin"], "__complete", "list", "-n", "sh"); !strings.Contains(got.out, "shop\n") {
		t.Errorf("namespaces are completed to %s", got.out)
	}
	golden(t, "completion/commands", run(t, "", "__complete", "").out)
}

// testRights is what those see who lack rights.
func testRights(t *testing.T, s *shop) {
	web := s.ask(t, "rights")
	s.shows(t, "rights/list", "carl", "list")
	s.shows(t, "rights/show", "carl", "show", web.Name)
	// Two webhooks refuse it, and the API server gives the answer of either.
	own := s.as(t, "deploy-bot", "approve", web.Name, "--yes")
	if own.code != 1 ||
		!strings.Contains(own.err, "only people decide") && !strings.Contains(own.err, "no agent may change Countersign's own objects") {
		t.Errorf("the requester approves, which ends with %d and says %s", own.code, own.out+own.err)
	}
	s.shows(t, "rights/watch", "carl", "watch")
	s.as(t, "ann", "list")
	operatortest.Eventually(t, "nobody has decided", func(ctx context.Context) error {
		a := &v1alpha1.ActionApproval{}
		if err := s.admin.Get(ctx, client.ObjectKeyFromObject(web), a); err != nil {
			return err
		}
		if len(a.Spec.Decisions) != 0 {
			t.Errorf("recorded is %+v", a.Spec.Decisions)
		}
		return nil
	})
}

package main_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/operatortest"
)

const readme = "../../README.md"

// recording is a part of the README: commands of somebody, and what they print.
//
//	<!-- recorded as deploy-bot -->
//
//	    $ kubectl scale ...
//	    Error from server ...
//
//	<!-- /recorded -->
var recording = regexp.MustCompile(`(?s)<!-- recorded as (\S+) -->\n\n(.*?)\n\n<!-- /recorded -->`)

// TestReadme types the commands that stand in the README, with real kubectl, API server and operator, and compares what
// they print; UPDATE_GOLDEN=1 writes it into the README.
func TestReadme(t *testing.T) {
	text, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	s := newShop(t)
	if err := s.admin.Delete(t.Context(), policyObject("shop-deploy-bot")); err != nil { // the README has one of this name
		t.Fatal(err)
	}
	s.clear(t)
	if err := client.IgnoreNotFound(s.admin.Delete(t.Context(), deployment("web", ""))); err != nil { // of another test
		t.Fatal(err)
	}
	s.create(t, deployment("web", "nginx:1.28"))
	operatortest.Eventually(t, "nobody is governed", func(ctx context.Context) error { return s.setImage(ctx, "web", "nginx:1.28") })
	s.grant(t, "countersign-approver", rbacv1.Subject{Kind: "User", Name: "ann"})
	dir := t.TempDir()
	writePolicy(t, dir, string(text))
	t.Cleanup(func() {
		for _, o := range []client.Object{policyObject("shop-deploy-bot"), deployment("web", "")} {
			if err := client.IgnoreNotFound(s.admin.Delete(context.Background(), o)); err != nil {
				t.Error(err)
			}
		}
	})
	got := recording.ReplaceAllStringFunc(string(text), func(part string) string {
		found := recording.FindStringSubmatch(part)
		return fmt.Sprintf("<!-- recorded as %s -->\n\n%s\n\n<!-- /recorded -->", found[1], s.record(t, dir, found[1], found[2]))
	})
	if strings.Count(got, "<!-- recorded as ") < 3 {
		t.Fatal("the README has no recordings")
	}
	got = hashesAsShown(t, got)
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(readme, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(text), got); diff != "" {
		t.Errorf("the README shows something else; set UPDATE_GOLDEN=1 to record it anew (-shown +recorded):\n%s", diff)
	}
}

// zones are where it is day when it is night in others: in one of them the windows of weeknights are closed.
var zones = []string{"Europe/Berlin", "America/New_York", "Asia/Tokyo"}

// writePolicy takes the policy of the README, in a zone where its window is closed for some time to come.
func writePolicy(t *testing.T, dir, text string) {
	t.Helper()
	_, rest, found := strings.Cut(text, "```yaml\n")
	manifest, _, closed := strings.Cut(rest, "```")
	if !found || !closed || !strings.Contains(manifest, "timeZone: "+zones[0]+"\n") {
		t.Fatal("the README has no policy, or in another zone")
	}
	for _, zone := range zones {
		location, err := time.LoadLocation(zone)
		if err != nil {
			t.Fatal(err)
		}
		if hour := time.Now().In(location).Hour(); hour >= 7 && hour < 20 {
			manifest = strings.Replace(manifest, zones[0], zone, 1)
			var p v1alpha1.AgentActionPolicy
			if err := yaml.UnmarshalStrict([]byte(manifest), &p); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "policy.yaml"), []byte(manifest), 0o600); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatal("it is night everywhere")
}

// record types the commands of a recording, and returns it with what they print now.
func (s *shop) record(t *testing.T, dir, who, part string) string {
	t.Helper()
	var b strings.Builder
	for line := range strings.Lines(part) {
		command, typed := strings.CutPrefix(strings.TrimSpace(line), "$ ")
		if !typed {
			continue
		}
		if b.Len() > 0 {
			b.WriteString("\n")
		}
		fmt.Fprintf(&b, "    $ %s\n", command)
		for shown := range strings.Lines(s.typed(t, dir, who, command)) {
			if text := strings.TrimRight(shown, " \n"); text != "" {
				b.WriteString("    " + text)
			}
			b.WriteString("\n")
		}
	}
	return strings.TrimRight(b.String(), "\n")
}

// named are requests whose names commands take.
var named = regexp.MustCompile(`web-[0-9a-hjkmnp-tv-z]{20}`)

// typed types a command on a terminal, as somebody, and yes where it asks. Names of requests are those of this cluster.
func (s *shop) typed(t *testing.T, dir, who, command string) string {
	t.Helper()
	command = named.ReplaceAllStringFunc(command, func(string) string {
		var list v1alpha1.ActionApprovalList
		if err := s.admin.List(t.Context(), &list, client.InNamespace("shop")); err != nil || len(list.Items) != 1 {
			t.Fatalf("of requests there are %d: %v", len(list.Items), err)
		}
		s.wait(t, "shop", list.Items[0].Name, v1alpha1.ReasonPending)
		return list.Items[0].Name
	})
	tty := newTTY(t, 120)
	shell := exec.CommandContext(t.Context(), "sh", "-c", command)
	shell.Dir = dir
	shell.Env = append(environment(t, s.kubeconfigs[who]), "NO_COLOR=1", "HOME="+dir,
		"PATH="+s.plane.BinDir()+":"+filepath.Dir(plugin(t))+":"+os.Getenv("PATH"))
	shell.Stdin, shell.Stdout, shell.Stderr = tty.slave, tty.slave, tty.slave
	shell.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	end := tty.run(t, shell)
	if strings.Contains(command, "countersign approve") {
		tty.expect(t, "[y/N] ")
		tty.send(t, "y\n")
	}
	end()
	return asShown(strings.ReplaceAll(tty.text(), "\r\n", "\n"))
}

// shownTimes are what differs from one recording to the next, beside what stable knows: windows open in another zone on
// another day, and objects have other UIDs, and so hashes. They are shown as they were on a Sunday evening in Berlin.
var shownTimes = []struct {
	pattern *regexp.Regexp
	with    string
}{
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT22:00:00[+-]\d\d:\d\d`), "2026-11-23T22:00:00+01:00"},
	{regexp.MustCompile(`(Mon|Tue|Wed|Thu) \d{4}-\d\d-\d\d 22:00 \w{3}`), "Mon 2026-11-23 22:00 CET"},
	{regexp.MustCompile(`\bin 3h5\dm`), "in 3h59m"},
}

// shownAfter is of what stable takes for one instant, which was later.
var shownAfter = []struct {
	pattern *regexp.Regexp
	with    string
}{
	{regexp.MustCompile(`opensAt=\S+Z`), "opensAt=2026-11-23T21:00:00Z"},
	{regexp.MustCompile(`(?m)^(Until: +)[0-9-]+ [0-9:]+Z`), "${1}2026-11-23 02:00:00Z"},
}

// actionHashes are shown in the place of those of the first and the second action.
var (
	actionHash   = regexp.MustCompile(`v1:[0-9a-f]{64}`)
	actionHashes = []string{
		"v1:25255c34265cc2ae0960dd5c3d9cc722dbf4c53a33a9f670117c3cfb7661e6ab",
		"v1:f781d1aecf95d6c83100b5183986a426c6eec824d7128d6df77081677d444b14",
	}
)

func asShown(text string) string {
	for _, u := range shownTimes {
		text = u.pattern.ReplaceAllString(text, u.with)
	}
	text = named.ReplaceAllString(text, "web-78wgjchsgtvcf83nb0xp")
	text = stable(text)
	for _, u := range shownAfter {
		text = u.pattern.ReplaceAllString(text, u.with)
	}
	return text
}

// hashesAsShown replaces hashes in the order in which they come.
func hashesAsShown(t *testing.T, text string) string {
	t.Helper()
	var seen []string
	return actionHash.ReplaceAllStringFunc(text, func(hash string) string {
		at := slices.Index(seen, hash)
		if at < 0 {
			at, seen = len(seen), append(seen, hash)
		}
		if at >= len(actionHashes) {
			t.Fatal("there are more actions than the README had")
		}
		return actionHashes[at]
	})
}

package webhooks_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

// kubectl runs the real kubectl as somebody, and returns what it prints.
func (s *scene) kubectl(t *testing.T, who *identity, args ...string) (string, error) {
	t.Helper()
	return s.kubectlWith(t, nil, who, args...)
}

func (s *scene) kubectlWith(t *testing.T, env []string, who *identity, args ...string) (string, error) {
	t.Helper()
	c := exec.CommandContext(t.Context(), s.plane.Binaries().Kubectl, append(args, "--namespace", s.namespace)...)
	c.Env = append(append(os.Environ(), "KUBECONFIG="+who.kubeconfig), env...)
	output, err := c.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("kubectl %s: %w\n%s", strings.Join(args, " "), err, output)
	}
	return string(output), err
}

// file writes a manifest for kubectl.
func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "approval.yaml")
	allowed(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// mailbox is a manifest that holds nothing but a verdict.
func (s *scene) mailbox() string {
	return fmt.Sprintf("apiVersion: countersign.dev/v1alpha1\nkind: ActionApproval\nmetadata: {name: %s, namespace: %s}\n"+
		"spec: {decision: {verdict: Approve, comment: fine}}\n", s.request.Name, s.namespace)
}

// whole is the object as kubectl gets it, with a verdict written into it and without some of its metadata.
func (s *scene) whole(t *testing.T, who *identity, without ...string) string {
	t.Helper()
	text, err := s.kubectl(t, who, "get", "aa", s.request.Name, "-o", "yaml")
	allowed(t, err)
	var object map[string]any
	allowed(t, yaml.Unmarshal([]byte(text), &object))
	for _, field := range without {
		delete(object["metadata"].(map[string]any), field)
	}
	object["spec"].(map[string]any)["decision"] = map[string]any{"verdict": "Approve", "comment": "fine"}
	filled, err := yaml.Marshal(object)
	allowed(t, err)
	return string(filled)
}

// editor is a program that writes a verdict into what kubectl edit opens.
func editor(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "editor")
	script := "#!/bin/sh\nexec sed -i 's/^spec:$/spec:\\n  decision: {verdict: Approve, comment: fine}/' \"$1\"\n"
	allowed(t, os.WriteFile(path, []byte(script), 0o700))
	return path
}

// write gives the verdict Approve by one route.
type write = func(s *scene, t *testing.T, who *identity) error

func (s *scene) run(t *testing.T, who *identity, args ...string) error {
	t.Helper()
	_, err := s.kubectl(t, who, args...)
	return err
}

func patched(s *scene, t *testing.T, who *identity) error {
	return s.run(t, who, "patch", "aa", s.request.Name, "--type=merge", "-p", `{"spec":{"decision":{"verdict":"Approve","comment":"fine"}}}`)
}

func edited(s *scene, t *testing.T, who *identity) error {
	_, err := s.kubectlWith(t, []string{"KUBE_EDITOR=" + editor(t)}, who, "edit", "aa", s.request.Name)
	return err
}

func verdictApplied(s *scene, t *testing.T, who *identity) error {
	return s.run(t, who, "apply", "-f", file(t, s.mailbox()))
}

func appliedWhole(s *scene, t *testing.T, who *identity) error {
	return s.run(t, who, "apply", "-f", file(t, s.whole(t, who)))
}

func appliedSame(s *scene, t *testing.T, who *identity) error {
	return s.run(t, who, "apply", "-f", s.same(t, who))
}

func serverSide(s *scene, t *testing.T, who *identity) error {
	return s.run(t, who, "apply", "--server-side", "-f", file(t, s.mailbox()))
}

func serverSideWhole(s *scene, t *testing.T, who *identity) error {
	return s.run(t, who, "apply", "--server-side", "-f", file(t, s.whole(t, who, "managedFields", "resourceVersion")))
}

func serverSideSame(s *scene, t *testing.T, who *identity) error {
	return s.run(t, who, "apply", "--server-side", "-f", s.same(t, who))
}

func verdictReplaced(s *scene, t *testing.T, who *identity) error {
	return s.run(t, who, "replace", "-f", file(t, s.whole(t, who)))
}

// same is the file that the first has taken, which shows nobody's verdict but theirs.
func (s *scene) same(t *testing.T, who *identity) string {
	t.Helper()
	if s.taken == "" {
		s.taken = file(t, s.whole(t, who, "managedFields", "resourceVersion"))
	}
	return s.taken
}

// give gives a verdict as often as it takes: whoever sends back an object as a whole is told to do so again where the operator
// has written its status meanwhile.
func (s *scene) give(t *testing.T, verdict write, who *identity) error {
	t.Helper()
	for {
		err := verdict(s, t, who)
		if err == nil || !strings.Contains(err.Error(), "please apply your changes to the latest version") {
			return err
		}
	}
}

// TestVerdictWrites has three people consent one after another by every route that kubectl has.
func TestVerdictWrites(t *testing.T) {
	e := newEnvironment(t)
	for name, writes := range map[string][3]write{
		"patch":                       {patched, patched, patched},
		"edit":                        {edited, edited, edited},
		"apply":                       {verdictApplied, verdictApplied, verdictApplied},
		"apply the whole":             {appliedWhole, appliedWhole, appliedWhole},
		"apply the whole and less":    {appliedWhole, verdictApplied, appliedWhole},
		"apply the same":              {appliedSame, appliedSame, appliedSame},
		"server-side apply the same":  {serverSideSame, serverSideSame, serverSideSame},
		"apply and edit":              {verdictApplied, edited, verdictApplied},
		"server-side apply":           {serverSide, serverSide, serverSide},
		"server-side apply the whole": {serverSideWhole, serverSideWhole, serverSideWhole},
		"server-side whole and less":  {serverSideWhole, serverSide, serverSideWhole},
		"server-side and client-side": {serverSide, verdictApplied, serverSide},
		"replace":                     {verdictReplaced, verdictReplaced, verdictReplaced},
		"each in another way":         {edited, serverSide, verdictReplaced},
	} {
		t.Run(name, func(t *testing.T) {
			s := e.scene(t, three)
			var want []string
			for i, person := range []string{"erin", "frank", "grace"} {
				who := s.person(t, person)
				allowed(t, s.give(t, writes[i], who))
				want = append(want, person+" Approve fine")
				s.checkRecorded(t, want)
				// A second time adds nothing.
				allowed(t, s.give(t, writes[i], who))
				s.checkRecorded(t, want)
			}
			waitState(t, e, s.request, "Approved")
		})
	}
}

// checkRecorded checks which verdicts are recorded, and that nothing of the mailbox is left.
func (s *scene) checkRecorded(t *testing.T, want []string) {
	t.Helper()
	a := s.read(t)
	var got []string
	for _, d := range a.Spec.Decisions {
		got = append(got, d.Approver.Username+" "+string(d.Verdict)+" "+d.Comment)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("recorded verdicts (-want +got):\n%s", diff)
	}
	if a.Spec.Decision != nil {
		t.Errorf("a verdict was stored unrecorded: %+v", a.Spec.Decision)
	}
	for _, m := range a.ManagedFields {
		if strings.Contains(string(m.FieldsV1.GetRawBytes()), `"f:decision"`) {
			t.Errorf("%s owns the mailbox", m.Manager)
		}
	}
}

// TestVerdictDryRun tries a verdict without giving it.
func TestVerdictDryRun(t *testing.T) {
	s := newEnvironment(t).scene(t, asks)
	waitState(t, s.environment, s.request, "Pending")
	before := s.read(t)
	erin, mallory := s.person(t, "erin"), s.person(t, "mallory")
	for name, args := range map[string][]string{
		"patch": {"patch", "aa", s.request.Name, "--type=merge", "-p", `{"spec":{"decision":{"verdict":"Approve"}}}`},
		"apply": {"apply", "--server-side", "-f", file(t, s.mailbox())},
	} {
		args = append(args, "--dry-run=server")
		output, err := s.kubectl(t, erin, append(args, "-o", "yaml")...)
		allowed(t, err)
		var shown v1alpha1.ActionApproval
		allowed(t, yaml.Unmarshal([]byte(output), &shown))
		if len(shown.Spec.Decisions) != 1 || shown.Spec.Decisions[0].Approver.Username != "erin" {
			t.Errorf("%s: a dry run shows the verdicts %+v", name, shown.Spec.Decisions)
		}
		_, err = s.kubectl(t, mallory, args...)
		checkRefusal(t, err, "none of the requirements names this user")
	}
	if diff := cmp.Diff(before, s.read(t)); diff != "" {
		t.Errorf("a dry run was stored (-before +after):\n%s", diff)
	}
}

// TestWaiting waits with kubectl for what people do.
func TestWaiting(t *testing.T) {
	e := newEnvironment(t)
	for name, tc := range map[string]struct {
		verdict string
		wait    []string
	}{
		"approved": {"Approve", []string{"condition=Approved", "condition=Decided"}},
		"denied":   {"Deny", []string{"condition=Decided", "condition=Approved=False"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := e.scene(t, asks)
			erin, done := s.person(t, "erin"), make(chan error, len(tc.wait))
			for _, condition := range tc.wait {
				go func() {
					_, err := s.kubectl(t, s.agent, "wait", "--for="+condition, "--timeout=30s", "aa/"+s.request.Name)
					done <- err
				}()
			}
			allowed(t, decide(t.Context(), erin, s.request, tc.verdict))
			for range tc.wait {
				if err := <-done; err != nil {
					t.Error(err)
				}
			}
		})
	}
}

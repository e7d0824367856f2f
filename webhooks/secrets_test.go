package webhooks_test

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/operatortest"
)

// canaries are secret values that must be seen nowhere, and what agents were answered.
type canaries struct {
	mu      sync.Mutex
	values  map[string]string // by what they are in
	answers strings.Builder
}

// plant makes a value.
func (c *canaries) plant(where string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	value := "canary-" + rand.Text()
	c.values[where+" "+value] = value
	return value
}

// answered keeps what an agent is told.
func (c *canaries) answered(err error) error {
	if err != nil {
		c.answers.WriteString(err.Error() + "\n")
		if status, ok := err.(interface{ Status() metav1.Status }); ok {
			text, _ := json.Marshal(status.Status())
			c.answers.Write(text)
		}
	}
	return err
}

// check looks for every value in every form that somebody might undo.
func (c *canaries) check(t *testing.T, where, text string) {
	t.Helper()
	if text == "" {
		t.Errorf("there is no text of %s to look at", where)
	}
	for what, value := range c.values {
		sum := sha256.Sum256([]byte(value))
		encoded := base64.StdEncoding.EncodeToString([]byte(value))
		ofEncoded := sha256.Sum256([]byte(encoded))
		forms := []string{value, encoded, hex.EncodeToString(sum[:]), hex.EncodeToString(ofEncoded[:]), base64.StdEncoding.EncodeToString(sum[:])}
		for _, form := range forms {
			if i := strings.Index(text, form); i >= 0 {
				t.Errorf("%s: the value of %s is in %s:\n...%s...", where, what, where, text[max(0, i-200):min(len(text), i+200)])
			}
		}
	}
}

// leak is a change that has secrets in it.
type leak struct {
	// prepare makes what the change needs, as somebody who may.
	prepare func(t *testing.T, s *scene)
	// act makes the change as the agent.
	act func(ctx context.Context, s *scene, options ...string) error
}

// leaks are changes with secret values. Each is repeated exactly: the values are made once.
func leaks(c *canaries) map[string]leak {
	none := func(*testing.T, *scene) {}
	stored := func(values map[string]string) func(*testing.T, *scene) {
		return func(t *testing.T, s *scene) {
			t.Helper()
			allowed(t, s.admin.Create(t.Context(), secretOf(s.namespace, values)))
		}
	}
	of := func(o func(s *scene) client.Object, kind types.PatchType, body string) func(context.Context, *scene, ...string) error {
		return func(ctx context.Context, s *scene, dryRun ...string) error {
			return s.agent.Patch(ctx, o(s), client.RawPatch(kind, []byte(body)), &client.PatchOptions{DryRun: dryRun})
		}
	}
	kept := func(s *scene) client.Object { return secretOf(s.namespace, nil) }
	web := func(s *scene) client.Object { return deployment(s.namespace, "web") }
	created := map[string]string{"new": c.plant("created data")}
	manifest := fmt.Sprintf(`{apiVersion: v1, kind: Secret, metadata: {name: applied, annotations: {"example.com/credential": %s}}, stringData: {key: %s}}`,
		c.plant("applied annotation"), c.plant("applied stringData"))
	old, next, more := c.plant("old data"), c.plant("new data"), c.plant("stringData")
	return map[string]leak{
		"create": {none, func(ctx context.Context, s *scene, dryRun ...string) error {
			return s.agent.Create(ctx, secretOf(s.namespace, created), &client.CreateOptions{DryRun: dryRun})
		}},
		"update": {stored(map[string]string{"key": old}), of(kept, types.MergePatchType,
			fmt.Sprintf(`{"data":{"key":%q},"stringData":{"more":%q}}`, base64.StdEncoding.EncodeToString([]byte(next)), more))},
		"delete": {stored(map[string]string{"key": c.plant("deleted data")}), func(ctx context.Context, s *scene, dryRun ...string) error {
			return s.agent.Delete(ctx, kept(s), &client.DeleteOptions{DryRun: dryRun})
		}},
		"apply": {none, func(ctx context.Context, s *scene, dryRun ...string) error {
			args := []string{"apply", "-f", "-", "--namespace", s.namespace}
			if len(dryRun) > 0 {
				args = append(args, "--dry-run=server")
			}
			apply := exec.CommandContext(ctx, s.plane.Binaries().Kubectl, args...)
			apply.Env, apply.Stdin = append(os.Environ(), "KUBECONFIG="+s.agent.kubeconfig), strings.NewReader(manifest)
			if output, err := apply.CombinedOutput(); err != nil {
				return fmt.Errorf("%w: %s", err, output)
			}
			return nil
		}},
		"environment": {none, of(web, types.StrategicMergePatchType, fmt.Sprintf(
			`{"spec":{"template":{"spec":{"containers":[{"name":"web","env":[{"name":"KEY","value":%q}]}]}}}}`, c.plant("environment")))},
		"annotation": {none, of(web, types.MergePatchType, fmt.Sprintf(
			`{"metadata":{"annotations":{"example.com/api-token":%q}},"spec":{"replicas":4,"template":{"metadata":{"annotations":{"db-password":%q}}}}}`,
			c.plant("annotation"), c.plant("annotation of the template")))},
		"last-applied": {none, of(web, types.MergePatchType, fmt.Sprintf(
			`{"metadata":{"annotations":{%q:%q}},"spec":{"replicas":4}}`, corev1.LastAppliedConfigAnnotation,
			`{"kind":"Deployment","spec":{"anything":"`+c.plant("last-applied")+`"}}`))},
	}
}

func secretOf(namespace string, values map[string]string) *corev1.Secret {
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "kept"}, StringData: map[string]string{}, Data: map[string][]byte{}}
	for key, value := range values {
		s.Data[key], s.StringData[key+"-text"] = []byte(value), value
	}
	return s
}

// TestSecretsStaySecret plants values where secrets are, has agents change them, and looks for the values everywhere.
func TestSecretsStaySecret(t *testing.T) {
	metrics := fmt.Sprintf("127.0.0.1:%d", operatortest.FreePort(t))
	e := newEnvironment(t, "--metrics-bind-address", metrics, "--log-level", "5")
	c := &canaries{values: map[string]string{}}
	for name, policy := range map[string]string{"asked": asks, "denied": images} {
		for change, l := range leaks(c) {
			t.Run(name+": "+change, func(t *testing.T) {
				namespace, agent, _ := governed(t, e, policy)
				s := &scene{environment: e, namespace: namespace, agent: agent}
				l.prepare(t, s)
				s.provoke(t, c, l, policy == asks)
			})
		}
	}
	e.look(t, c, metrics)
}

// provoke tries a change with and without dry run and, where that is possible, has it approved.
func (s *scene) provoke(t *testing.T, c *canaries, l leak, asks bool) {
	t.Helper()
	if c.answered(l.act(t.Context(), s, metav1.DryRunAll)) == nil {
		t.Fatal("a dry run passes")
	}
	if !asks {
		if c.answered(l.act(t.Context(), s)) == nil {
			t.Fatal("it passes")
		}
		return
	}
	s.request = asked(t, s.environment, s.namespace, func() error { return c.answered(l.act(t.Context(), s)) })
	if shown := fmt.Sprint(s.request.Spec.Action.Changes, s.request.Spec.Action.Diff); !strings.Contains(shown, "***") {
		t.Errorf("the request does not show that a secret changes: %s", shown)
	}
	allowed(t, decide(t.Context(), s.person(t, "erin"), s.request, "Approve"))
	waitState(t, s.environment, s.request, "Approved")
	allowed(t, c.answered(l.act(t.Context(), s, metav1.DryRunAll)))
	allowed(t, c.answered(l.act(t.Context(), s)))
}

// look looks for the values in all that Countersign writes.
func (e *environment) look(t *testing.T, c *canaries, metrics string) {
	t.Helper()
	var approvals v1alpha1.ActionApprovalList
	allowed(t, e.admin.List(t.Context(), &approvals))
	var events eventsv1.EventList
	allowed(t, e.admin.List(t.Context(), &events))
	for where, list := range map[string]any{"approvals": approvals, "events": events} {
		text, err := json.Marshal(list)
		allowed(t, err)
		c.check(t, where, string(text))
	}
	decisions, err := os.ReadFile(e.operator.Decisions)
	allowed(t, err)
	measured, err := operatortest.Fetch(t.Context(), "http://"+metrics+"/metrics")
	allowed(t, err)
	c.check(t, "the decision log", string(decisions))
	c.check(t, "the metrics", measured)
	c.check(t, "the operator's log", e.operator.LogText(t))
	c.check(t, "the answers", c.answers.String())
	c.check(t, "the annotations of the audit log", e.auditAnnotations(t, len(c.values)))
	if !strings.Contains(string(decisions), "***") {
		t.Error("the decision log shows no redacted value")
	}
}

// auditAnnotations are the annotations of the API server's audit log, once they hold so many decisions.
func (e *environment) auditAnnotations(t *testing.T, decisions int) string {
	t.Helper()
	var text strings.Builder
	operatortest.Eventually(t, "the audit log is written", func(context.Context) error {
		text.Reset()
		for _, line := range e.auditLines(t, "enforce.countersign.dev/") {
			var event struct {
				Annotations map[string]string `json:"annotations"`
			}
			if err := json.Unmarshal([]byte(line), &event); err != nil {
				return fmt.Errorf("reading the audit log: %w", err)
			}
			fmt.Fprintln(&text, event.Annotations)
		}
		if n := strings.Count(text.String(), "\n"); n < decisions {
			return fmt.Errorf("it holds %d decisions, want %d", n, decisions)
		}
		return nil
	})
	return text.String()
}

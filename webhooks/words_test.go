package webhooks_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/legible"
	"github.com/countersign-dev/countersign/internal/operatortest"
)

// disguised clears a terminal, turns the direction of text, hides letters in tags, and looks like an answer.
const disguised = "ok\u001b[2J\u009b2J\u202eevorppa\u2066\u200b\ufeff\U000e0041\U000e0042\ufe0f\u3164\u2028next: GRANTED"

// inJSON is the same as JSON text holds it.
const inJSON = `ok\u001b[2J\u009b2J\u202eevorppa\u2066\u200b\ufeff\udb40\udc41\udb40\udc42\ufe0f\u3164\u2028next: GRANTED`

// checkLegible wants nothing but what can be seen, spaces and ends of lines.
func checkLegible(t *testing.T, where, text string) {
	t.Helper()
	for line := range strings.Lines(text) {
		for _, r := range strings.TrimSuffix(line, "\n") {
			if !legible.Visible(r) {
				t.Errorf("%s: %U is left in %q", where, r, line)
				break
			}
		}
		if strings.HasPrefix(strings.TrimSpace(line), "next: GRANTED") {
			t.Errorf("%s: the text of an agent makes a line of its own: %q", where, line)
		}
	}
}

// TestDisguisedContent has an agent put text where content may hold any, and looks at it as people and programs do.
func TestDisguisedContent(t *testing.T) {
	e := newEnvironment(t, "--log-level", "5")
	namespace, agent, web := governed(t, e, asks)
	s := &scene{environment: e, namespace: namespace, agent: agent}
	for name, body := range map[string]string{
		"an annotation":           `{"metadata":{"annotations":{"note":"` + inJSON + `"}}}`,
		"an argument":             `{"spec":{"template":{"spec":{"containers":[{"name":"web","args":["` + inJSON + `"]}]}}}}`,
		"the value of a variable": `{"spec":{"template":{"spec":{"containers":[{"name":"web","env":[{"name":"A","value":"` + inJSON + `"}]}]}}}}`,
		"an image":                `{"spec":{"template":{"spec":{"containers":[{"name":"web","image":"` + inJSON + `","command":["x"]}]}}}}`,
	} {
		t.Run(name, func(t *testing.T) {
			act := func() error { return patch(t.Context(), agent, web, types.StrategicMergePatchType, body) }
			request := asked(t, e, namespace, act)
			waitState(t, e, request, "Pending")
			checkLegible(t, "the refusal", act().Error())
			for _, args := range [][]string{{"get", "aa"}, {"get", "aa", "-o", "wide"}, {"get", "events"}, {"describe", "aa", request.Name}, {"get", "aa", "-o", "yaml"}} {
				text, err := s.kubectl(t, s.person(t, "erin"), args...)
				allowed(t, err)
				checkLegible(t, strings.Join(args, " "), text)
			}
			if name != "the value of a variable" && !strings.Contains(request.Spec.Action.Diff, `\u202eevorppa`) {
				t.Errorf("the diff does not show what is hidden:\n%s", request.Spec.Action.Diff)
			}
		})
	}
	s.checkLogs(t)
}

// checkLogs looks at both logs of the operator and at the annotations of the API server's audit log.
func (s *scene) checkLogs(t *testing.T) {
	t.Helper()
	lines := s.operator.DecisionLines(t, "")
	if len(lines) == 0 {
		t.Error("there are no decisions")
	}
	checkLegible(t, "the decision log", strings.Join(lines, ""))
	checkLegible(t, "the log", s.operator.LogText(t))
	checkLegible(t, "the audit log", s.auditAnnotations(t, 1))
}

// TestDisguisedConnection has an agent connect with a name and a command that are not what they look like.
func TestDisguisedConnection(t *testing.T) {
	e := newEnvironment(t)
	namespace, agent, _ := governed(t, e, asks)
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "p"}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "c:1"}}}}
	allowed(t, e.admin.Create(t.Context(), pod))
	connect := func(pod string) error {
		return agent.CoreV1().RESTClient().Post().Namespace(namespace).Resource("pods").Name(pod).SubResource("exec").
			VersionedParams(&corev1.PodExecOptions{Container: disguised, Command: []string{"sh", "-c", disguised}, Stdout: true}, metav1.ParameterCodec).
			Do(t.Context()).Error()
	}
	for _, name := range []string{"p", "absent" + disguised} {
		err := connect(name)
		if err == nil {
			t.Fatalf("connecting to %q passes", name)
		}
		checkLegible(t, "the refusal", err.Error())
	}
	s := &scene{environment: e, namespace: namespace, agent: agent}
	text, err := s.kubectl(t, s.person(t, "erin"), "get", "aa", "-o", "yaml")
	allowed(t, err)
	checkLegible(t, "the requests", text)
	s.checkLogs(t)
}

// TestDisguisedAgent has agents whose names are not what they look like, as some identity providers let users choose theirs.
func TestDisguisedAgent(t *testing.T) {
	e := newEnvironment(t)
	namespace := e.namespace(t)
	web := deployment(namespace, "web")
	allowed(t, e.admin.Create(t.Context(), web))
	group := "agents-" + namespace
	e.policy(t, namespace, strings.Replace(asks, "AGENT", "{kind: Group, name: "+group+"}", 1))
	for name, username := range map[string]string{
		"control characters":  "agent\u001b[2K\rerin",
		"right to left":       "agent\u202enire",
		"of no width":         "er\u200bin",
		"tags":                "erin\U000e0041",
		"variation selectors": "erin\ufe0f",
		"a line":              "erin\nnext: GRANTED",
	} {
		t.Run(name, func(t *testing.T) {
			kubeconfig, err := e.plane.PersonKubeconfig(username, group, "system:masters")
			allowed(t, err)
			agent := e.identity(t, username, kubeconfig)
			act := func() error { return patch(t.Context(), agent, web, types.MergePatchType, toFive) }
			operatortest.Eventually(t, "the agent is governed", func(context.Context) error {
				if err := act(); err == nil || !strings.Contains(err.Error(), "[countersign decision=") {
					return fmt.Errorf("the answer is %w", err)
				}
				return nil
			})
			refusal := refused(t, act(), "RequestUnreadable").Error()
			checkLegible(t, "the refusal", refusal)
			if !strings.Contains(refusal, "user name of this agent holds characters that cannot be seen: "+legible.Line(username, 64)) {
				t.Errorf("the refusal is %s", refusal)
			}
			run := &v1alpha1.ActionApproval{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "mine"}, Spec: v1alpha1.ActionApprovalSpec{
				Task: &v1alpha1.RequestedTask{Policy: "p-" + namespace, Name: "roll-images"},
			}}
			if err := agent.Create(t.Context(), run); err == nil {
				t.Error("the agent asks for a run")
			} else {
				checkLegible(t, "the refusal of a run", err.Error())
			}
		})
	}
	var approvals v1alpha1.ActionApprovalList
	allowed(t, e.admin.List(t.Context(), &approvals, client.InNamespace(namespace)))
	var events eventsv1.EventList
	allowed(t, e.admin.List(t.Context(), &events, client.InNamespace(namespace)))
	for i := range events.Items {
		checkLegible(t, "an event", events.Items[i].Note)
	}
	if len(approvals.Items) != 0 {
		t.Errorf("%d approvals were opened", len(approvals.Items))
	}
	(&scene{environment: e, namespace: namespace}).checkLogs(t)
}

// TestDisguisedApprover has a person decide whose name is not what it looks like.
func TestDisguisedApprover(t *testing.T) {
	s := newEnvironment(t).scene(t, strings.ReplaceAll(asks, "{kind: User, name: erin}", "{kind: Group, name: sre}"))
	kubeconfig, err := s.plane.PersonKubeconfig("erin\u202e", "sre", "system:masters")
	allowed(t, err)
	err = decide(t.Context(), s.identity(t, "erin\u202e", kubeconfig), s.request, "Approve")
	checkRefusal(t, err, `holds characters that cannot be seen, such as U\+202E`)
	checkLegible(t, "the refusal", err.Error())
	if a := s.read(t); len(a.Spec.Decisions) != 0 {
		t.Errorf("stored is %+v", a.Spec.Decisions)
	}
}

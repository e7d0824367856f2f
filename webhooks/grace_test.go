package webhooks_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/activity"
	"github.com/countersign-dev/countersign/internal/operatortest"
)

// graceful is a policy of one window, of which nothing but the grace is left once it is closed.
const graceful = `
enforcement: Enforce
subjects: [AGENT, {kind: ServiceAccount, namespace: NAMESPACE, name: second}]
timeZone: UTC
windows:
- {name: rollout, once: {from: "FROM", to: "TO"}}
changeWindows: {allowed: [rollout], graceAfterClose: 1h}
tasks:
- name: work
  scope:
    resourceRules:
    - {apiGroups: [apps], resources: [deployments], operations: ["*"]}
    - {apiGroups: [""], resources: [secrets], operations: ["*"]}
    namespaces: [NAMESPACE]
`

// between puts the ends of the window into a policy.
func between(spec string, from, to time.Time) string {
	return strings.NewReplacer("FROM", from.UTC().Format(time.RFC3339), "TO", to.UTC().Format(time.RFC3339)).Replace(spec)
}

// overstayed is an agent whose window has closed behind it.
type overstayed struct {
	*environment
	namespace   string
	agent       *identity
	web, other  *appsv1.Deployment
	from, until time.Time
}

// overstay has an agent change web, and make a Secret, inside a window, and another agent change other; then the window
// closes right after that.
func overstay(t *testing.T, e *environment) *overstayed {
	t.Helper()
	s := &overstayed{environment: e, from: time.Now().Add(-time.Hour)}
	s.namespace, s.agent, s.web = governed(t, e, between(graceful, s.from, time.Now().Add(time.Hour)))
	second := e.agentNamed(t, s.namespace, "second")
	s.other = deployment(s.namespace, "other")
	allowed(t, e.admin.Create(t.Context(), s.other))
	allowed(t, e.admin.Create(t.Context(), plainSecret(s.namespace, "theirs")))
	allowed(t, s.image(t, "web:bad"))
	allowed(t, s.agent.Create(t.Context(), plainSecret(s.namespace, "mine")))
	allowed(t, patch(t.Context(), second, s.other, types.MergePatchType, `{"spec":{"minReadySeconds":1}}`))
	s.until = s.last(t).Add(time.Second)
	s.become(t, between(graceful, s.from, s.until))
	s.waitRefused(t, "the window is closed", "ChangeWindowClosed", func() error {
		return s.agent.Create(t.Context(), plainSecret(s.namespace, "probe"), client.DryRunAll)
	})
	return s
}

// last is when the last action of the agents was admitted.
func (s *overstayed) last(t *testing.T) time.Time {
	t.Helper()
	mine, theirs := s.did(t, s.agent), &v1alpha1.AgentActivity{}
	name := activity.Name("system:serviceaccount:" + s.namespace + ":second")
	allowed(t, s.admin.Get(t.Context(), client.ObjectKey{Name: name}, theirs))
	if len(mine.Recent) != 2 || len(theirs.Status.Recent) != 1 {
		t.Fatalf("recorded are %+v and %+v", mine.Recent, theirs.Status.Recent)
	}
	if mine.LastAdmittedAt.After(theirs.Status.LastAdmittedAt.Time) {
		return mine.LastAdmittedAt.Time
	}
	return theirs.Status.LastAdmittedAt.Time
}

// become gives the policy another spec, and waits until it is in force.
func (s *overstayed) become(t *testing.T, spec string) {
	t.Helper()
	p := &v1alpha1.AgentActionPolicy{}
	text := strings.NewReplacer("AGENT", "{kind: User, name: nobody}", "NAMESPACE", s.namespace).Replace(spec)
	allowed(t, retry.RetryOnConflict(retry.DefaultRetry, func() error {
		if err := s.admin.Get(t.Context(), client.ObjectKey{Name: "p-" + s.namespace}, p); err != nil {
			return err
		}
		subjects := p.Spec.Subjects
		p.Spec = v1alpha1.AgentActionPolicySpec{}
		allowed(t, yaml.UnmarshalStrict([]byte(text), &p.Spec))
		p.Spec.Subjects = subjects
		return s.admin.Update(t.Context(), p)
	}))
	s.waitEnforced(t, p)
}

// waitRefused waits until an action is refused for a reason.
func (s *overstayed) waitRefused(t *testing.T, what, reason string, act func() error) {
	t.Helper()
	operatortest.Eventually(t, what, func(context.Context) error {
		if err := act(); err == nil || !strings.Contains(err.Error(), "reasons="+reason+" ") {
			return fmt.Errorf("the answer is %w", errors.Join(err, errors.New("not that refusal")))
		}
		return nil
	})
}

func (s *overstayed) image(t *testing.T, image string) error {
	t.Helper()
	return patch(t.Context(), s.agent, s.web, types.StrategicMergePatchType,
		`{"spec":{"template":{"spec":{"containers":[{"name":"web","image":"`+image+`"}]}}}}`)
}

func (s *overstayed) label(t *testing.T, o client.Object) error {
	t.Helper()
	return patch(t.Context(), s.agent, o, types.MergePatchType, `{"metadata":{"labels":{"by":"agent"}}}`)
}

func TestGrace(t *testing.T) {
	e := newEnvironment(t)
	for name, test := range map[string]func(*testing.T, *environment){
		"what was changed inside is reverted":    testRevert,
		"nothing else changes":                   testNothingElse,
		"it ends":                                testGraceEnds,
		"a freeze allows none":                   testGraceFrozen,
		"what is not known gives none":           testGraceUnknown,
		"it costs nothing once all is long over": testGraceCost,
	} {
		t.Run(name, func(t *testing.T) { test(t, e) })
	}
}

func testRevert(t *testing.T, e *environment) {
	s := overstay(t, e)
	agent := e.withWarnings(t, s.agent)
	allowed(t, agent.Patch(t.Context(), s.web.DeepCopy(), client.RawPatch(types.StrategicMergePatchType,
		[]byte(`{"spec":{"template":{"spec":{"containers":[{"name":"web","image":"web:1"}]}}}}`))))
	until := s.until.Add(time.Hour).UTC().Format(time.RFC3339)
	want := "change window closed (policy p-" + s.namespace + "): grace to revert until " + until
	if len(agent.warnings) != 1 || agent.warnings[0] != want {
		t.Errorf("the warnings are %q, want %q", agent.warnings, want)
	}
	lines := e.operator.DecisionLines(t, s.namespace)
	line := lines[len(lines)-1]
	for _, part := range []string{
		`"outcome":"Allow"`, `"window":"Closed"`, `"waived":[{"reason":"ChangeWindowClosed","policy":"p-` + s.namespace + `","name":"rollout","until":"` + until + `"`,
	} {
		if !strings.Contains(line, part) {
			t.Errorf("the decision log does not say %s:\n%s", part, line)
		}
	}
	if audit := e.auditLines(t, `"enforce.countersign.dev/grace":"p-`+s.namespace+"="+until+`"`); len(audit) == 0 {
		t.Error("the audit log does not tell")
	}
	allowed(t, scale(t.Context(), s.agent, s.web, 1)) // by its parent
	allowed(t, s.image(t, "web:2"))                   // as long as it lasts
	mine := plainSecret(s.namespace, "mine")
	allowed(t, s.label(t, mine))
	allowed(t, s.agent.Delete(t.Context(), mine))
	e.wantDid(t, s.agent, 2) // nothing of it makes further grace
}

func testNothingElse(t *testing.T, e *environment) {
	s := overstay(t, e)
	theirs := plainSecret(s.namespace, "theirs")
	for name, act := range map[string]func() error{
		"what another agent changed":   func() error { return s.label(t, s.other) },
		"what nobody changed":          func() error { return s.label(t, theirs) },
		"what is new":                  func() error { return s.agent.Create(t.Context(), plainSecret(s.namespace, "new")) },
		"deleting what is not its own": func() error { return s.agent.Delete(t.Context(), s.web.DeepCopy()) },
		"another of the same name": func() error {
			allowed(t, e.admin.Delete(t.Context(), plainSecret(s.namespace, "mine")))
			allowed(t, e.admin.Create(t.Context(), plainSecret(s.namespace, "mine")))
			return s.label(t, plainSecret(s.namespace, "mine"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			err := refused(t, act(), "ChangeWindowClosed")
			if want := ", with grace only for what this agent changed inside\n"; !strings.Contains(err.Error(), want) {
				t.Errorf("the refusal does not say %q:\n%s", want, err)
			}
		})
	}
}

func testGraceEnds(t *testing.T, e *environment) {
	s := overstay(t, e)
	allowed(t, s.image(t, "web:1"))
	s.become(t, between(strings.Replace(graceful, "1h}", "1s}", 1), s.from, s.until))
	s.waitRefused(t, "the grace is over", "ChangeWindowClosed", func() error { return s.image(t, fmt.Sprint("web:", time.Now().UnixNano())) })
	s.become(t, between(strings.Replace(graceful, "1h}", "24h}", 1), s.from.Add(-time.Hour), s.from)) // a window inside which nothing was changed
	refused(t, s.image(t, "web:2"), "ChangeWindowClosed")
}

func testGraceFrozen(t *testing.T, e *environment) {
	s := overstay(t, e)
	frozen := strings.Replace(graceful, "windows:\n", "windows:\n- {name: stop, once: {from: \"FROM\", to: \""+
		time.Now().Add(time.Hour).UTC().Format(time.RFC3339)+"\"}}\n", 1) + "freezes: [{window: stop}]\n"
	s.become(t, between(frozen, s.from, s.until))
	refused(t, s.image(t, "web:1"), "FreezeActive")
}

// testGraceUnknown has the history of somebody else stand where the agent's is looked for. That stops nobody while the
// window is open.
func testGraceUnknown(t *testing.T, e *environment) {
	s := &overstayed{environment: e, from: time.Now().Add(-time.Hour)}
	s.namespace, s.agent, s.web = governed(t, e, between(graceful, s.from, time.Now().Add(time.Hour)))
	foreign := &v1alpha1.AgentActivity{}
	foreign.Name = activity.Name(s.agent.name)
	allowed(t, e.admin.Create(t.Context(), foreign))
	foreign.Status.Username = "somebody-else"
	allowed(t, e.admin.Status().Update(t.Context(), foreign))
	allowed(t, s.image(t, "web:bad"))
	s.become(t, between(graceful, s.from, time.Now().Add(-time.Second)))
	err := refused(t, s.image(t, "web:1"), "ChangeWindowClosed")
	if want := ", and whether this agent changed the object inside is not known"; !strings.Contains(err.Error(), want) {
		t.Errorf("the refusal does not say %q:\n%s", want, err)
	}
}

// testGraceCost counts what is read and written before, during and after.
func testGraceCost(t *testing.T, e *environment) {
	s := overstay(t, e)
	if made := activityRequestsOf(t, e, func() { allowed(t, s.image(t, "web:1")) }); made["GET"] != 1 || len(made) != 1 {
		t.Errorf("in the grace the API server is asked %v", made)
	}
	s.become(t, between(graceful, s.from.Add(-time.Hour), s.from.Add(-time.Minute)))
	if made := activityRequestsOf(t, e, func() {
		if err := s.image(t, "web:2"); !apierrors.IsForbidden(err) {
			t.Errorf("the answer is %v", err)
		}
	}); len(made) > 0 {
		t.Errorf("after it the API server is asked %v", made)
	}
}

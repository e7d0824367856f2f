package webhooks_test

import (
	"context"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	webTwo    = `{"spec":{"template":{"spec":{"containers":[{"name":"web","image":"web:2"}]}}}}`
	webArgs   = `{"spec":{"template":{"spec":{"containers":[{"name":"web","args":["--unsafe"]}]}}}}`
	podLabel  = `{"spec":{"template":{"metadata":{"labels":{"tier":"front"}}}}}`
	annotated = `{"metadata":{"annotations":{"example.com/note":"by somebody else"}}}`
)

// strategicWeb is the agent's patch of the Deployment web, which kubectl would send.
func strategicWeb(body string) route {
	return func(ctx context.Context, s *story) error {
		return patch(ctx, s.agent, s.web, types.StrategicMergePatchType, body)
	}
}

// drift is what happens between the consent to an action and its use.
type drift struct {
	ask route
	// happens is done by somebody else than the agent.
	happens func(*testing.T, *story)
	// void says why the approval ends, empty when it stays valid.
	void string
}

func (d drift) run(t *testing.T, e *environment) {
	s := newStory(t, e, consentToAll)
	act := func() error { return d.ask(t.Context(), s) }
	approval := s.grant(t, act)
	d.happens(t, s)
	s.waitCached(t)
	if d.void == "" {
		redeem(t, act)
		s.wantUses(t, approval, 1)
		return
	}
	next := s.asked(t, act)
	if next.Name == approval.Name {
		t.Errorf("the void approval %s is asked for again", approval.Name)
	}
	s.wantVoid(t, approval, d.void)
	s.wantUses(t, next, 0)
}

// TestRedeemAfterDrift changes what is around an approved action before it is done.
func TestRedeemAfterDrift(t *testing.T) {
	e := newEnvironment(t)
	toFive, toTwo := patchWeb(toFive), strategicWeb(webTwo)
	const template = "object changed since approval: within spec.template"
	for name, tc := range map[string]drift{
		"a person changes the same field": {toFive, byPerson(`{"spec":{"replicas":4}}`), "object changed since approval: spec.replicas"},
		"a person changes the field and takes it back": {toFive, func(t *testing.T, s *story) {
			byPerson(`{"spec":{"replicas":4}}`)(t, s)
			byPerson(`{"spec":{"replicas":2}}`)(t, s)
		}, ""},
		"a person changes another field":                 {toFive, byPerson(annotated), ""},
		"a person changes the pods, not their number":    {toFive, byPerson(webArgs), ""},
		"a person changes the number of pods, not them":  {toTwo, byPerson(`{"spec":{"replicas":4}}`), ""},
		"a person changes the container":                 {toTwo, byPerson(webArgs), template},
		"a person changes the pods around the container": {toTwo, byPerson(podLabel), template},
		"a controller changes the container":             {toTwo, byController(webArgs), template},
		"a controller changes another field":             {toTwo, byController(annotated), ""},
		"a controller rolls out, and counts revisions":   {toFive, rolledOut, ""},
		"a person makes the same change first":           {toTwo, byPerson(`{"spec":{"template":{"spec":{"containers":[{"name":"web","image":"web:3"}]}}}}`), "object changed since approval: spec.template.spec.containers"},
		"an agent changes another field":                 {toFive, byOtherAgent(annotated), "an agent has changed the object"},
		"an agent that may change this kind freely":      {toFive, byFreeAgent(annotated), "an agent has changed the object"},
		"the object is another one of the same name":     {toFive, replaced, "object was deleted and created again since approval"},
		"what is to be deleted is another one":           {kubectl("delete", "deployment", "web"), replaced, "object was deleted and created again since approval"},
		"what is to be deleted has changed":              {kubectl("delete", "deployment", "web"), byPerson(annotated), "object changed since approval"},
		"what is to be deleted has another status":       {kubectl("delete", "deployment", "web"), rolledStatus, ""},
	} {
		t.Run(name, func(t *testing.T) { tc.run(t, e) })
	}
	for name, test := range map[string]func(*testing.T, *environment){
		"around an element of a list":           testListDrift,
		"a use after drift is one all the same": testUseAfterDrift,
		"a policy says something else":          testPolicyEdited,
		"a window closes":                       testWindowCloses,
		"a window opens":                        testWindowOpens,
		"a policy is described otherwise":       testPolicyDescribed,
		"an approver loses the right":           testApproverLost,
		"an account is created again":           testAccountReplaced,
		"somebody else's policy adds a label":   testMutated,
	} {
		t.Run(name, func(t *testing.T) { test(t, e) })
	}
}

func byPerson(body string) func(*testing.T, *story) {
	return func(t *testing.T, s *story) {
		t.Helper()
		allowed(t, patch(t.Context(), s.person, s.web, types.StrategicMergePatchType, body))
	}
}

// byController is a service account that no policy names.
func byController(body string) func(*testing.T, *story) {
	return func(t *testing.T, s *story) {
		t.Helper()
		allowed(t, patch(t.Context(), s.agentNamed(t, s.namespace, "controller"), s.web, types.StrategicMergePatchType, body))
	}
}

// byOtherAgent is an agent that a task lets do it.
func byOtherAgent(body string) func(*testing.T, *story) {
	return byAgentUnder(body, `tasks: [{name: all, scope: {namespaces: [NAMESPACE], resourceRules: [{apiGroups: [apps], resources: [deployments], operations: [UPDATE]}]}}]`)
}

// byFreeAgent is an agent whose policy is about something else altogether.
func byFreeAgent(body string) func(*testing.T, *story) {
	return byAgentUnder(body, `governs: {resourceRules: [{apiGroups: [""], resources: [configmaps], operations: [CREATE]}]}`)
}

func byAgentUnder(body, rest string) func(*testing.T, *story) {
	return func(t *testing.T, s *story) {
		t.Helper()
		other := s.agentNamed(t, s.namespace, "other")
		spec := "enforcement: Enforce\nsubjects: [{kind: ServiceAccount, namespace: NAMESPACE, name: other}]\n" + rest
		s.waitEnforced(t, s.policyNamed(t, "other-"+s.namespace, s.namespace, spec))
		s.waitGoverned(t, other, s.namespace)
		allowed(t, patch(t.Context(), other, s.web, types.StrategicMergePatchType, body))
	}
}

// rolledOut has the controller of Deployments write status and annotations of a new revision.
func rolledOut(t *testing.T, s *story) {
	t.Helper()
	byPerson(webTwo)(t, s)
	s.waitRevision(t, "2")
}

func rolledStatus(t *testing.T, s *story) {
	t.Helper()
	status := `{"status":{"conditions":[{"type":"Example","status":"True"}]}}`
	allowed(t, s.person.Client.Status().Patch(t.Context(), s.web.DeepCopy(), client.RawPatch(types.StrategicMergePatchType, []byte(status))))
}

func replaced(t *testing.T, s *story) {
	t.Helper()
	allowed(t, s.person.Delete(t.Context(), s.web.DeepCopy()))
	s.web = deployment(s.namespace, "web")
	allowed(t, s.person.Create(t.Context(), s.web))
}

// testUseAfterDrift has an object changed between consent and use whose generation does not show it: it has none, or what
// changes is its metadata. What the use started from is then younger than the consent, and the use counts like any other.
func testUseAfterDrift(t *testing.T, e *environment) {
	s := newStory(t, e, consentToAll)
	config := configMap(s.namespace, "c")
	config.Data = map[string]string{"a": "1", "b": "1"}
	allowed(t, s.admin.Create(t.Context(), config))
	const note, noNote = `{"metadata":{"annotations":{"example.com/note":"hello"}}}`, `{"metadata":{"annotations":{"example.com/note":null}}}`
	for name, tc := range map[string]struct {
		object              client.Object
		act, drifts, revert string
	}{
		"ConfigMap":  {config, `{"data":{"a":"2"}}`, `{"data":{"b":"2"}}`, `{"data":{"a":"1"}}`},
		"Deployment": {s.web, note, `{"spec":{"replicas":3}}`, noNote},
	} {
		act := func() error { return patch(t.Context(), s.agent, tc.object, types.MergePatchType, tc.act) }
		approval := s.grant(t, act)
		allowed(t, patch(t.Context(), s.person, tc.object, types.MergePatchType, tc.drifts))
		redeem(t, act)
		s.wantUses(t, approval, 1)
		allowed(t, patch(t.Context(), s.person, tc.object, types.MergePatchType, tc.revert))
		if next := s.asked(t, act); next.Name == approval.Name {
			t.Errorf("%s: approval %s is asked for again after its use", name, approval.Name)
		}
		s.wantUses(t, approval, 1)
	}
}

// testListDrift has a port changed that other ports stand beside.
func testListDrift(t *testing.T, e *environment) {
	s := newStory(t, e, consentToAll)
	web := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "web"}, Spec: corev1.ServiceSpec{
		Selector: map[string]string{"app": "web"}, Ports: []corev1.ServicePort{{Name: "http", Port: 80}, {Name: "https", Port: 443}},
	}}
	allowed(t, s.admin.Create(t.Context(), web))
	change := func(who *identity, name string, port int, field string) error {
		body := fmt.Sprintf(`{"spec":{"ports":[{"name":%q,"port":%d,%s}]}}`, name, port, field)
		return patch(t.Context(), who, web, types.StrategicMergePatchType, body)
	}
	act := func() error { return change(s.agent, "http", 80, `"targetPort":8080`) }
	approval := s.grant(t, act)
	allowed(t, change(s.person, "http", 80, `"appProtocol":"http"`))
	second := s.asked(t, act)
	s.wantVoid(t, approval, "object changed since approval: within spec.ports[")
	allowed(t, decide(t.Context(), s.person, second, "Approve"))
	waitState(t, e, second, "Approved")
	allowed(t, change(s.person, "https", 443, `"targetPort":8443`))
	redeem(t, act)
	s.wantUses(t, second, 1)
	allowed(t, s.there(t.Context(), web))
	if ports := web.Spec.Ports; ports[0].TargetPort.IntValue() != 8080 || ports[1].TargetPort.IntValue() != 8443 {
		t.Errorf("the ports are %+v", ports)
	}
}

package webhooks_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/operatortest"
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
		"a person changes the same field":                {toFive, byPerson(`{"spec":{"replicas":4}}`), "object changed since approval: spec.replicas"},
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
		"a policy says something else":        testPolicyEdited,
		"a policy is described otherwise":     testPolicyDescribed,
		"an approver loses the right":         testApproverLost,
		"an account is created again":         testAccountReplaced,
		"somebody else's policy adds a label": testMutated,
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

// edit changes a policy, and waits until that is in force.
func (s *story) edit(t *testing.T, change func(*v1alpha1.AgentActionPolicySpec)) {
	t.Helper()
	p := &v1alpha1.AgentActionPolicy{ObjectMeta: metav1.ObjectMeta{Name: "p-" + s.namespace}}
	allowed(t, s.there(t.Context(), p))
	before := p.DeepCopy()
	change(&p.Spec)
	allowed(t, s.person.Patch(t.Context(), p, client.MergeFrom(before)))
	s.waitEnforced(t, p)
}

func testPolicyEdited(t *testing.T, e *environment) {
	s := newStory(t, e, consentToAll)
	act := func() error { return patchWeb(toFive)(t.Context(), s) }
	approval := s.grant(t, act)
	s.edit(t, func(spec *v1alpha1.AgentActionPolicySpec) { spec.Approval.ValidFor = "10m" })
	var answer error
	next := s.asked(t, func() error { answer = act(); return answer })
	const reason = "policy changed since approval: p-"
	if !strings.Contains(answer.Error(), reason) {
		t.Errorf("the answer does not say %q: %v", reason, answer)
	}
	s.wantVoid(t, approval, reason+s.namespace)
	if next.Spec.Follows != approval.Name {
		t.Errorf("the next request follows %q, want %s", next.Spec.Follows, approval.Name)
	}
}

// always is a policy whose task needs consent every time.
const always = consentToAll + `
tasks:
- name: sizes
  description: Change sizes.
  scope:
    resourceRules: [{apiGroups: [apps], resources: [deployments], operations: [UPDATE]}]
    namespaces: [NAMESPACE]
    fields: [spec.replicas]
  approval: {when: Always}
- name: other
  scope: {resourceRules: [{apiGroups: [""], resources: [secrets], operations: [CREATE]}], namespaces: [NAMESPACE]}
`

// testPolicyDescribed edits what does not matter to what was approved.
func testPolicyDescribed(t *testing.T, e *environment) {
	s := newStory(t, e, always)
	act := func() error { return patchWeb(toFive)(t.Context(), s) }
	approval := s.grant(t, act)
	s.edit(t, func(spec *v1alpha1.AgentActionPolicySpec) {
		spec.Tasks[0].Description = "Change the sizes of everything."
		spec.Tasks[1].Scope.ResourceRules[0].Resources = []string{"configmaps"}
		spec.Subjects = append(spec.Subjects, v1alpha1.Subject{Kind: v1alpha1.SubjectUser, Name: "robot-" + s.namespace})
	})
	redeem(t, act)
	s.wantUses(t, approval, 1)

	byPerson(`{"spec":{"replicas":2}}`)(t, s)
	second := s.grant(t, act)
	s.edit(t, func(spec *v1alpha1.AgentActionPolicySpec) {
		spec.Tasks[0].Scope.Fields = append(spec.Tasks[0].Scope.Fields, "spec.paused")
	})
	s.asked(t, act)
	s.wantVoid(t, second, "policy changed since approval")
}

// testApproverLost takes the rights of who consented.
func testApproverLost(t *testing.T, e *environment) {
	s := newStory(t, e, consentToAll)
	helga := "helga-" + s.namespace
	s.edit(t, func(spec *v1alpha1.AgentActionPolicySpec) { spec.Approval.Requirements[0].Approvers[0].Name = helga })
	s.person = e.person(t, helga)
	act := func() error { return patchWeb(toFive)(t.Context(), s) }
	approval := s.grant(t, act)
	allowed(t, s.admin.Delete(t.Context(), &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "admin-" + helga}}))
	operatortest.Eventually(t, "the right is gone", func(ctx context.Context) error {
		err := s.agent.Patch(ctx, s.web.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(toFive)), client.DryRunAll)
		if err == nil {
			return errors.New("a dry run passes")
		}
		return nil
	})
	var answer error
	s.asked(t, func() error { answer = act(); return answer })
	if text := answer.Error(); !strings.Contains(text, "an approver may not approve any more") || strings.Contains(text, "helga") {
		t.Errorf("the answer is %q, want one that names nobody", text)
	}
	s.wantVoid(t, approval, "an approver may not approve any more")
}

// testAccountReplaced has the agent's account deleted and created again: it is another one.
func testAccountReplaced(t *testing.T, e *environment) {
	s := newStory(t, e, consentToAll)
	approval := s.grant(t, func() error { return patchWeb(toFive)(t.Context(), s) })
	allowed(t, s.admin.Delete(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "agent"}}))
	s.agent = e.agent(t, s.namespace)
	next := s.asked(t, func() error { return patchWeb(toFive)(t.Context(), s) })
	if next.Name == approval.Name || next.Spec.Requester.UID == approval.Spec.Requester.UID || next.Spec.Requester.Username != approval.Spec.Requester.Username {
		t.Errorf("the new account asks for %s as %+v, the old one asked for %s as %+v", next.Name, next.Spec.Requester, approval.Name, approval.Spec.Requester)
	}
	s.wantUses(t, approval, 0)
}

// labelling is a policy that adds a label to all that is written in a namespace.
const labelling = `
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicy
metadata: {name: NAME}
spec:
  reinvocationPolicy: Never
  matchConstraints:
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: NAMESPACE}}
    resourceRules:
    - {apiGroups: ["", apps], apiVersions: [v1], resources: [configmaps, deployments], operations: [CREATE, UPDATE]}
  mutations:
  - patchType: ApplyConfiguration
    applyConfiguration:
      expression: 'Object{metadata: Object.metadata{labels: {"injected": "yes"}}}'
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicyBinding
metadata: {name: NAME}
spec: {policyName: NAME}
`

// testMutated has another part of the cluster change what is written, after people saw it without.
func testMutated(t *testing.T, e *environment) {
	s := newStory(t, e, consentToAll)
	update := func() error { return patchWeb(toFive)(t.Context(), s) }
	create := func() error { return s.agent.Create(t.Context(), configMap(s.namespace, "new")) }
	updating, creating := s.grant(t, update), s.grant(t, create)
	remove := s.mutate(t)
	for name, tc := range map[string]struct {
		act      func() error
		approval *v1alpha1.ActionApproval
	}{"update": {update, updating}, "create": {create, creating}} {
		var answer error
		next := s.asked(t, func() error { answer = tc.act(); return answer })
		if next.Name == tc.approval.Name || !strings.Contains(next.Spec.Action.Diff, "+    injected: \"yes\"") {
			t.Errorf("%s: the next request shows\n%s", name, next.Spec.Action.Diff)
		}
		s.wantUses(t, tc.approval, 0)
	}
	// What was approved was not taken away: without the label it may be done.
	remove()
	redeem(t, update)
	redeem(t, create)
	s.wantUses(t, updating, 1)
	s.wantUses(t, creating, 1)
}

// mutate puts the policy of somebody else in force, and returns what takes it away.
func (s *story) mutate(t *testing.T) (remove func()) {
	t.Helper()
	var objects []client.Object
	text := strings.NewReplacer("NAMESPACE", s.namespace, "NAME", "label-"+s.namespace).Replace(labelling)
	for part := range strings.SplitSeq(text, "\n---\n") {
		o := new(unstructured.Unstructured)
		allowed(t, yaml.Unmarshal([]byte(part), &o.Object))
		allowed(t, s.admin.Create(t.Context(), o))
		objects = append(objects, o)
	}
	wait := func(what string, want bool) {
		operatortest.Eventually(t, what, func(ctx context.Context) error {
			probe := configMap(s.namespace, "mutation")
			if err := s.admin.Create(ctx, probe, client.DryRunAll); err != nil {
				return err
			}
			if _, labelled := probe.Labels["injected"]; labelled != want {
				return errors.New("not yet")
			}
			return nil
		})
	}
	wait("the label is added", true)
	return func() {
		for _, o := range objects {
			allowed(t, s.admin.Delete(t.Context(), o))
		}
		wait("no label is added", false)
	}
}

package webhooks_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/hack/controlplane"
	"github.com/countersign-dev/countersign/internal/operatortest"
)

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

// windowSpan is how long a window stays as it is while consent is given: more than that takes, on a machine with much to do.
const windowSpan = 8 * time.Second

// window lets the policy of a story have a change window, outside of which consent is needed.
func (s *story) window(t *testing.T, from, to time.Time) {
	t.Helper()
	s.edit(t, func(spec *v1alpha1.AgentActionPolicySpec) {
		spec.TimeZone = "UTC"
		spec.Windows = []v1alpha1.Window{{Name: "short", Once: &v1alpha1.OnceWindow{From: metav1.NewTime(from), To: metav1.NewTime(to)}}}
		spec.ChangeWindows = &v1alpha1.ChangeWindows{Allowed: []v1alpha1.WindowName{"short"}, WhenClosed: v1alpha1.RequireApproval}
	})
}

// testWindowCloses has one more reason to ask than there was when people consented.
func testWindowCloses(t *testing.T, e *environment) {
	s := newStory(t, e, consentToAll)
	closing := time.Now().Add(windowSpan)
	s.window(t, closing.Add(-time.Hour), closing)
	act := func() error { return patchWeb(toFive)(t.Context(), s) }
	approval := s.grant(t, act)
	operatortest.Eventually(t, "the window is closed", func(context.Context) error {
		if time.Until(closing) > -time.Second {
			return errors.New("it is open")
		}
		return nil
	})
	next := s.asked(t, act)
	s.wantVoid(t, approval, "not part of the approval: ChangeWindowClosed (policy p-"+s.namespace)
	if len(next.Spec.Reasons) != 2 {
		t.Errorf("the next request is for the reasons %+v", next.Spec.Reasons)
	}
}

// testWindowOpens has one reason less.
func testWindowOpens(t *testing.T, e *environment) {
	s := newStory(t, e, consentToAll)
	opening := time.Now().Add(windowSpan)
	s.window(t, opening, opening.Add(time.Hour))
	act := func() error { return patchWeb(toFive)(t.Context(), s) }
	approval := s.grant(t, act)
	if len(approval.Spec.Reasons) != 2 {
		t.Errorf("the request is for the reasons %+v", approval.Spec.Reasons)
	}
	operatortest.Eventually(t, "the window is open", func(context.Context) error {
		if time.Until(opening) > -time.Second {
			return errors.New("it is closed")
		}
		return nil
	})
	redeem(t, act)
	s.wantUses(t, approval, 1)
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
	controlplane.NeedFeature(t, e.plane, "MutatingAdmissionPolicy")
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

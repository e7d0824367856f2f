package webhooks_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/operatortest"
)

// anybody is a policy under which everybody with the verb approve may consent to whatever the agent does.
const anybody = `
enforcement: Enforce
subjects: [AGENT]
outOfScope: RequireApproval
`

// soon is a policy whose requests wait for two seconds.
const soon = anybody + `
approval: {requestExpiresAfter: 2s}
`

// three is a policy whose requests need three people.
var three = strings.Replace(asks, "minApprovals: 1", "minApprovals: 3", 1)

// scene is one request with its surroundings.
type scene struct {
	*environment
	namespace string
	agent     *identity
	request   *v1alpha1.ActionApproval
	// taken is a file with the request as somebody has read it.
	taken string
}

func (e *environment) scene(t *testing.T, spec string) *scene {
	t.Helper()
	namespace, agent, web := governed(t, e, spec)
	request := asked(t, e, namespace, func() error { return patch(t.Context(), agent, web, types.MergePatchType, toFive) })
	return &scene{environment: e, namespace: namespace, agent: agent, request: request}
}

// who turns a word of the table into somebody with all rights, but where it says otherwise.
func (s *scene) who(t *testing.T, word string) *identity {
	t.Helper()
	switch word {
	case "the requester":
		return s.agent
	case "a service account":
		return s.agentNamed(t, s.namespace, "other")
	case "another agent":
		agent := s.agentNamed(t, s.namespace, "second")
		s.govern(t, "second-"+s.namespace, "{kind: ServiceAccount, namespace: "+s.namespace+", name: second}")
		return agent
	case "a governed person":
		name := "dora-" + s.namespace
		s.govern(t, name, "{kind: User, name: "+name+"}")
		return s.person(t, name)
	case "a node":
		return s.personIn(t, "system:node:somewhere", "system:nodes")
	case "a component":
		return s.person(t, "system:kube-controller-manager")
	case "a person without the verb":
		return s.mayOnlyPatch(t, "grace-"+s.namespace)
	case "an impersonated account":
		return s.impersonating(t, "erin", s.agentNamed(t, s.namespace, "default").name)
	case "the impersonated requester":
		return s.impersonating(t, "erin", s.agent.name)
	default:
		return s.person(t, word)
	}
}

// govern makes somebody an agent, by a policy that lets them do everything.
func (s *scene) govern(t *testing.T, policy, subject string) {
	t.Helper()
	spec := "enforcement: Enforce\nsubjects: [" + subject + "]\noutOfScope: Allow\n"
	s.waitEnforced(t, s.policyNamed(t, policy, s.namespace, spec))
}

// personIn makes a person who is in groups by their certificate.
func (e *environment) personIn(t *testing.T, name string, groups ...string) *identity {
	t.Helper()
	kubeconfig, err := e.plane.PersonKubeconfig(name, groups...)
	if err != nil {
		t.Fatal(err)
	}
	e.bindAdmin(t, name, rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: "User", Name: name})
	return e.identity(t, name, kubeconfig)
}

// mayOnlyPatch makes a person who may write approvals, and lacks the verb approve.
func (s *scene) mayOnlyPatch(t *testing.T, name string) *identity {
	t.Helper()
	kubeconfig, err := s.plane.PersonKubeconfig(name)
	if err != nil {
		t.Fatal(err)
	}
	role := &rbacv1.ClusterRole{Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{"countersign.dev"}, Resources: []string{"actionapprovals"}, Verbs: []string{"get", "patch"}},
	}}
	role.Name = "writes-" + name
	allowed(t, s.admin.Create(t.Context(), role))
	binding := &rbacv1.ClusterRoleBinding{
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: name}},
	}
	binding.Name = role.Name
	allowed(t, s.admin.Create(t.Context(), binding))
	return s.identity(t, name, kubeconfig)
}

// impersonating is a person who acts as somebody else.
func (s *scene) impersonating(t *testing.T, name, as string) *identity {
	t.Helper()
	person := s.person(t, name)
	config := rest.CopyConfig(person.config)
	config.Impersonate = rest.ImpersonationConfig{UserName: as}
	return &identity{name: as, config: config, Client: operatortest.NewClient(t, config)}
}

// TestDeciders has everybody who might try give a verdict, in every state of a request.
func TestDeciders(t *testing.T) {
	e := newEnvironment(t)
	for name, tc := range map[string]struct {
		policy string
		// before are verdicts given before, such as "erin Approve", and states to wait for, such as "Approved".
		before []string
		who    string
		// verdict is Approve unless it says otherwise.
		verdict v1alpha1.DecisionVerdict
		// with is written in the same patch.
		with string
		// wantRefusal is a pattern; empty: it is allowed.
		wantRefusal string
		// wantAdded is how many verdicts are recorded by it.
		wantAdded int
	}{
		"the requester":                  {policy: anybody, who: "the requester", wantRefusal: "own objects|only people decide"},
		"the requester denies":           {policy: anybody, who: "the requester", verdict: "Deny", wantRefusal: "own objects|only people decide"},
		"another agent, a cluster-admin": {policy: anybody, who: "another agent", wantRefusal: "own objects|only people decide"},
		"a service account":              {policy: anybody, who: "a service account", wantRefusal: "only people decide"},
		"a node":                         {policy: anybody, who: "a node", wantRefusal: "only people decide"},
		"a component":                    {policy: anybody, who: "a component", wantRefusal: "only people decide"},
		"an impersonated account":        {policy: anybody, who: "an impersonated account", wantRefusal: "only people decide"},
		"the impersonated requester":     {policy: anybody, who: "the impersonated requester", wantRefusal: "own objects|only people decide"},
		"a governed person":              {policy: anybody, who: "a governed person", wantRefusal: "own objects|agents do not decide"},
		"a person without the verb":      {policy: anybody, who: "a person without the verb", wantRefusal: "lacks the verb approve"},
		"denies without the verb":        {policy: anybody, who: "a person without the verb", verdict: "Deny", wantRefusal: "lacks the verb approve"},
		"a person with the verb":         {policy: anybody, who: "mallory", wantAdded: 1},
		"an approver":                    {policy: asks, who: "erin", wantAdded: 1},
		"outside of approvers":           {policy: asks, who: "mallory", wantRefusal: "none of the requirements names this user"},
		"outside of approvers, denies":   {policy: asks, who: "mallory", verdict: "Deny", wantRefusal: "none of the requirements names this user"},
		"outside of approvers, revokes": {
			policy: asks, before: []string{"erin Approve", "Approved"}, who: "mallory", verdict: "Revoke",
			wantRefusal: "none of the requirements names this user",
		},
		"the same once more":    {policy: asks, before: []string{"erin Approve", "Approved"}, who: "erin"},
		"approved already":      {policy: asks, before: []string{"erin Approve", "Approved"}, who: "frank", wantRefusal: "approved already"},
		"denied after approved": {policy: asks, before: []string{"erin Approve", "Approved"}, who: "frank", verdict: "Deny", wantRefusal: "approved already"},
		"once more after denied": {
			policy: three, before: []string{"erin Approve", "frank Deny", "Denied"}, who: "erin", wantRefusal: "has ended: Denied",
		},
		"the denial once more": {policy: asks, before: []string{"erin Deny", "Denied"}, who: "erin", verdict: "Deny"},
		"once more after expired": {
			policy: strings.Replace(soon, "2s}", "5s, requirements: [{name: two, minApprovals: 2}]}", 1), before: []string{"erin Approve", "Expired"},
			who: "erin", wantRefusal: "has ended: Expired",
		},
		"approved after denied":  {policy: asks, before: []string{"erin Deny", "Denied"}, who: "frank", wantRefusal: "has ended: Denied"},
		"by who denied":          {policy: asks, before: []string{"erin Deny", "Denied"}, who: "erin", wantRefusal: "has ended: Denied"},
		"approved after expired": {policy: soon, before: []string{"Expired"}, who: "erin", wantRefusal: "has ended: Expired"},
		"denied after expired":   {policy: soon, before: []string{"Expired"}, who: "erin", verdict: "Deny", wantRefusal: "has ended: Expired"},
		"approved after revoked": {policy: asks, before: []string{"erin Approve", "Approved", "erin Revoke", "Revoked"}, who: "frank", wantRefusal: "has ended: Revoked"},
		"revoked too early":      {policy: asks, who: "erin", verdict: "Revoke", wantRefusal: "nothing is approved yet"},
		"revoked by another":     {policy: asks, before: []string{"erin Approve", "Approved"}, who: "frank", verdict: "Revoke", wantAdded: 1},
		"a denial lifted":        {policy: asks, before: []string{"erin Deny", "Denied"}, who: "frank", verdict: "Revoke", wantAdded: 1},
		"a denial lifted twice": {
			policy: asks, before: []string{"erin Deny", "Denied", "frank Revoke"}, who: "grace", verdict: "Revoke", wantRefusal: "has ended: Denied",
		},
		"with the action changed":    {policy: asks, who: "erin", with: `,"action":{"name":"other"}`, wantRefusal: "what was asked cannot be changed"},
		"with validity changed":      {policy: asks, who: "erin", with: `,"validFor":"100h"`, wantRefusal: "what was asked cannot be changed"},
		"with requirements dropped":  {policy: asks, who: "erin", with: `,"requirements":null`, wantRefusal: "what was asked cannot be changed"},
		"with the requester changed": {policy: asks, who: "erin", with: `,"requester":{"username":"x"}`, wantRefusal: "what was asked cannot be changed"},
		"with a justification":       {policy: asks, who: "erin", with: `,"justification":"because I can"`, wantRefusal: "only the requester justifies"},
		"with old verdicts removed": {
			policy: asks, before: []string{"erin Deny", "Denied"}, who: "frank", verdict: "Revoke", with: `,"decisions":[]`,
			wantRefusal: "recorded verdicts cannot be changed or removed",
		},
		"a verdict of another kind": {policy: asks, who: "erin", verdict: "Maybe", wantRefusal: `Unsupported value: "Maybe"`},
	} {
		t.Run(name, func(t *testing.T) {
			s := e.scene(t, tc.policy)
			for _, step := range tc.before {
				s.step(t, step)
			}
			who, body := s.who(t, tc.who), fmt.Sprintf(`{"spec":{"decision":{"verdict":%q}%s}}`, orApprove(tc.verdict), tc.with)
			before := s.read(t)
			err := patch(t.Context(), who, s.request, types.MergePatchType, body)
			checkRefusal(t, err, tc.wantRefusal)
			after := s.read(t)
			if got := len(after.Spec.Decisions) - len(before.Spec.Decisions); got != tc.wantAdded {
				t.Errorf("%d verdicts were recorded, want %d", got, tc.wantAdded)
			}
			if diff := cmp.Diff(before.Spec.Decisions, after.Spec.Decisions[:len(before.Spec.Decisions)], cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("what was recorded before has changed (-before +after):\n%s", diff)
			}
			if after.Spec.Decision != nil {
				t.Errorf("a verdict was stored unrecorded: %+v", after.Spec.Decision)
			}
		})
	}
}

func orApprove(v v1alpha1.DecisionVerdict) v1alpha1.DecisionVerdict {
	if v == "" {
		return v1alpha1.VerdictApprove
	}
	return v
}

// step is a verdict that somebody gives, such as "erin Approve", or a state to wait for.
func (s *scene) step(t *testing.T, step string) {
	t.Helper()
	who, verdict, isVerdict := strings.Cut(step, " ")
	if !isVerdict {
		waitState(t, s.environment, s.request, step)
		return
	}
	allowed(t, decide(t.Context(), s.person(t, who), s.request, verdict))
}

// read is the request as it is stored.
func (s *scene) read(t *testing.T) *v1alpha1.ActionApproval {
	t.Helper()
	a := &v1alpha1.ActionApproval{}
	allowed(t, s.admin.Get(t.Context(), client.ObjectKeyFromObject(s.request), a))
	return a
}

// checkRefusal checks that an error matches a pattern, or is nil where the pattern is empty.
func checkRefusal(t *testing.T, err error, pattern string) {
	t.Helper()
	switch {
	case pattern == "" && err != nil:
		t.Errorf("the answer is %v, want success", err)
	case pattern != "" && err == nil:
		t.Errorf("it is allowed, want a refusal that matches %q", pattern)
	case pattern != "" && !regexp.MustCompile(pattern).MatchString(err.Error()):
		t.Errorf("the answer is %v, want a refusal that matches %q", err, pattern)
	}
}

// groups is a policy with two requirements, of two groups.
const groups = anybody + `
outOfScopeRequirements: [owners, security]
approval:
  requirements:
  - {name: owners, approvers: [{kind: Group, name: owners}], minApprovals: 2}
  - {name: security, approvers: [{kind: Group, name: security}]}
`

// TestGroups has people who count for one requirement or for two, once for each.
func TestGroups(t *testing.T) {
	s := newEnvironment(t).scene(t, groups)
	ann := s.personIn(t, "ann", "owners", "security")
	allowed(t, decide(t.Context(), ann, s.request, "Approve"))
	allowed(t, decide(t.Context(), ann, s.request, "Approve"))
	// The same person with other groups is no second one.
	allowed(t, decide(t.Context(), s.personIn(t, "ann", "owners"), s.request, "Approve"))
	if a := s.read(t); len(a.Spec.Decisions) != 1 {
		t.Errorf("one person is recorded as %+v", a.Spec.Decisions)
	}
	checkRefusal(t, decide(t.Context(), s.personIn(t, "bob", "guests"), s.request, "Approve"), "none of the requirements names this user")
	waitState(t, s.environment, s.request, "Pending")
	allowed(t, decide(t.Context(), s.personIn(t, "carl", "security"), s.request, "Approve"))
	waitState(t, s.environment, s.request, "Pending")
	allowed(t, decide(t.Context(), s.personIn(t, "bob", "owners"), s.request, "Approve"))
	waitState(t, s.environment, s.request, "Approved")
}

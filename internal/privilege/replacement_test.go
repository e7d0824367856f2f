package privilege_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/action"
	"github.com/countersign-dev/countersign/internal/policy"
	"github.com/countersign-dev/countersign/internal/privilege"
)

// manifestsOf is a replacement as YAML, in short.
func manifestsOf(t *testing.T, r *privilege.Replacement) string {
	t.Helper()
	var b strings.Builder
	for _, object := range r.Objects() {
		text, err := json.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		written, err := yaml.JSONToYAML(text)
		if err != nil {
			t.Fatal(err)
		}
		b.WriteString("---\n")
		b.Write(written)
	}
	return b.String()
}

func TestReplacement(t *testing.T) {
	wide := `[{apiGroups: ["*"], resources: ["*"], verbs: ["*"]}, {nonResourceURLs: ["/metrics", "*"], verbs: ["*"]}]`
	c := clusterOf(t, map[string]string{"p": strings.Replace(deploys, "name: bot}]", "name: bot}, {kind: User, name: robot}]", 1) + `
- name: idle
  scope: {resourceRules: [{apiGroups: [example.com], resources: [things], operations: [UPDATE]}]}
`}, map[string]string{"admin": wide})
	r := privilege.New(c).Report(bot, nil)
	want := `---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: ci-bot-reviewed
rules:
- apiGroups: [""]
  resources: [configmaps, namespaces, nodes, pods, serviceaccounts]
  verbs: [get, list, watch]
- apiGroups: [""]
  resources: [events]
  verbs: [get, list, watch, create, update, patch]
- apiGroups: [""]
  resources: [pods/status]
  verbs: [get]
- apiGroups: [admissionregistration.k8s.io]
  resources: [validatingwebhookconfigurations]
  verbs: [get, list, watch]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch]
- apiGroups: [apps]
  resources: [deployments/scale]
  verbs: [get]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [get, list, watch]
- apiGroups: [countersign.dev]
  resources: [actionapprovals]
  verbs: [get, list, watch, create, update, patch]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch]
- apiGroups: [rbac.authorization.k8s.io]
  resources: [rolebindings]
  verbs: [get, list, watch]
- nonResourceURLs: [/metrics, "*"]
  verbs: [get]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: ci-bot-reviewed}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: ci-bot-reviewed}
subjects: [{kind: ServiceAccount, name: bot, namespace: ci}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: ci-bot-reviewed, namespace: ci}
rules:
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create, update, patch, delete, deletecollection]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: ci-bot-reviewed, namespace: shop}
rules:
- apiGroups: [""]
  resources: [configmaps]
  resourceNames: [old, older]
  verbs: [delete, deletecollection]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [update, patch]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: ci-bot-reviewed, namespace: shop-blue}
rules:
- apiGroups: [""]
  resources: [configmaps]
  resourceNames: [old, older]
  verbs: [delete, deletecollection]
`
	for _, namespace := range []string{"ci", "shop", "shop-blue"} {
		want += fmt.Sprintf(`---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: ci-bot-reviewed, namespace: %s}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: ci-bot-reviewed}
subjects: [{kind: ServiceAccount, name: bot, namespace: ci}]
`, namespace)
	}
	want += `---
apiVersion: countersign.dev/v1alpha1
kind: AgentActionPolicy
metadata: {name: p-ci-bot}
spec:` + strings.ReplaceAll(deploys, "\n", "\n  ")
	documents := func(text string) []any {
		var all []any
		for document := range strings.SplitSeq(text, "---\n") {
			var parsed any
			if err := yaml.Unmarshal([]byte(document), &parsed); err != nil {
				t.Fatal(err, document)
			}
			all = append(all, parsed)
		}
		return all
	}
	if diff := cmp.Diff(documents(want), documents(manifestsOf(t, &r.Replacement))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	then := []string{"kubectl delete clusterrolebinding admin", "# policy p: take ci/bot out of its subjects; while both name it, its tasks add up"}
	if diff := cmp.Diff(then, r.Replacement.Then); diff != "" {
		t.Error(diff)
	}
}

// request is one that RBAC is asked about.
type request struct{ verb, group, resource, namespace, name string }

// allows says whether rules of roles let a request pass, by the words of Kubernetes' authorizer.
func allows(rules []rbacv1.PolicyRule, q request) bool {
	return slices.ContainsFunc(rules, func(r rbacv1.PolicyRule) bool {
		_, subresource, below := strings.Cut(q.resource, "/")
		has := func(list []string, item string) bool {
			return slices.Contains(list, "*") || slices.Contains(list, item)
		}
		return has(r.Verbs, q.verb) && has(r.APIGroups, q.group) &&
			(has(r.Resources, q.resource) || below && slices.Contains(r.Resources, "*/"+subresource)) &&
			(len(r.ResourceNames) == 0 || slices.Contains(r.ResourceNames, q.name))
	})
}

// rights are the rules that hold in each namespace; those in "" hold everywhere.
type rights map[string][]rbacv1.PolicyRule

func (r rights) allow(q request) bool {
	return allows(r[""], q) || q.namespace != "" && allows(r[q.namespace], q)
}

// generator makes roles and policies at random, of few words, so that they meet often.
type generator struct{ *rand.Rand }

func (g generator) some(of ...string) []string {
	var picked []string
	for _, item := range of {
		if g.IntN(3) == 0 {
			picked = append(picked, item)
		}
	}
	if len(picked) == 0 {
		picked = append(picked, of[g.IntN(len(of))])
	}
	return picked
}

func (g generator) names() []string {
	if g.IntN(3) > 0 {
		return nil
	}
	return g.some("a", "b", "c")
}

func (g generator) rules() []rbacv1.PolicyRule {
	rules := make([]rbacv1.PolicyRule, 1+g.IntN(3))
	for i := range rules {
		rules[i] = rbacv1.PolicyRule{
			APIGroups: g.some("", "", "apps", "policy", "*", "coordination.k8s.io"), Verbs: g.some(append([]string{"*", "impersonate"}, all...)...),
			Resources: g.some("*", "pods", "pods/exec", "pods/eviction", "configmaps", "secrets", "deployments", "deployments/scale", "nodes", "*/scale", "leases",
				"serviceaccounts/token", "poddisruptionbudgets"),
			ResourceNames: g.names(),
		}
	}
	return rules
}

func (g generator) policy() string {
	spec := map[string]any{"enforcement": "Enforce", "subjects": []any{map[string]any{"kind": "ServiceAccount", "namespace": "ci", "name": "bot"}}}
	if o := []string{"", "Deny", "RequireApproval", "Allow"}[g.IntN(4)]; o != "" {
		spec["outOfScope"] = o
	}
	var tasks []any
	for i := range g.IntN(4) {
		var rules []any
		operations := g.some("CREATE", "UPDATE", "DELETE", "CONNECT", "*")
		fields := g.IntN(4) == 0
		if fields {
			operations = []string{"UPDATE"}
		}
		for range 1 + g.IntN(2) {
			rule := map[string]any{"apiGroups": g.some("", "apps", "*", "policy"), "operations": operations, "resources": g.some("*", "*/*", "pods", "pods/*", "pods/exec",
				"configmaps", "deployments", "nodes", "poddisruptionbudgets")}
			if names := g.names(); names != nil {
				rule["resourceNames"] = names
			}
			rules = append(rules, rule)
		}
		scope := map[string]any{"resourceRules": rules}
		switch g.IntN(4) {
		case 0:
			scope["namespaces"] = g.some("shop", "shop-*", "*", "ci")
		case 1:
			scope["namespaceSelector"] = map[string]any{"matchLabels": map[string]any{"team": "shop"}}
		}
		if fields {
			scope["fields"] = []string{"spec.replicas"}
		}
		tasks = append(tasks, map[string]any{"name": fmt.Sprintf("t%d", i), "scope": scope})
	}
	if tasks != nil {
		spec["tasks"] = tasks
	}
	text, err := json.Marshal(spec)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// TestReplacementHolds wants of random roles and policies that the replacement lets pass no more than before, all that tasks
// cover and all reads but for routes, and no other writes; and that no policy becomes wider.
func TestReplacementHolds(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	for round := range uint64(50) {
		g := generator{rand.New(rand.NewPCG(seed, round))}
		c := clusterOf(t, map[string]string{"p": g.policy(), "q": g.policy()}, nil)
		before := rights{}
		for i, place := range g.some("", "shop", "ci") {
			rules := g.rules()
			name := fmt.Sprintf("r%d", i)
			if place != "" {
				name = place + "/" + name
			}
			bind(&c, name, rules, rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: "ci", Name: "bot"})
			before[place] = append(before[place], rules...)
		}
		r := privilege.New(c).Report(bot, nil)
		after := rightsOf(&r.Replacement)
		narrowed := setOf(t, &c, &r.Replacement)
		judge := func(q request) (former, narrow policy.Reach) { return reach(&c, c.Set, q), reach(&c, narrowed, q) }
		for _, q := range requests(&c) {
			checkRequest(t, q, before.allow(q), after.allow(q), judge)
		}
		if t.Failed() {
			policies, err := yaml.Marshal(c.Policies)
			if err != nil {
				t.Fatal(err)
			}
			t.Fatalf("round %d of seed %d\nroles: %+v\npolicies:\n%s\nreplaced by:\n%s", round, seed, before, policies, manifestsOf(t, &r.Replacement))
		}
	}
}

func checkRequest(t *testing.T, q request, before, after bool, judge func(request) (former, narrowed policy.Reach)) {
	t.Helper()
	if after && !before {
		t.Errorf("%+v: it could not do that before", q)
	}
	if policy.IsReservedRight(q.verb, q.group, q.resource, q.namespace != "") || q.group == "" && q.resource == "secrets" && slices.Contains(all[:3], q.verb) {
		if after {
			t.Errorf("%+v: a route is left", q)
		}
		return
	}
	isRead := slices.Contains(all[:3], q.verb) && q.resource != "pods/exec" && q.resource != "nodes/proxy"
	switch {
	case isRead:
		if before && !after {
			t.Errorf("%+v: a read is gone", q)
		}
		return
	case !slices.Contains(all, q.verb):
		return
	}
	former, narrow := judge(q)
	names := func(r policy.Reach) (all []string) {
		for _, task := range r.Tasks {
			all = append(all, task.Policy+"/"+task.Task)
		}
		return all
	}
	for _, name := range names(narrow) {
		if !slices.Contains(names(former), name) {
			t.Errorf("%+v: task %s has become wider", q, name)
		}
	}
	covered := former.Reserved == "" && (former.Always || len(former.Tasks) > 0)
	switch {
	case covered && before && !after && !byNameOnly(q):
		t.Errorf("%+v: a task covers it, and it is gone", q)
	case covered && before && !former.Always && len(narrow.Tasks) == 0 && !byNameOnly(q):
		t.Errorf("%+v: no task covers it any more", q)
	case q.verb == "create" && !strings.Contains(q.resource, "/"): // authorizers are not told the name
	case after && !covered && (former.OutOfScope == v1alpha1.OutOfScopeDeny || former.OutOfScope == v1alpha1.OutOfScopeRequireApproval) && q.namespace != "countersign-system":
		t.Errorf("%+v: no task covers it, and it is left", q)
	}
}

// byNameOnly says that a request names nothing, so that RBAC lets it pass only for all names.
func byNameOnly(q request) bool { return q.name == "" }

// requests are all that are asked about.
func requests(c *privilege.Cluster) []request {
	var all []request
	for _, resource := range c.Served {
		namespaces := []string{""}
		if resource.Namespaced {
			namespaces = []string{"ci", "shop", "shop-blue", "kube-system", "countersign-system"}
		}
		for _, verb := range append([]string{"impersonate"}, resource.Verbs...) {
			for _, namespace := range namespaces {
				for _, name := range []string{"a", "b", "other", ""} {
					all = append(all, request{verb, resource.Group, resource.Name, namespace, name})
				}
			}
		}
	}
	return all
}

func rightsOf(p *privilege.Replacement) rights {
	r := rights{}
	shared := map[string][]rbacv1.PolicyRule{}
	for i := range p.ClusterRoles {
		shared[p.ClusterRoles[i].Name] = p.ClusterRoles[i].Rules
	}
	for i := range p.ClusterRoleBindings {
		r[""] = append(r[""], shared[p.ClusterRoleBindings[i].RoleRef.Name]...)
	}
	for i := range p.RoleBindings {
		b := &p.RoleBindings[i]
		if b.RoleRef.Kind == "ClusterRole" {
			r[b.Namespace] = append(r[b.Namespace], shared[b.RoleRef.Name]...)
			continue
		}
		for k := range p.Roles {
			if p.Roles[k].Namespace == b.Namespace {
				r[b.Namespace] = append(r[b.Namespace], p.Roles[k].Rules...)
			}
		}
	}
	return r
}

// setOf are the policies with those that are replaced.
func setOf(t *testing.T, c *privilege.Cluster, p *privilege.Replacement) *policy.Set {
	t.Helper()
	var compiled []*policy.Policy
	for _, stored := range c.Policies {
		one := stored.DeepCopy()
		if i := slices.IndexFunc(p.Policies, func(r privilege.ReplacedPolicy) bool { return r.Name == stored.Name }); i >= 0 {
			one.Spec = p.Policies[i].Spec
		}
		narrow := policy.Compile(one, policy.Identity{})
		if len(narrow.Errors) > 0 {
			t.Fatalf("policy %s is not valid any more: %v", one.Name, narrow.Errors)
		}
		compiled = append(compiled, narrow)
	}
	return policy.NewSet(compiled, c.Set.Operator())
}

// operations are those that verbs come to.
var operations = map[string]v1alpha1.Operation{
	"create": "CREATE", "update": "UPDATE", "patch": "UPDATE", "delete": "DELETE", "deletecollection": "DELETE", "get": "CONNECT",
}

func reach(c *privilege.Cluster, set *policy.Set, q request) policy.Reach {
	resource, subresource, _ := strings.Cut(q.resource, "/")
	operation := operations[q.verb]
	if q.group == "" && (q.resource == "pods/exec" || q.resource == "nodes/proxy") {
		operation = "CONNECT"
	}
	class := policy.Class{
		Actor:     action.Actor{Username: "system:serviceaccount:ci:bot", UID: "bot-uid", Groups: []string{"system:serviceaccounts", "system:serviceaccounts:ci"}},
		Group:     q.group,
		Namespace: q.namespace, Namespaced: q.namespace != "", NamespaceLabels: c.Namespaces[q.namespace], Name: q.name,
		Scale: subresource == "scale" && operation == "UPDATE",
	}
	class.Operation, class.Resource, class.Subresource = action.NormalForm(operation, q.group, resource, subresource)
	return set.Reach(class)
}

// TestThousands reviews all subjects of a cluster with thousands of roles and bindings.
func TestThousands(t *testing.T) {
	const many = 2000
	c := clusterOf(t, map[string]string{"p": strings.Replace(deploys, "name: bot", `name: "*"`, 1)}, map[string]string{
		"admin": `[{apiGroups: ["*"], resources: ["*"], verbs: ["*"]}]`,
	})
	g := generator{rand.New(rand.NewPCG(1, 2))}
	for i := range many {
		namespace := fmt.Sprintf("n%d", i/2)
		c.Namespaces[namespace] = map[string]string{"team": []string{"shop", "other"}[i%2]}
		account := fmt.Sprintf("bot-%d", i%100)
		c.Accounts[privilege.Subject{Kind: v1alpha1.SubjectServiceAccount, Namespace: "ci", Name: account}] = "u"
		bind(&c, fmt.Sprintf("%s/r%d", namespace, i), g.rules(), rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: "ci", Name: account})
		bind(&c, fmt.Sprintf("r%d", i), g.rules(), rbacv1.Subject{Kind: rbacv1.GroupKind, Name: fmt.Sprintf("group-%d", i)})
		c.Approvals = append(c.Approvals, approvalOf(fmt.Sprintf("a%d", i), "", nil))
	}
	c.Activities = []v1alpha1.AgentActivity{{ObjectMeta: metav1.ObjectMeta{CreationTimestamp: metav1.NewTime(now)}}}
	began := time.Now()
	review := privilege.New(c)
	indexed := time.Since(began)
	subjects := review.Subjects()
	for _, s := range subjects {
		review.Report(s, nil)
	}
	t.Logf("%d bindings in %d namespaces are indexed in %s, %d subjects reviewed in %s", 2*many, len(c.Namespaces), indexed, len(subjects), time.Since(began))
	if len(subjects) != 101 {
		t.Errorf("there are %d subjects", len(subjects))
	}
}

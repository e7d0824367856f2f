package privilege_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/policy"
	"github.com/countersign-dev/countersign/internal/privilege"
	"github.com/countersign-dev/countersign/internal/protection"
)

var (
	now = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	bot = privilege.Subject{Kind: v1alpha1.SubjectServiceAccount, Namespace: "ci", Name: "bot"}

	all    = []string{"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"}
	served = []privilege.Resource{
		{"", "pods", true, all},
		{"", "pods/exec", true, []string{"create", "get"}},
		{"", "pods/eviction", true, []string{"create"}},
		{"", "pods/status", true, []string{"get", "patch", "update"}},
		{"", "configmaps", true, all},
		{"", "secrets", true, all},
		{"", "events", true, all},
		{"", "serviceaccounts", true, all},
		{"", "serviceaccounts/token", true, []string{"create"}},
		{"", "namespaces", false, all},
		{"", "nodes", false, all},
		{"", "nodes/proxy", false, []string{"create", "delete", "get", "patch", "update"}},
		{"apps", "deployments", true, all},
		{"apps", "deployments/scale", true, []string{"get", "patch", "update"}},
		{"policy", "poddisruptionbudgets", true, all},
		{"rbac.authorization.k8s.io", "rolebindings", true, all},
		{"admissionregistration.k8s.io", "validatingwebhookconfigurations", false, all},
		{"coordination.k8s.io", "leases", true, all},
		{v1alpha1.GroupName, "actionapprovals", true, all},
	}
)

// clusterOf is a cluster with policies, and with one binding of the bot for each role: everywhere, or in "namespace/".
func clusterOf(t testing.TB, policies map[string]string, roles map[string]string) privilege.Cluster {
	t.Helper()
	c := privilege.Cluster{
		Now: now, Served: served, Accounts: map[privilege.Subject]string{bot: "bot-uid"},
		Namespaces: map[string]map[string]string{
			"ci": {}, "shop": {"team": "shop"}, "shop-blue": {"team": "shop"}, "kube-system": {}, "countersign-system": {},
		},
	}
	var compiled []*policy.Policy
	for name, spec := range policies {
		p := &v1alpha1.AgentActionPolicy{ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: metav1.NewTime(now.AddDate(0, -1, 0))}}
		if err := yaml.UnmarshalStrict([]byte(spec), &p.Spec); err != nil {
			t.Fatal(err)
		}
		one := policy.Compile(p, policy.Identity{})
		if len(one.Errors) > 0 {
			t.Fatalf("policy %s: %v", name, one.Errors)
		}
		c.Policies, compiled = append(c.Policies, p), append(compiled, one)
	}
	c.Set = policy.NewSet(compiled, policy.Operator{Namespace: "countersign-system"})
	for name, text := range roles {
		var rules []rbacv1.PolicyRule
		if err := yaml.UnmarshalStrict([]byte(text), &rules); err != nil {
			t.Fatal(err)
		}
		bind(&c, name, rules, rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: "ci", Name: "bot"})
	}
	return c
}

// bind adds a role and its binding: in "namespace/name", or everywhere.
func bind(c *privilege.Cluster, name string, rules []rbacv1.PolicyRule, subjects ...rbacv1.Subject) {
	namespace, short, within := strings.Cut(name, "/")
	if !within {
		c.ClusterRoles = append(c.ClusterRoles, rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: rules})
		c.ClusterRoleBindings = append(c.ClusterRoleBindings, rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: name}, RoleRef: rbacv1.RoleRef{Kind: "ClusterRole", Name: name}, Subjects: subjects,
		})
		return
	}
	c.Roles = append(c.Roles, rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: short}, Rules: rules})
	c.RoleBindings = append(c.RoleBindings, rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: short}, RoleRef: rbacv1.RoleRef{Kind: "Role", Name: short}, Subjects: subjects,
	})
}

// lines are the findings of a report, each in a line.
func lines(r *privilege.Report) []string {
	var all []string
	for _, f := range r.Findings {
		line := fmt.Sprintf("%s %s: %s", f.Type, f.Severity, f.What)
		if len(f.Details) > 0 {
			line += " [" + strings.Join(f.Details, "; ") + "]"
		}
		all = append(all, line)
		if f.Why == "" || f.Do == "" {
			all = append(all, "says neither why nor what to do")
		}
	}
	return all
}

const (
	botSubject = `
enforcement: Enforce
subjects: [{kind: ServiceAccount, namespace: ci, name: bot}]
`
	// deploys lets the bot change images in shop, and delete ConfigMaps of two names wherever the team is shop.
	deploys = botSubject + `
tasks:
- name: images
  scope:
    resourceRules: [{apiGroups: [apps], resources: [deployments], operations: [UPDATE]}]
    namespaces: [shop]
    fields: ["spec.template.spec.containers[*].image"]
- name: clean
  scope:
    resourceRules: [{apiGroups: [""], resources: [configmaps], operations: [DELETE], resourceNames: [old, older]}]
    namespaceSelector: {matchLabels: {team: shop}}
  budget: {maxActions: 10, per: 168h}
`
)

func TestFindings(t *testing.T) {
	for name, tc := range map[string]struct {
		policies, roles map[string]string
		change          func(*privilege.Cluster)
		groups          []string
		want            []string
	}{
		"as much as tasks cover": {
			policies: map[string]string{"p": deploys},
			roles: map[string]string{
				"shop/deploys": `[{apiGroups: [apps], resources: [deployments], verbs: [get, list, watch, update, patch]},
					{apiGroups: [""], resources: [configmaps], verbs: [delete], resourceNames: [old, older]}]`,
			},
			want: []string{"UnusedGrant Low: 1 right not used since 2026-11-19 in shop [delete configmaps named old, older (task p/clean)]"},
		},
		"everywhere, other verbs, other names": {
			policies: map[string]string{"p": deploys},
			roles: map[string]string{
				"wide": `[{apiGroups: [apps], resources: [deployments], verbs: [update, delete]}, {apiGroups: [""], resources: [configmaps], verbs: [delete]}]`,
			},
			want: []string{
				"RouteAroundGate Medium: change Countersign's own namespace [delete on configmaps, deployments.apps everywhere; update on deployments.apps everywhere]",
				"RouteAroundGate Medium: change whom the cluster trusts [delete on configmaps everywhere]",
				"OverPrivilege Medium: no task covers 1 right to write everywhere [delete on deployments.apps]",
				"OverPrivilege Medium: wider than the tasks: 2 rights everywhere [" +
					"delete configmaps: tasks cover it only in shop, shop-blue, named old, older; update deployments.apps: tasks cover it only in shop]",
				"UnusedGrant Low: 1 right not used since 2026-11-19 everywhere [delete configmaps (task p/clean)]",
			},
		},
		"a scale is no change of images, and an eviction a deletion": {
			policies: map[string]string{"p": botSubject + `
tasks:
- name: images
  scope:
    resourceRules: [{apiGroups: [apps], resources: [deployments], operations: [UPDATE]}]
    fields: ["spec.template.spec.containers[*].image"]
- name: restart
  scope: {resourceRules: [{apiGroups: [""], resources: [pods], operations: [DELETE]}]}
`},
			roles: map[string]string{
				"shop/r": `[{apiGroups: [apps], resources: [deployments/scale], verbs: [update]}, {apiGroups: [""], resources: [pods/eviction], verbs: [create]}]`,
			},
			want: []string{
				"OverPrivilege Medium: no task covers 1 right to write in shop [update on deployments.apps/scale]",
				"IdleTask Low: RBAC grants nothing of 1 task [p/images]",
			},
		},
		"routes": {
			policies: map[string]string{"p": deploys},
			roles: map[string]string{
				"r": `[{apiGroups: [""], resources: [users], verbs: [impersonate]}, {apiGroups: [""], resources: [secrets], verbs: [get]},
					{apiGroups: [rbac.authorization.k8s.io], resources: [clusterroles], verbs: [bind]}, {apiGroups: [""], resources: [nodes/proxy], verbs: [get]}]`,
				"ci/own": `[{apiGroups: [""], resources: [serviceaccounts/token], verbs: [create], resourceNames: [bot]}]`,
			},
			want: []string{
				"RouteAroundGate High: act as somebody else [impersonate on users everywhere]",
				"RouteAroundGate High: talk to kubelets [get on nodes/proxy everywhere]",
				"RouteAroundGate High: read Secrets [get on secrets everywhere]",
				"RouteAroundGate Medium: grant rights that one does not have [bind on clusterroles.rbac.authorization.k8s.io everywhere]",
				"OverPrivilege Medium: no task covers 1 right to write everywhere [get on nodes/proxy]",
				"OverPrivilege Medium: no task covers 1 right to write in ci [create on serviceaccounts/token named bot]",
				"IdleTask Low: RBAC grants nothing of 2 tasks [p/images; p/clean]",
			},
		},
		"by its groups": {
			policies: map[string]string{"p": botSubject},
			change: func(c *privilege.Cluster) {
				rules := []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"delete"}}}
				for _, group := range []string{"system:serviceaccounts:ci", "system:serviceaccounts", "robots", "others"} {
					bind(c, "shop/"+group, rules, rbacv1.Subject{Kind: rbacv1.GroupKind, Name: group})
				}
			},
			groups: []string{"robots", "system:masters"},
			want: []string{
				"RouteAroundGate High: is in system:masters",
				"OverPrivilege Medium: no task covers 1 right to write in shop [delete on pods]",
				"OverPrivilege Medium: no task covers 1 right to write in shop [delete on pods]",
				"OverPrivilege Medium: no task covers 1 right to write in shop [delete on pods]",
			},
		},
		"what nothing bounds": {
			policies: map[string]string{"p": botSubject + "outOfScope: Allow\ngoverns: {excludeResourceRules: [{apiGroups: [\"\"], resources: [pods], operations: [DELETE]}]}\n"},
			roles:    map[string]string{"shop/r": `[{apiGroups: ["", apps], resources: [pods, deployments, events], verbs: [get, create, delete]}]`},
			want:     []string{"NotBounded Medium: nothing bounds 4 rights to write in shop [delete on events, pods; create on pods; create, delete on deployments.apps]"},
		},
		"what people are asked": {
			policies: map[string]string{"p": botSubject + "outOfScope: RequireApproval\n"},
			roles:    map[string]string{"shop/r": `[{apiGroups: [""], resources: [pods], verbs: [delete]}]`},
			want:     []string{"OverPrivilege Medium: no task covers 1 right to write in shop [delete on pods]"},
		},
		"nobody governs it": {
			policies: map[string]string{"p": strings.Replace(deploys, "Enforce", "Audit", 1)},
			roles:    map[string]string{"shop/r": `[{apiGroups: [""], resources: [pods], verbs: [delete]}]`},
			want:     []string{"NotBounded Medium: nothing bounds 1 right to write in shop [delete on pods]"},
		},
		"a policy that is gone, and one that restricts a namespace": {
			policies: map[string]string{"p": botSubject + "governs: {namespaceSelector: {matchLabels: {team: shop}}}\n"},
			roles:    map[string]string{"r": `[{apiGroups: [""], resources: [pods], verbs: [delete]}]`},
			want: []string{
				"RouteAroundGate Medium: change Countersign's own namespace [delete on pods everywhere]",
				"NotBounded Medium: nothing bounds 1 right to write everywhere [delete on pods]",
			},
		},
		"nobody is there": {
			policies: map[string]string{"p": botSubject},
			roles:    map[string]string{"shop/r": `[{apiGroups: [""], resources: [pods], verbs: [get]}]`},
			change:   func(c *privilege.Cluster) { c.Accounts = map[privilege.Subject]string{} },
			want:     []string{"MissingAccount Medium: service account ci/bot does not exist [policy p; RoleBinding/shop/r]"},
		},
		"what does not exist": {
			policies: map[string]string{"p": botSubject},
			roles:    map[string]string{"shop/r": `[{apiGroups: [example.com], resources: [things], verbs: [get, "*"]}]`},
			change: func(c *privilege.Cluster) {
				bind(c, "shop/gone", nil, rbacv1.Subject{Kind: rbacv1.UserKind, Name: "system:serviceaccount:ci:bot"})
				c.Roles = c.Roles[:1]
			},
			want: []string{
				"DanglingGrant Low: RoleBinding/shop/gone names Role/shop/gone, which does not exist",
				"DanglingGrant Low: 1 resource that the API server does not serve in shop [things.example.com]",
			},
		},
		"a Namespace in itself": {
			policies: map[string]string{"p": botSubject},
			roles:    map[string]string{"shop/r": `[{apiGroups: [""], resources: [namespaces, nodes], verbs: [delete]}]`},
			want:     []string{"OverPrivilege Medium: no task covers 1 right to write in shop [delete on namespaces named shop]"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := clusterOf(t, tc.policies, tc.roles)
			if tc.change != nil {
				tc.change(&c)
			}
			if diff := cmp.Diff(tc.want, lines(privilege.New(c).Report(bot, tc.groups))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestNotReadable wants nothing to be concluded from what could not be read.
func TestNotReadable(t *testing.T) {
	c := clusterOf(t, map[string]string{"p": deploys}, nil)
	c.Accounts = nil
	c.Missing = privilege.Lacking{Namespaces: true, Accounts: true, Activities: true, Approvals: true, RBAC: true}
	r := privilege.New(c).Report(bot, nil)
	if got := lines(r); len(got) > 0 {
		t.Errorf("found is %v", got)
	}
	if r.Existence != privilege.NotKnown || r.Replacement.Refused == "" || len(r.Replacement.Objects()) > 0 || r.KnowsUses() {
		t.Errorf("the report is %+v", r)
	}
}

func TestSubjects(t *testing.T) {
	c := clusterOf(t, map[string]string{
		"p": "enforcement: Enforce\nsubjects:\n- {kind: ServiceAccount, namespace: ci, name: \"*\"}\n- {kind: User, name: robot}\n- {kind: Group, name: helpers}\n" +
			"- {kind: Group, name: \"system:serviceaccounts:shop\"}\n",
		"q": "enforcement: Enforce\nsubjects: [{kind: Governed}, {kind: ServiceAccount, namespace: ops, name: gone}]\n",
		"w": "enforcement: Warn\nsubjects: [{kind: User, name: tried}]\n",
	}, map[string]string{"r": "[]"})
	bind(&c, "shop/s", nil, rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: "shop", Name: "former"})
	var got []string
	for _, s := range privilege.New(c).Subjects() {
		got = append(got, s.String())
		if back, err := privilege.ParseSubject(s.String()); err != nil || back != s {
			t.Errorf("%s is read as %+v: %v", s, back, err)
		}
	}
	if diff := cmp.Diff([]string{"ci/bot", "ops/gone", "shop/former", "User/robot", "Group/helpers"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestParseSubject(t *testing.T) {
	for text, want := range map[string]string{
		"system:serviceaccount:ci:bot": "ci/bot", "ci/bot": "ci/bot", "robot": "User/robot", "ann@example.com": "User/ann@example.com",
		"https://issuer/realm#ann": "User/https://issuer/realm#ann", "User/a/b": "User/a/b", "Group/oidc:agents": "Group/oidc:agents",
		"User/system:serviceaccount:ci:bot": "ci/bot", "": "", "system:serviceaccount:ci": "", "ci/": "", "/bot": "", "Group/": "",
	} {
		got := ""
		if s, err := privilege.ParseSubject(text); err == nil {
			got = s.String()
		}
		if got != want {
			t.Errorf("%q is read as %q, want %q", text, got, want)
		}
	}
}

// TestEverythingIsSaid wants every route of the table to be found, and explained as the table does.
func TestEverythingIsSaid(t *testing.T) {
	c := clusterOf(t, map[string]string{"p": botSubject}, map[string]string{"admin": `[{apiGroups: ["*"], resources: ["*"], verbs: ["*"]}]`})
	c.Served = append(slices.Clone(served),
		privilege.Resource{"apiextensions.k8s.io", "customresourcedefinitions", false, all},
		privilege.Resource{"certificates.k8s.io", "certificatesigningrequests", false, all},
		privilege.Resource{v1alpha1.GroupName, "agentactivities", false, all})
	r := privilege.New(c).Report(bot, nil)
	for _, route := range protection.Routes() {
		i := slices.IndexFunc(r.Findings, func(f privilege.Finding) bool { return f.What == route.What })
		if i < 0 {
			t.Errorf("the right to %s is not found", route.What)
			continue
		}
		f := &r.Findings[i]
		if f.Why != route.Why || f.Do != route.Do || (f.Severity == privilege.High) != (route.Closed >= protection.Sealed) {
			t.Errorf("the right to %s is explained otherwise than in the table: %+v", route.What, f)
		}
	}
	for i := range r.Findings {
		if !slices.Contains(privilege.Types(), r.Findings[i].Type) {
			t.Errorf("type %s is not reported", r.Findings[i].Type)
		}
	}
}

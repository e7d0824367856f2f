package policy

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/action"
)

const reachTasks = subjects + `
outOfScope: RequireApproval
tasks:
- name: images
  scope:
    resourceRules: [{apiGroups: [apps], resources: [deployments], operations: [UPDATE]}]
    namespaces: [shop]
    fields: ["spec.template.spec.containers[*].image"]
- name: named
  scope:
    resourceRules: [{apiGroups: [""], resources: [configmaps], operations: ["*"], resourceNames: [b, a]}]
  budget: {maxActions: 3, per: 1h}
- name: wide
  scope:
    resourceRules: [{apiGroups: ["*"], resources: ["*/*"], operations: [DELETE, CONNECT]}]
    namespaceSelector: {matchLabels: {team: shop}}
- name: nodes
  scope:
    resourceRules: [{apiGroups: [""], resources: [nodes], operations: [UPDATE]}]
`

// class is one of the deploy bot.
func class(operation v1alpha1.Operation, group, resource, subresource, namespace string) Class {
	return Class{
		Actor:     action.Actor{Username: deployBot, UID: "bot-uid", Groups: []string{"system:serviceaccounts:ci"}},
		Operation: operation, Group: group, Resource: resource, Subresource: subresource, Namespaced: namespace != "", Namespace: namespace,
	}
}

func TestReach(t *testing.T) {
	set := setOf(t, map[string]string{"p": reachTasks})
	selected := map[string]string{"team": "shop"}
	for name, tc := range map[string]struct {
		class  Class
		change func(*Class)
		tasks  []string
		names  []string
		is     string // Always, Reserved, or what becomes of what no task covers
	}{
		"a field of it":                  {class: class("UPDATE", "apps", "deployments", "", "shop"), tasks: []string{"images"}},
		"a scale, which is no image":     {class: class("UPDATE", "apps", "deployments", "", "shop"), change: func(c *Class) { c.Scale = true }},
		"elsewhere":                      {class: class("UPDATE", "apps", "deployments", "", "other")},
		"by name":                        {class: class("CREATE", "", "configmaps", "", "any"), tasks: []string{"named"}, names: []string{"a", "b"}},
		"of a name":                      {class: class("CREATE", "", "configmaps", "", "any"), change: func(c *Class) { c.Name = "a" }, tasks: []string{"named"}},
		"of another name":                {class: class("CREATE", "", "configmaps", "", "any"), change: func(c *Class) { c.Name = "c" }},
		"by labels of the namespace":     {class: class("DELETE", "", "pods", "", "x"), change: func(c *Class) { c.NamespaceLabels = selected }, tasks: []string{"wide"}},
		"labels that are not known":      {class: class("DELETE", "", "pods", "", "x")},
		"a lever that is not named":      {class: class("DELETE", "policy", "poddisruptionbudgets", "", "x"), change: func(c *Class) { c.NamespaceLabels = selected }},
		"a session":                      {class: class("CONNECT", "", "pods", "exec", "x"), change: func(c *Class) { c.NamespaceLabels = selected }, tasks: []string{"wide"}},
		"in no namespace":                {class: class("UPDATE", "", "nodes", "", ""), tasks: []string{"nodes"}},
		"in no namespace, not named":     {class: class("DELETE", "", "nodes", "", "")},
		"admission configuration":        {class: class("DELETE", "admissionregistration.k8s.io", "validatingwebhookconfigurations", "", ""), is: "Reserved"},
		"kubelets":                       {class: class("CONNECT", "", "nodes", "proxy", ""), is: "Reserved"},
		"Countersign's namespace":        {class: class("DELETE", "", "pods", "", "countersign-system"), change: func(c *Class) { c.NamespaceLabels = selected }, is: "Reserved"},
		"tokens of others":               {class: class("CREATE", "", "serviceaccounts", "token", "ci"), is: "Reserved"},
		"tokens of its own":              {class: class("CREATE", "", "serviceaccounts", "token", "ci"), change: func(c *Class) { c.Name = "deploy-bot" }},
		"approving certificates":         {class: class("UPDATE", "certificates.k8s.io", "certificatesigningrequests", "approval", ""), is: "Reserved"},
		"its own requests":               {class: class("CREATE", v1alpha1.GroupName, "actionapprovals", "", "shop"), is: "Always"},
		"its justifications":             {class: class("UPDATE", v1alpha1.GroupName, "actionapprovals", "", "shop"), is: "Always"},
		"policies":                       {class: class("UPDATE", v1alpha1.GroupName, "agentactionpolicies", "", ""), is: "Reserved"},
		"events":                         {class: class("CREATE", "", "events", "", "shop"), is: "Always"},
		"leader election":                {class: class("UPDATE", "coordination.k8s.io", "leases", "", "ci"), is: "Always"},
		"leader election of others":      {class: class("UPDATE", "coordination.k8s.io", "leases", "", "shop")},
		"roles, whatever stands in them": {class: class("CREATE", rbacGroup, "roles", "", "shop")},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.change != nil {
				tc.change(&tc.class)
			}
			r := set.Reach(tc.class)
			var tasks, names []string
			for _, task := range r.Tasks {
				tasks, names = append(tasks, task.Task), append(names, task.Names...)
				if task.Recorded != (task.Task == "named") {
					t.Errorf("that %s is recorded: %t", task.Task, task.Recorded)
				}
			}
			if diff := cmp.Diff(tc.tasks, tasks) + cmp.Diff(tc.names, names); diff != "" {
				t.Error(diff)
			}
			is := string(r.OutOfScope)
			switch {
			case r.Reserved != "":
				is = "Reserved"
			case r.Always:
				is = "Always"
			}
			if tc.is == "" {
				tc.is = "RequireApproval"
			}
			if is != tc.is || !r.Governed {
				t.Errorf("it is %s (governed: %t), want %s", is, r.Governed, tc.is)
			}
		})
	}
	if r := set.Reach(Class{Actor: action.Actor{Username: "ann"}, Operation: "DELETE", Resource: "pods"}); r.Governed || r.OutOfScope != "" {
		t.Errorf("somebody whom no policy names: %+v", r)
	}
}

// classOf is the class that an action belongs to.
func classOf(in *Input) Class {
	a := in.Action
	return Class{
		Actor: a.Actor, Operation: a.Operation, Group: a.Group, Resource: a.Resource, Subresource: a.Subresource,
		Namespaced: a.Namespaced, Namespace: a.Namespace, NamespaceLabels: in.NamespaceLabels, Name: a.Name,
	}
}

// reachesAll wants a class to get at least as far as each of its actions.
func reachesAll(t *testing.T, set *Set, in Input) {
	t.Helper()
	d := set.Decide(in)
	named := classOf(&in)
	whole := named
	whole.Name = ""
	for _, class := range []Class{named, whole} {
		r := set.Reach(class)
		if r.Governed != d.Governed {
			t.Errorf("governed is %t, and of the class %t", d.Governed, r.Governed)
		}
		if d.Task == "" || set.Policy(d.Policy).broken != "" {
			continue
		}
		covers := slices.ContainsFunc(r.Tasks, func(task TaskReach) bool { return task.Policy == d.Policy && task.Task == d.Task })
		if !covers {
			t.Errorf("task %s covers %+v, and does not reach its class: %+v", d.TaskName(), class, r)
		}
	}
}

// TestPlaces wants namespaces that look alike to be treated alike.
func TestPlaces(t *testing.T) {
	set := setOf(t, map[string]string{"p": reachTasks})
	tell := set.Places(class("", "", "", "", "").Actor)
	selected := map[string]string{"team": "shop"}
	places := map[string]map[string]string{
		"shop": {}, "a": {}, "b": {}, "c": selected, "d": selected, "ci": {}, "countersign-system": {}, "unknown": nil,
	}
	groups := map[string][]string{}
	for name, labels := range places {
		key := tell(name, labels)
		groups[key] = append(groups[key], name)
		slices.Sort(groups[key])
	}
	var got [][]string
	for _, names := range groups {
		got = append(got, names)
	}
	slices.SortFunc(got, slices.Compare)
	want := [][]string{{"a", "b", "unknown"}, {"c", "d"}, {"ci"}, {"countersign-system"}, {"shop"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestReservedRightsOfRules(t *testing.T) {
	for name, tc := range map[string]struct {
		rule       RoleRule
		namespaced bool
		want       []string
	}{
		"everything": {RoleRule{Verbs: []string{"*"}, APIGroups: []string{"*"}, Resources: []string{"*"}}, false, ReservedRights()},
		"a wildcard of verbs": {RoleRule{Verbs: []string{"*"}, APIGroups: []string{""}, Resources: []string{"serviceaccounts"}}, true,
			[]string{impersonation}},
		"constrained impersonation": {RoleRule{Verbs: []string{"impersonate:user-info"}, APIGroups: []string{"x"}, Resources: []string{"y"}}, true,
			[]string{impersonation}},
		"reads":                {RoleRule{Verbs: []string{"get", "list", "watch"}, APIGroups: []string{""}, Resources: []string{"pods"}}, false, nil},
		"reads of everything":  {RoleRule{Verbs: []string{"get"}, APIGroups: []string{""}, Resources: []string{"*"}}, false, []string{"talk to kubelets"}},
		"nodes in a namespace": {RoleRule{Verbs: []string{"get"}, APIGroups: []string{""}, Resources: []string{"*"}}, true, nil},
	} {
		var got []string
		for _, r := range tc.rule.Reserved(tc.namespaced) {
			if !slices.Contains(got, r.What) {
				got = append(got, r.What)
			}
		}
		slices.Sort(got)
		slices.Sort(tc.want)
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

package privilege

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/naming"
	"github.com/countersign-dev/countersign/internal/policy"
)

// Replacement is what could replace the roles and policies of a subject: the writes that tasks cover or that were used, the
// reads that it has but for those that are findings, and the tasks as far as RBAC grants them.
type Replacement struct {
	ClusterRoles        []rbacv1.ClusterRole        `json:"clusterRoles,omitempty"`
	ClusterRoleBindings []rbacv1.ClusterRoleBinding `json:"clusterRoleBindings,omitempty"`
	Roles               []rbacv1.Role               `json:"roles,omitempty"`
	RoleBindings        []rbacv1.RoleBinding        `json:"roleBindings,omitempty"`
	Policies            []ReplacedPolicy            `json:"policies,omitempty"`
	// Refused says why no replacement is made; empty where one is.
	Refused string `json:"refused,omitempty"`
	// Left says what it leaves out and why, one sentence each.
	Left []string `json:"left,omitempty"`
	// Then are the steps that remain once it is applied: commands, or sentences.
	Then []string `json:"then,omitempty"`
}

// ReplacedPolicy is an AgentActionPolicy as it is applied: without a status.
type ReplacedPolicy struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              v1alpha1.AgentActionPolicySpec `json:"spec"`
}

func (r *Review) replacement(s Subject, report *Report, naming []*policy.Policy) Replacement {
	if r.Missing.RBAC {
		return Replacement{Refused: "not all of RBAC could be read, and it would lack what is not known"}
	}
	if report.Existence == Missing {
		return Replacement{Refused: "the account does not exist"}
	}
	k := &keeper{review: r, places: map[string]holding{}, tasks: map[string]*keptTask{}}
	var then []string
	for i := range report.Grants {
		g := &report.Grants[i]
		if g.Everybody {
			continue
		}
		for l := range g.Rights {
			k.right(g, &g.Rights[l])
		}
		k.urls(g)
		if g.bound.name == roleName(s) {
			continue // it was applied before, and is replaced in place
		}
		if command := g.undone(); command != "" {
			then = append(then, command)
		} else {
			then = append(then, "# "+g.Binding+": "+g.leave())
		}
	}
	if k.outside > 0 {
		k.left = append(k.left, plural(k.outside, "right")+" to write that no task covers")
	}
	out := Replacement{Left: k.left}
	k.roles(s, &out)
	policiesThen := k.policies(s, naming, &out)
	if len(report.Grants) > 0 {
		out.Then = then
	}
	out.Then = append(out.Then, policiesThen...)
	return out
}

// leave says how to take the subject out of a binding that others need.
func (g *Grant) leave() string {
	if g.Via != "" {
		return "names group " + g.Via + "; what its members need, bind to them"
	}
	return "names others too; take this subject out of it"
}

// rules are what is held in a place, with resources that have the same verbs in one rule.
func (h holding) rules() []rbacv1.PolicyRule {
	type alike struct{ group, verbs, names string }
	together := map[alike][]string{}
	var order []alike
	for key, verbs := range h {
		a := alike{key.group, strings.Join(sortVerbs(slices.Collect(maps.Keys(verbs))), "\x00"), key.names}
		if together[a] == nil {
			order = append(order, a)
		}
		together[a] = append(together[a], key.resource)
	}
	rules := make([]rbacv1.PolicyRule, 0, len(order))
	for _, a := range order {
		slices.Sort(together[a])
		rule := rbacv1.PolicyRule{APIGroups: []string{a.group}, Resources: together[a], Verbs: strings.Split(a.verbs, "\x00")}
		if a.names != "" {
			rule.ResourceNames = strings.Split(a.names, "\x00")
		}
		rules = append(rules, rule)
	}
	slices.SortFunc(rules, func(a, b rbacv1.PolicyRule) int {
		return slices.Compare([]string{a.APIGroups[0], a.Resources[0], a.Verbs[0], strings.Join(a.ResourceNames, ",")},
			[]string{b.APIGroups[0], b.Resources[0], b.Verbs[0], strings.Join(b.ResourceNames, ",")})
	})
	return rules
}

// roles writes the roles and their bindings. Namespaces in which the same is held share a ClusterRole.
func (k *keeper) roles(s Subject, out *Replacement) {
	k.prune()
	base := roleName(s)
	if len(k.paths) > 0 && k.places[""] == nil {
		k.places[""] = holding{}
	}
	shared := map[string][]string{}
	rules := map[string][]rbacv1.PolicyRule{}
	for _, place := range slices.Sorted(maps.Keys(k.places)) {
		held := k.places[place].rules()
		key := fmt.Sprint(held)
		if place == "" {
			out.ClusterRoles = append(out.ClusterRoles, clusterRole(base, slices.Concat(held, k.paths)))
			out.ClusterRoleBindings = append(out.ClusterRoleBindings, rbacv1.ClusterRoleBinding{
				TypeMeta: typeMeta("ClusterRoleBinding"), ObjectMeta: metav1.ObjectMeta{Name: base},
				RoleRef: roleRef("ClusterRole", base), Subjects: rbacSubjects(s),
			})
			continue
		}
		shared[key], rules[key] = append(shared[key], place), held
	}
	number := 0
	for _, key := range slices.SortedFunc(maps.Keys(shared), func(a, b string) int { return strings.Compare(shared[a][0], shared[b][0]) }) {
		ref := roleRef("Role", base)
		if len(shared[key]) > 1 {
			number++
			ref = roleRef("ClusterRole", fmt.Sprintf("%s-%d", base, number))
			out.ClusterRoles = append(out.ClusterRoles, clusterRole(ref.Name, rules[key]))
		}
		for _, place := range shared[key] {
			if ref.Kind == "Role" {
				out.Roles = append(out.Roles, rbacv1.Role{
					TypeMeta: typeMeta("Role"), ObjectMeta: metav1.ObjectMeta{Namespace: place, Name: base}, Rules: rules[key],
				})
			}
			out.RoleBindings = append(out.RoleBindings, rbacv1.RoleBinding{
				TypeMeta: typeMeta("RoleBinding"), ObjectMeta: metav1.ObjectMeta{Namespace: place, Name: base}, RoleRef: ref, Subjects: rbacSubjects(s),
			})
		}
	}
}

func clusterRole(name string, rules []rbacv1.PolicyRule) rbacv1.ClusterRole {
	return rbacv1.ClusterRole{TypeMeta: typeMeta("ClusterRole"), ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: rules}
}

func typeMeta(kind string) metav1.TypeMeta {
	return metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: kind}
}

func roleRef(kind, name string) rbacv1.RoleRef {
	return rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: kind, Name: name}
}

func rbacSubjects(s Subject) []rbacv1.Subject {
	switch s.Kind {
	case v1alpha1.SubjectServiceAccount:
		return []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: s.Namespace, Name: s.Name}}
	case v1alpha1.SubjectGroup:
		return []rbacv1.Subject{{Kind: rbacv1.GroupKind, APIGroup: rbacv1.GroupName, Name: s.Name}}
	default:
		return []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: s.Name}}
	}
}

// Names of what is written: what people can read of the subject, and where that is not all of it, a hash.
const (
	readableName = 40
	hashLength   = 6
)

func readable(s Subject) string {
	plain := s.Name
	if s.Namespace != "" {
		plain = s.Namespace + "-" + s.Name
	}
	name := naming.Readable(plain, readableName)
	if name != plain || name == "" {
		name = strings.TrimLeft(name+"-"+naming.Suffix(hashLength, string(s.Kind), s.Namespace, s.Name), "-")
	}
	return name
}

// roleName is a name that no role has yet, as far as nobody has applied it before.
func roleName(s Subject) string { return readable(s) + "-reviewed" }

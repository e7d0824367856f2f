package privilege

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/policy"
)

// Bounds of an AgentActionPolicy.
const (
	maxResources  = 32
	maxRules      = 32
	maxNamespaces = 64
)

// keptTask is what RBAC grants of a task.
type keptTask struct {
	// classes with the names for which they are granted; nil: all.
	classes map[ruleKey][]string
	// namespaces in which something is granted; everywhere says that it is in all, or about what is in none.
	namespaces map[string]bool
	everywhere bool
}

// ruleKey is an operation on a resource, as rules of policies name it.
type ruleKey struct {
	group, resource string
	operation       v1alpha1.Operation
}

// keepTasks notes what is kept of the tasks that cover a class.
func (k *keeper) keepTasks(g *Grant, r *Right, c *verbsOf) {
	key := ruleKey{c.class.group, c.class.resource, c.class.operation}
	if c.class.subresource != "" {
		key.resource += "/" + c.class.subresource
	}
	for i := range c.parts {
		for name, t := range c.parts[i].tasks {
			k.task(name).keep(key, g, r, t.Names)
		}
	}
}

func (k *keeper) task(name string) *keptTask {
	if k.tasks[name] == nil {
		k.tasks[name] = &keptTask{classes: map[ruleKey][]string{}, namespaces: map[string]bool{}}
	}
	return k.tasks[name]
}

// keep notes a class that is granted for names; nil: all that the task covers.
func (t *keptTask) keep(key ruleKey, g *Grant, r *Right, names []string) {
	if was, kept := t.classes[key]; kept {
		names = joinNames(was, names)
	}
	t.classes[key] = names
	switch {
	case !r.namespaced || g.Namespace == "":
		t.everywhere = true
	default:
		t.namespaces[g.Namespace] = true
	}
}

// policies writes the policies with tasks that are no wider than what RBAC grants, and says what remains to be done then.
func (k *keeper) policies(s Subject, naming []*policy.Policy, out *Replacement) []string {
	var then []string
	for _, p := range naming {
		stored := k.review.policies[p.Name]
		if stored == nil || len(p.Errors) > 0 || len(stored.Spec.Tasks) == 0 || !names(p, s) {
			continue
		}
		spec := stored.Spec.DeepCopy()
		changed := false
		var tasks []v1alpha1.Task
		for i := range spec.Tasks {
			t := &spec.Tasks[i]
			kept := k.tasks[p.Name+"/"+t.Name]
			if kept == nil {
				changed = true
				continue
			}
			narrowed, fits := kept.narrow(t)
			if !fits {
				out.Left = append(out.Left, "task "+p.Name+"/"+t.Name+" as it is: what RBAC grants of it takes more rules than a task can have")
			}
			changed = changed || narrowed
			tasks = append(tasks, *t)
		}
		if !changed {
			continue
		}
		spec.Tasks = tasks
		name, step := p.Name, ""
		if len(spec.Subjects) > 1 || spec.Subjects[0].Name == "*" || spec.Subjects[0] != subjectOf(s) {
			name = p.Name + "-" + readable(s)
			step = "# policy " + p.Name + ": take " + s.String() + " out of its subjects; while both name it, its tasks add up"
		}
		spec.Subjects = []v1alpha1.Subject{subjectOf(s)}
		narrow := &v1alpha1.AgentActionPolicy{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: *spec}
		if errs := policy.Compile(narrow, policy.Identity{}).Errors; len(errs) > 0 {
			out.Left = append(out.Left, "policy "+p.Name+" as it is: narrowed it would not be valid: "+errs[0].Error())
			continue
		}
		out.Policies = append(out.Policies, ReplacedPolicy{
			TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "AgentActionPolicy"},
			ObjectMeta: narrow.ObjectMeta, Spec: narrow.Spec,
		})
		if step != "" {
			then = append(then, step)
		}
	}
	return then
}

func subjectOf(s Subject) v1alpha1.Subject {
	return v1alpha1.Subject{Kind: s.Kind, Namespace: s.Namespace, Name: s.Name}
}

// names says whether a policy names a subject, and not only everyone who is governed or a group that the subject is in.
func names(p *policy.Policy, s Subject) bool {
	if username := s.Username(); username != "" {
		return p.NamesUser(username)
	}
	return slices.Contains(p.Subjects(), subjectOf(s))
}

// narrow makes a task no wider than what is granted of it. It says whether that changed anything, and whether it could.
func (t *keptTask) narrow(task *v1alpha1.Task) (changed, fits bool) {
	scope := &task.Scope
	if !t.isAll(scope.ResourceRules) {
		rules := t.rules()
		if len(rules) > maxRules {
			return false, false
		}
		scope.ResourceRules, changed = rules, true
	}
	granted := slices.Sorted(maps.Keys(t.namespaces))
	switch {
	case t.everywhere || scope.NamespaceSelector != nil:
	case len(scope.Namespaces) == 0:
		if len(granted) <= maxNamespaces {
			scope.Namespaces, changed = granted, true
		}
	default:
		kept := slices.DeleteFunc(slices.Clone(scope.Namespaces), func(n string) bool {
			return !strings.ContainsAny(n, "*?") && !t.namespaces[n]
		})
		if len(kept) > 0 && len(kept) < len(scope.Namespaces) {
			scope.Namespaces, changed = kept, true
		}
	}
	return changed, true
}

// isAll says whether all that rules name is granted.
func (t *keptTask) isAll(rules []v1alpha1.ResourceRule) bool {
	for i := range rules {
		r := &rules[i]
		for _, group := range r.APIGroups {
			for _, resource := range r.Resources {
				for _, operation := range r.Operations {
					names, granted := t.classes[ruleKey{group, resource, operation}]
					if !granted || len(names) > 0 && !slices.Equal(names, slices.Sorted(slices.Values(r.ResourceNames))) {
						return false
					}
				}
			}
		}
	}
	return true
}

// rules are the rules for what is granted: of resources with the same operations and names, one.
func (t *keptTask) rules() []v1alpha1.ResourceRule {
	type alike struct{ group, operations, names string }
	operations := map[[3]string][]string{}
	for key, names := range t.classes {
		k := [3]string{key.group, key.resource, strings.Join(names, "\x00")}
		operations[k] = append(operations[k], string(key.operation))
	}
	together := map[alike][]string{}
	for k, ops := range operations {
		slices.Sort(ops)
		a := alike{k[0], strings.Join(ops, "\x00"), k[2]}
		together[a] = append(together[a], k[1])
	}
	var rules []v1alpha1.ResourceRule
	for a, resources := range together {
		slices.Sort(resources)
		for part := range slices.Chunk(resources, maxResources) {
			rule := v1alpha1.ResourceRule{APIGroups: []string{a.group}, Resources: part}
			for op := range strings.SplitSeq(a.operations, "\x00") {
				rule.Operations = append(rule.Operations, v1alpha1.Operation(op))
			}
			if a.names != "" {
				rule.ResourceNames = strings.Split(a.names, "\x00")
			}
			rules = append(rules, rule)
		}
	}
	slices.SortFunc(rules, func(a, b v1alpha1.ResourceRule) int {
		return cmp.Or(cmp.Compare(a.APIGroups[0], b.APIGroups[0]), cmp.Compare(a.Resources[0], b.Resources[0]),
			slices.Compare(a.Operations, b.Operations), slices.Compare(a.ResourceNames, b.ResourceNames))
	})
	return rules
}

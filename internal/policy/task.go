package policy

import (
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/action"
)

// task is a compiled grant.
type task struct {
	name  string
	scope scope
	gate  *gate
	// budget bounds how many actions are admitted in a span of time; nil: as many as come.
	budget *budget
	// always says that every use of the task needs consent.
	always bool
	// requirements are whom it asks then, validFor how long their consent is good; zero means the policy's own.
	requirements []v1alpha1.RequirementName
	validFor     time.Duration
	// maxActions is how many actions consent to one run of the task is good for; zero means that consent is always to
	// one exact action.
	maxActions int32
}

// scope says which actions a task covers.
type scope struct {
	rules           []v1alpha1.ResourceRule
	globs           []string
	namespaces      labels.Selector // nil: no selector
	objects         labels.Selector // nil: every object
	fields          []action.Pattern
	serviceAccounts []string
	templates       []action.Pattern // where custom resources keep pod templates
}

func (c *compiler) compileTasks(at *field.Path) {
	seen := map[string]bool{}
	for i := range c.spec.Tasks {
		t := &c.spec.Tasks[i]
		if seen[t.Name] {
			c.fail(field.Duplicate(at.Index(i).Child("name"), t.Name))
		}
		seen[t.Name] = true
		c.policy.tasks = append(c.policy.tasks, c.compileTask(t, at.Index(i)))
	}
}

func (c *compiler) compileTask(t *v1alpha1.Task, at *field.Path) *task {
	compiled := &task{
		name:   t.Name,
		scope:  c.compileScope(&t.Scope, at.Child("scope")),
		gate:   c.compileChangeWindows(t.ChangeWindows, at.Child("changeWindows")),
		budget: c.compileBudget(t.Budget, at.Child("budget")),
	}
	if t.Approval != nil {
		c.compileTaskApproval(t.Approval, compiled, at.Child("approval"))
	}
	return compiled
}

// maxRun bounds how many actions one run of a task may hold: as many uses as the status of an approval does.
const maxRun = 1000

func (c *compiler) compileTaskApproval(a *v1alpha1.TaskApproval, t *task, at *field.Path) {
	switch a.When {
	case "", v1alpha1.ApprovalOnDemand:
	case v1alpha1.ApprovalAlways:
		t.always = true
	default:
		c.fail(field.NotSupported(at.Child("when"), a.When, []v1alpha1.ApprovalWhen{v1alpha1.ApprovalOnDemand, v1alpha1.ApprovalAlways}))
	}
	t.requirements, t.validFor = a.Requirements, orDefault(a.ValidFor, 0)
	c.checkDuration(a.ValidFor, at.Child("validFor"), maxValidity)
	c.requirementNames(a.Requirements, at.Child("requirements"))
	c.compileCovers(a, t, at)
}

func (c *compiler) compileCovers(a *v1alpha1.TaskApproval, t *task, at *field.Path) {
	most := at.Child("maxActions")
	switch a.Covers {
	case "", v1alpha1.ApprovalCoversAction:
		if a.MaxActions != 0 {
			c.fail(field.Invalid(most, a.MaxActions, "belongs to covers: Task"))
		}
	case v1alpha1.ApprovalCoversTask:
		switch {
		case a.MaxActions == 0:
			c.fail(field.Required(most, "say how many actions one run of the task may hold"))
		case a.MaxActions < 0 || a.MaxActions > maxRun:
			c.fail(field.Invalid(most, a.MaxActions, "must be from 1 to "+itoa(maxRun)))
		default:
			t.maxActions = a.MaxActions
		}
	default:
		c.fail(field.NotSupported(at.Child("covers"), a.Covers,
			[]v1alpha1.ApprovalCovers{v1alpha1.ApprovalCoversAction, v1alpha1.ApprovalCoversTask}))
	}
}

func (c *compiler) compileScope(s *v1alpha1.TaskScope, at *field.Path) scope {
	if len(s.ResourceRules) == 0 {
		c.fail(field.Required(at.Child("resourceRules"), `name the actions; the resource "*/*" covers everything that is namespaced but levers`))
	}
	c.validateRules(s.ResourceRules, at.Child("resourceRules"))
	for i, pattern := range s.Namespaces {
		if err := validateGlob(pattern); err != nil {
			c.fail(field.Invalid(at.Child("namespaces").Index(i), pattern, err.Error()))
		}
	}
	return scope{
		rules: s.ResourceRules, globs: s.Namespaces, serviceAccounts: s.ServiceAccounts,
		namespaces: c.compileSelector(s.NamespaceSelector, at.Child("namespaceSelector")),
		objects:    c.compileSelector(s.ObjectSelector, at.Child("objectSelector")),
		fields:     c.compileFields(s, at.Child("fields")),
		templates:  c.compileTemplates(s.PodTemplatePaths, at.Child("podTemplatePaths")),
	}
}

func (c *compiler) compileTemplates(paths []string, at *field.Path) []action.Pattern {
	var patterns []action.Pattern
	for i, path := range paths {
		pattern, err := action.ParsePattern(path)
		switch {
		case err != nil:
			c.fail(field.Invalid(at.Index(i), path, err.Error()))
		case pattern.HasKeys():
			c.fail(field.Invalid(at.Index(i), path, "leaves out templates: write [*] for all elements of the list"))
		default:
			patterns = append(patterns, pattern)
		}
	}
	return patterns
}

func (c *compiler) compileFields(s *v1alpha1.TaskScope, at *field.Path) []action.Pattern {
	var patterns []action.Pattern
	for i, f := range s.Fields {
		pattern, err := action.ParsePattern(f)
		if err != nil {
			c.fail(field.Invalid(at.Index(i), f, err.Error()))
			continue
		}
		patterns = append(patterns, pattern)
	}
	for _, r := range s.ResourceRules {
		if len(s.Fields) > 0 && (len(r.Operations) != 1 || r.Operations[0] != v1alpha1.OperationUpdate) {
			c.fail(field.Invalid(at, s.Fields, "fields narrow what an UPDATE may change; a task with fields covers the operation UPDATE only"))
			break
		}
	}
	return patterns
}

// notNormalForm are spellings of actions that arrive under another name, with the spelling to use.
var notNormalForm = map[string]string{
	"scale":    "scaling is an UPDATE of the workload: name the resource itself, such as deployments, with the operation UPDATE",
	"eviction": "an eviction is a deletion: name pods with the operation DELETE",
	"bindings": "a binding is a CREATE of pods/binding: name that",
}

// validateRules refuses rules that could never match because actions are normalised.
func (c *compiler) validateRules(rules []v1alpha1.ResourceRule, at *field.Path) {
	for i, r := range rules {
		here := at.Index(i)
		for j, res := range r.Resources {
			resource, subresource, _ := strings.Cut(res, "/")
			key := subresource
			if resource == "bindings" {
				key = resource
			}
			if why, ok := notNormalForm[key]; ok {
				c.fail(field.Invalid(here.Child("resources").Index(j), res, why))
			}
		}
		if len(r.APIGroups) == 0 || len(r.Resources) == 0 || len(r.Operations) == 0 {
			c.fail(field.Required(here, "apiGroups, resources and operations must each name something"))
		}
	}
}

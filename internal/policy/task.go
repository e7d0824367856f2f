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
	// always says that every use of the task needs consent.
	always bool
	// requirements are whom it asks then, validFor how long their consent is good; zero means the policy's own.
	requirements []v1alpha1.RequirementName
	validFor     time.Duration
}

// scope says which actions a task covers.
type scope struct {
	rules           []v1alpha1.ResourceRule
	globs           []string
	namespaces      labels.Selector // nil: no selector
	objects         labels.Selector // nil: every object
	fields          []action.Pattern
	serviceAccounts []string
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
	if t.Budget != nil {
		c.checkDuration(t.Budget.Per, at.Child("budget", "per"), maxLookBack)
		c.requireKnown(t.Budget.WhenExceeded, t.Budget.Requirements, at.Child("budget"), "whenExceeded")
		c.unavailableRestriction(at.Child("budget"))
	}
	compiled := &task{
		name:  t.Name,
		scope: c.compileScope(&t.Scope, at.Child("scope")),
		gate:  c.compileChangeWindows(t.ChangeWindows, at.Child("changeWindows")),
	}
	if t.Approval != nil {
		compiled.always = t.Approval.When == v1alpha1.ApprovalAlways
		compiled.requirements, compiled.validFor = t.Approval.Requirements, orDefault(t.Approval.ValidFor, 0)
		if t.Approval.Covers == v1alpha1.ApprovalCoversTask {
			c.unavailable(at.Child("approval", "covers"))
		}
		c.checkDuration(t.Approval.ValidFor, at.Child("approval", "validFor"), maxValidity)
		c.requirementNames(t.Approval.Requirements, at.Child("approval", "requirements"))
	}
	return compiled
}

func (c *compiler) compileScope(s *v1alpha1.TaskScope, at *field.Path) scope {
	if len(s.ResourceRules) == 0 {
		c.fail(field.Required(at.Child("resourceRules"), `name the actions; the resource "*/*" covers everything that is namespaced`))
	}
	c.validateRules(s.ResourceRules, at.Child("resourceRules"))
	for i, pattern := range s.Namespaces {
		if err := validateGlob(pattern); err != nil {
			c.fail(field.Invalid(at.Child("namespaces").Index(i), pattern, err.Error()))
		}
	}
	if len(s.PodTemplatePaths) > 0 {
		c.unavailableRestriction(at.Child("podTemplatePaths"))
	}
	return scope{
		rules: s.ResourceRules, globs: s.Namespaces, serviceAccounts: s.ServiceAccounts,
		namespaces: c.compileSelector(s.NamespaceSelector, at.Child("namespaceSelector")),
		objects:    c.compileSelector(s.ObjectSelector, at.Child("objectSelector")),
		fields:     c.compileFields(s, at.Child("fields")),
	}
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

package policy

import (
	"slices"
	"strings"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/action"
)

// ruleMatches says whether a rule names the action, with the meaning that admission rules of the API server
// have: "pods" is the resource alone, "pods/*" the resource and its subresources, "*" every resource without
// subresources, "*/*" everything.
func ruleMatches(r *v1alpha1.ResourceRule, a *action.Action) bool {
	return (slices.Contains(r.Operations, a.Operation) || slices.Contains(r.Operations, v1alpha1.OperationAll)) &&
		(slices.Contains(r.APIGroups, a.Group) || slices.Contains(r.APIGroups, "*")) &&
		slices.ContainsFunc(r.Resources, func(res string) bool { return resourceMatches(res, a) }) &&
		(len(r.ResourceNames) == 0 || a.Name != "" && slices.Contains(r.ResourceNames, a.Name))
}

func resourceMatches(pattern string, a *action.Action) bool {
	resource, subresource, _ := strings.Cut(pattern, "/")
	return (resource == "*" || resource == a.Resource) && (subresource == "*" || subresource == a.Subresource)
}

func anyRuleMatches(rules []v1alpha1.ResourceRule, a *action.Action) bool {
	return slices.ContainsFunc(rules, func(r v1alpha1.ResourceRule) bool { return ruleMatches(&r, a) })
}

// namesResource says whether a rule names the resource itself, not by a wildcard: what cluster-scoped objects
// need in order to be covered by a task.
func namesResource(r *v1alpha1.ResourceRule, a *action.Action) bool {
	return slices.ContainsFunc(r.Resources, func(res string) bool {
		return baseResource(res) == a.Resource
	})
}

func baseResource(pattern string) string {
	resource, _, _ := strings.Cut(pattern, "/")
	return resource
}

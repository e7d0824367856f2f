package action

import (
	"fmt"
	"slices"
)

// podSpecs says where the built-in kinds hold the pod specs of the pods that they become, by group and resource.
var podSpecs = byGroup(map[[2]string][]string{
	{"", "pods"}:                    {"spec"},
	{"", "podtemplates"}:            {"template", "spec"},
	{"", "replicationcontrollers"}:  {"spec", "template", "spec"},
	{"apps", "controllerrevisions"}: {"data", "spec", "template", "spec"},
	{"apps", "daemonsets"}:          {"spec", "template", "spec"},
	{"apps", "deployments"}:         {"spec", "template", "spec"},
	{"apps", "replicasets"}:         {"spec", "template", "spec"},
	{"apps", "statefulsets"}:        {"spec", "template", "spec"},
	{"batch", "cronjobs"}:           {"spec", "jobTemplate", "spec", "template", "spec"},
	{"batch", "jobs"}:               {"spec", "template", "spec"},
})

// byGroup turns a table of kinds into one by group and then resource. It is asked several times for each action, and strings in
// small maps are found without hashing them.
func byGroup[T any](table map[[2]string]T) map[string]map[string]T {
	groups := map[string]map[string]T{}
	for kind, v := range table {
		if groups[kind[0]] == nil {
			groups[kind[0]] = map[string]T{}
		}
		groups[kind[0]][kind[1]] = v
	}
	return groups
}

// The name of a pod's service account, and its old alias. The API server keeps both equal.
const (
	accountField      = "serviceAccountName"
	accountAliasField = "serviceAccount"
)

// priorityField names the class by which pods of others make room for a pod.
const priorityField = "priorityClassName"

// podSpec returns where the kind holds a pod spec, nil where it holds none.
func (a *Action) podSpec() []string {
	return podSpecs[a.Group][a.Resource]
}

// ServiceAccounts are the accounts that the pods of the action run as before and after, sorted and without
// repetition; "default" where none is named. Both are empty where the kind holds no pods. For a CONNECT, an eviction
// and a binding before is about the live pod.
func (a *Action) ServiceAccounts() (before, after []string) {
	path := a.podSpec()
	if path == nil {
		return nil, nil
	}
	old, current := a.states()
	return accountsAt(old, path), accountsAt(current, path)
}

func accountsAt(object map[string]any, path []string) []string {
	spec := at(object, path...)
	if object == nil || !spec.Present && path[0] == "data" {
		return nil // there is no object, or a ControllerRevision of something else than pods
	}
	content, _ := spec.V.(map[string]any)
	return accountsOf(content)
}

// accountsOf are the accounts that a pod spec names: one, unless the alias says something else.
func accountsOf(content map[string]any) []string {
	var names []string
	for _, field := range []string{accountField, accountAliasField} {
		if v, present := content[field]; present && v != nil && v != "" {
			names = append(names, accountName(v))
		}
	}
	if names == nil {
		return []string{"default"}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// TemplateAccounts are the accounts of the pod templates that stand in a custom resource before and after, in the order
// of the templates: "default" where a template names none, and a name that no account has where it is no object. Both
// are empty where there is no template. The pattern says where templates stand; it must have no keys.
func (a *Action) TemplateAccounts(template Pattern) (before, after []string) {
	old, current := a.states()
	return templateAccounts(old, template), templateAccounts(current, template)
}

func templateAccounts(object map[string]any, template Pattern) []string {
	var names []string
	for _, v := range template.in(object) {
		names = append(names, templateAccount(v)...)
	}
	return names
}

func templateAccount(v any) []string {
	template, isObject := v.(map[string]any)
	spec := at(template, "spec")
	content, isSpec := spec.V.(map[string]any)
	switch {
	case !isObject:
		return []string{noAccount(v)}
	case isSpec || spec.V == nil:
		return accountsOf(content)
	default:
		return []string{noAccount(spec.V)}
	}
}

func accountName(v any) string {
	if name, ok := v.(string); ok {
		return name
	}
	return noAccount(v)
}

// noAccount gives what names no account a name that no account has.
func noAccount(v any) string { return fmt.Sprintf("(%T)", v) }

// accountAlias returns the path of the old alias of a pod's service account where it repeats the name before and after,
// nil where it does not.
func (a *Action) accountAlias() Path {
	spec := a.podSpec()
	if spec == nil {
		return nil
	}
	for _, object := range []map[string]any{a.Old, a.New} {
		content, _ := at(object, spec...).V.(map[string]any)
		if !equalValues(at(content, accountField), at(content, accountAliasField)) {
			return nil
		}
	}
	return append(fields(spec...), Segment{Field: accountAliasField})
}

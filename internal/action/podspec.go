package action

import (
	"fmt"
	"slices"
)

// podSpecs says where the built-in kinds hold the pod specs of the pods that they become, by group and resource.
var podSpecs = map[[2]string][]string{
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
}

// The name of a pod's service account, and its old alias. The API server keeps both equal.
const (
	accountField      = "serviceAccountName"
	accountAliasField = "serviceAccount"
)

// podSpec returns where the kind holds a pod spec, nil where it holds none.
func (a *Action) podSpec() []string {
	return podSpecs[[2]string{a.Group, a.Resource}]
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
	var names []string
	content, _ := spec.V.(map[string]any)
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

// accountName gives what is no text a name that no account has.
func accountName(v any) string {
	if name, ok := v.(string); ok {
		return name
	}
	return fmt.Sprintf("(%T)", v)
}

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

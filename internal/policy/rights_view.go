package policy

import "strings"

// RoleRule is one rule of a role of RBAC.
type RoleRule struct{ Verbs, APIGroups, Resources, ResourceNames []string }

// ReservedRight is what a rule grants of one right that no agent may grant: whoever has it reaches around Countersign.
type ReservedRight struct {
	// What it is, after "the right to".
	What string
	// Rule is the part of the rule that grants it, with its wildcards.
	Rule RoleRule
}

// Reserved is what the rule grants of the reserved rights, within one namespace or everywhere.
func (r RoleRule) Reserved(namespaced bool) []ReservedRight {
	plain := rule{r.Verbs, r.APIGroups, r.Resources, r.ResourceNames}
	var rights []ReservedRight
	for _, p := range plain.reserved(namespaced) {
		rights = append(rights, ReservedRight{p.what, RoleRule{p.verbs, p.groups, p.resources, p.names}})
	}
	return rights
}

// IsReservedRight says whether a verb on a resource, such as "create" on "serviceaccounts/token", is a reserved right.
func IsReservedRight(verb, group, resource string, namespaced bool) bool {
	if strings.HasPrefix(verb, "impersonate") {
		return true
	}
	one := RoleRule{Verbs: []string{verb}, APIGroups: []string{group}, Resources: []string{resource}}
	return len(one.Reserved(namespaced)) > 0
}

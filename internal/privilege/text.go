package privilege

import (
	"slices"
	"strconv"
	"strings"

	"github.com/countersign-dev/countersign/internal/policy"
)

// maxListed bounds how many items a sentence lists.
const maxListed = 6

// list joins items for people, and says how many are left out.
func list(items []string) string {
	if len(items) <= maxListed {
		return strings.Join(items, ", ")
	}
	return strings.Join(items[:maxListed-1], ", ") + " and " + strconv.Itoa(len(items)-maxListed+1) + " more"
}

// plural is a number with its noun.
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}

// ruleText is a part of a rule as a person says it: impersonate users, groups.
func ruleText(r *policy.RoleRule) string {
	var resources []string
	for _, group := range r.APIGroups {
		for _, resource := range r.Resources {
			if group == "*" && resource == "*" {
				group = "" // everything
			}
			resources = append(resources, withGroup(resource, group))
		}
	}
	text := list(r.Verbs) + " on " + list(resources)
	if len(r.ResourceNames) > 0 {
		text += " named " + list(r.ResourceNames)
	}
	return text
}

// withVerbs is a right as a person says it, for some of its verbs.
func (r *Right) withVerbs(verbs []string) string {
	text := strings.Join(verbs, ", ") + " " + withGroup(r.Resource, r.Group)
	if len(r.Names) > 0 {
		text += " named " + list(r.Names)
	}
	return text
}

func (r *Right) text() string { return r.withVerbs(r.Verbs) }

// where says where a grant holds.
func (g *Grant) where() string {
	if g.Namespace == "" {
		return " everywhere"
	}
	return " in " + g.Namespace
}

// by says by which binding and role it is granted, and whom the binding names if not the subject.
func (g *Grant) by() string {
	text := g.Binding + " (" + g.Role
	if g.Via != "" {
		text += ", by group " + g.Via
	}
	return text + ")"
}

// together says what rights are, in one line for all that have the same verbs.
func together(rights []*Right) []string {
	var order []string
	resources := map[string][]string{}
	for _, r := range rights {
		verbs, target := strings.Join(r.Verbs, ", "), withGroup(r.Resource, r.Group)
		if len(r.Names) > 0 {
			target += " named " + list(r.Names)
		}
		if resources[verbs] == nil {
			order = append(order, verbs)
		}
		resources[verbs] = append(resources[verbs], target)
	}
	slices.SortStableFunc(order, func(a, b string) int { return len(resources[b]) - len(resources[a]) })
	lines := make([]string, len(order))
	for i, verbs := range order {
		lines[i] = verbs + " on " + list(resources[verbs])
	}
	return lines
}

// String says the right and what becomes of its use, in a line.
func (r *Right) String() string {
	text := r.text() + ": "
	switch r.Coverage {
	case Read, Other:
		text += "not seen by admission"
	case ByTask:
		text += "task " + strings.Join(r.Tasks, ", ")
	case Always:
		text += "always passes"
	case Ungoverned:
		text += "no policy is about it"
	case Allowed:
		text += "no task, passes"
	case ByApproval:
		text += "no task, people are asked"
	case Refused:
		text += "no task, refused"
	case Reserved:
		text += "reserved"
	default:
		text += string(r.Coverage)
	}
	if len(r.OnlyIn) > 0 {
		text += " in " + list(r.OnlyIn) + " only"
	}
	if len(r.OnlyNames) > 0 {
		text += " for " + list(r.OnlyNames) + " only"
	}
	switch r.Use {
	case Used:
		text += "; used " + stamp(r.LastUsed)
	case Unused:
		text += "; not used since " + day(r.UnusedSince)
	default: // nobody knows
	}
	return text
}

package privilege

import (
	"maps"
	"slices"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/policy"
)

// part is what becomes of a class in some namespaces, for some names.
type part struct {
	coverage Coverage
	// names of the objects; none: all.
	names []string
	tasks map[string]policy.TaskReach
	// namespaces, of which toCome says that those that do not exist yet are among them. Both are empty for what is in none.
	namespaces []string
	toCome     bool
}

// verdict is what becomes of a class, and in short where it gets furthest.
type verdict struct {
	parts               []part
	coverage, elsewhere Coverage
	tasks               map[string]policy.TaskReach
	onlyNames           []string
	namespaces          []string
	recorded            bool
}

// rank orders coverages: the further an action gets, the higher.
func rank(c Coverage) int {
	return slices.Index([]Coverage{Reserved, Refused, ByApproval, Allowed, Ungoverned, Always, ByTask}, c)
}

// partOf is what a class comes to, for a name or, with none, for all.
func partOf(r policy.Reach, name []string, p place) part {
	v := part{names: name, namespaces: p.names, toCome: p.toCome}
	switch {
	case !r.Governed:
		v.coverage = Ungoverned
	case r.Reserved != "":
		v.coverage = Reserved
	case r.Always:
		v.coverage = Always
	case r.OutOfScope == "":
		v.coverage = Ungoverned
	case len(r.Tasks) > 0:
		v.coverage = ByTask
		v.tasks = map[string]policy.TaskReach{}
		for i, t := range r.Tasks {
			if len(name) > 0 {
				t.Names = name
			}
			v.tasks[t.Policy+"/"+t.Task] = t
			if v.names = joinNames(v.names, t.Names); i == 0 {
				v.names = t.Names
			}
		}
		if r.OutOfScope == v1alpha1.OutOfScopeAllow && len(name) == 0 {
			v.names = nil // the others pass as well
		}
	default:
		v.coverage = outOfScope(r.OutOfScope)
	}
	return v
}

// summarise says where a class gets furthest, and how far it gets at least elsewhere.
func summarise(parts []part, names []string) verdict {
	v := verdict{parts: parts, recorded: true}
	best := map[string]Coverage{} // in each namespace
	for i := range parts {
		p := &parts[i]
		for _, namespace := range p.where() {
			best[namespace] = furthest(best[namespace], p.coverage)
		}
		v.coverage = furthest(v.coverage, p.coverage)
	}
	first := true
	for i := range parts {
		p := &parts[i]
		if p.coverage != v.coverage {
			continue
		}
		if v.onlyNames = joinNames(v.onlyNames, p.names); first {
			v.onlyNames, first = p.names, false
		}
		v.tasks = joinTasks(v.tasks, p.tasks)
	}
	if len(v.onlyNames) == len(names) {
		v.onlyNames = nil
	}
	for _, t := range v.tasks {
		v.recorded = v.recorded && t.Recorded
	}
	reservedToCome := best[yetToCome] == Reserved
	for namespace, coverage := range best {
		switch {
		case coverage == v.coverage:
			if namespace != yetToCome && namespace != "" {
				v.namespaces = append(v.namespaces, namespace)
			}
		case coverage == Reserved && !reservedToCome: // Countersign's own namespace, which no policy can give
		case v.elsewhere == "" || rank(coverage) < rank(v.elsewhere):
			v.elsewhere = coverage
		}
	}
	slices.Sort(v.namespaces)
	return v
}

// where are the namespaces of a part, "" for what is in none.
func (p *part) where() []string {
	switch {
	case p.toCome:
		return append([]string{yetToCome}, p.namespaces...)
	case len(p.namespaces) == 0:
		return []string{""}
	default:
		return p.namespaces
	}
}

func furthest(a, b Coverage) Coverage {
	if a == "" || rank(b) > rank(a) {
		return b
	}
	return a
}

// joinTasks are the tasks of both, each with the names of both.
func joinTasks(a, b map[string]policy.TaskReach) map[string]policy.TaskReach {
	joined := maps.Clone(a)
	for name, t := range b {
		if was, both := a[name]; both {
			t.Names = joinNames(was.Names, t.Names)
		}
		if joined == nil {
			joined = map[string]policy.TaskReach{}
		}
		joined[name] = t
	}
	return joined
}

// joinNames are the names of both, where none means all.
func joinNames(a, b []string) []string {
	if len(a) == 0 || len(b) == 0 {
		return nil
	}
	joined := slices.Sorted(slices.Values(slices.Concat(a, b)))
	return slices.Compact(joined)
}

func outOfScope(o v1alpha1.OutOfScope) Coverage {
	switch o {
	case v1alpha1.OutOfScopeAllow:
		return Allowed
	case v1alpha1.OutOfScopeRequireApproval:
		return ByApproval
	case v1alpha1.OutOfScopeDeny:
		return Refused
	default:
		return Refused
	}
}

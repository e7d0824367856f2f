package policy

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/countersign-dev/countersign/internal/action"
	"github.com/countersign-dev/countersign/internal/legible"
)

// rank says how far an action got through the scope of a task; the task it got furthest through is the nearest.
type rank int

const (
	rankAction rank = iota
	rankLever
	rankNamespace
	rankObject
	rankAccount
	rankField
)

// miss is the first part of a task's scope that an action is outside of.
type miss struct {
	policy *Policy
	task   *task
	rank   rank
	reason Reason
	// subject is what is outside, allowed what the task covers instead.
	subject, allowed string
	// fields are the changed fields outside; inside says that some changed field is covered.
	fields []string
	inside bool
}

func (m *miss) detail() string {
	return m.subject + " outside task " + m.task.name + ", which covers " + m.allowed
}

// nearer chooses between misses: the higher rank, then the fewer fields outside, then the one found first, which
// is the first by policy and task.
func nearer(a, b *miss) *miss {
	switch {
	case a == nil:
		return b
	case b.rank != a.rank:
		if b.rank > a.rank {
			return b
		}
		return a
	case len(b.fields) < len(a.fields):
		return b
	}
	return a
}

// question is an action with what every scope asks of it, found once.
type question struct {
	Input
	// before and after are the accounts that pods run as.
	before, after []string
	// grants are the changes that must be spelled out.
	grants []action.Grant
	// lever says that the resource must be named.
	lever bool
}

func ask(in Input) *question {
	q := &question{Input: in, grants: in.Action.Grants(), lever: in.Action.Namespaced && isLever(in.Action)}
	q.before, q.after = in.Action.ServiceAccounts()
	return q
}

// covers returns nil where the task covers the whole action, and else what it does not cover.
func (s *scope) covers(q *question) *miss {
	a := q.Action
	if m := s.coversAction(q); m != nil {
		return m
	}
	if m := s.coversNamespace(q); m != nil {
		return m
	}
	if s.objects != nil && !a.SelectedBy(func(l map[string]string) bool { return matchesLabels(s.objects, l) }) {
		return &miss{rank: rankObject, reason: ObjectOutOfScope,
			subject: "the labels of " + thing(a) + " are", allowed: s.objects.String()}
	}
	for _, part := range []func(*question) *miss{s.coversScaled, s.coversAccounts, s.coversTemplates} {
		if m := part(q); m != nil {
			return m
		}
	}
	return s.coversFields(q)
}

func matchesLabels(s labels.Selector, l map[string]string) bool { return s.Matches(labels.Set(l)) }

// coversAction tests the rules. Cluster-scoped objects and levers are covered only by a rule that names the resource, the
// former in a task that is not about namespaces.
func (s *scope) coversAction(q *question) *miss {
	a := q.Action
	matched := false
	for i := range s.rules {
		r := &s.rules[i]
		if !ruleMatches(r, a) {
			continue
		}
		named := !q.lever && a.Namespaced || namesResource(r, a)
		if named && (a.Namespaced || s.namespaceless()) {
			return nil
		}
		matched = true
	}
	if matched && q.lever {
		return &miss{rank: rankLever, reason: ActionOutOfScope, subject: resourceOf(a) + " is",
			allowed: "what acts on other objects only where a rule names it, not by *"}
	}
	return s.missName(a)
}

// missName is the miss of an action that no rule matches: one does but for the name of the object, or none.
func (s *scope) missName(a *action.Action) *miss {
	for i := range s.rules {
		unnamed := s.rules[i]
		unnamed.ResourceNames = nil
		if a.Namespaced && ruleMatches(&unnamed, a) {
			return &miss{rank: rankObject, reason: ObjectOutOfScope, subject: thing(a) + " is",
				allowed: "the names " + list(s.rules[i].ResourceNames)}
		}
	}
	return &miss{rank: rankAction, reason: ActionOutOfScope}
}

func (s *scope) namespaceless() bool { return len(s.globs) == 0 && s.namespaces == nil }

func (s *scope) coversNamespace(q *question) *miss {
	a := q.Action
	if !a.Namespaced || s.namespaceless() || s.inNamespace(a.Namespace, q.NamespaceLabels) {
		return nil
	}
	allowed := list(s.globs)
	if s.namespaces != nil {
		allowed = "namespaces with " + s.namespaces.String()
	}
	return &miss{rank: rankNamespace, reason: NamespaceOutOfScope, subject: "namespace " + a.Namespace + " is", allowed: allowed}
}

// inNamespace says whether a scope that is about namespaces takes one in. Labels that are nil are not known.
func (s *scope) inNamespace(name string, labels map[string]string) bool {
	if s.namespaces != nil {
		return labels != nil && matchesLabels(s.namespaces, labels)
	}
	for _, g := range s.globs {
		if globMatches(g, name) {
			return true
		}
	}
	return false
}

// coversFields tests every change. What must be spelled out is covered only where a field names it.
func (s *scope) coversFields(q *question) *miss {
	outside, inside := s.splitFields(q)
	if len(outside) == 0 {
		return nil
	}
	return &miss{
		rank: rankField, reason: FieldOutOfScope, fields: outside, inside: inside,
		subject: list(outside) + isAre(outside), allowed: s.describeFields(),
	}
}

// splitFields are the changed fields outside the scope, and whether some are inside.
func (s *scope) splitFields(q *question) (outside []string, inside bool) {
	for _, c := range q.Action.Changes {
		if len(s.fields) > 0 && !s.fieldCovers(c.Path) {
			outside = append(outside, c.Path.String())
			continue
		}
		inside = true
	}
	for _, g := range q.grants {
		if !slices.ContainsFunc(s.fields, g.NamedBy) {
			outside = append(outside, g.Path.String())
		}
	}
	slices.Sort(outside)
	return slices.Compact(outside), inside
}

func (s *scope) fieldCovers(path action.Path) bool {
	for i := range s.fields {
		if s.fields[i].Covers(path) {
			return true
		}
	}
	return false
}

func (s *scope) describeFields() string {
	if len(s.fields) == 0 {
		return "every field that need not be spelled out"
	}
	return list(s.patterns())
}

func (s *scope) patterns() []string { return texts(s.fields) }

func texts(patterns []action.Pattern) []string {
	texts := make([]string, len(patterns))
	for i, p := range patterns {
		texts[i] = p.String()
	}
	return texts
}

func isAre(items []string) string {
	if len(items) == 1 {
		return " is"
	}
	return " are"
}

// maxListed bounds how many items a message lists, maxItem the length of each.
const (
	maxListed = 6
	maxItem   = 160
)

// list joins items for people and says how many are left out.
func list(items []string) string {
	shown := items[:min(len(items), maxListed)]
	texts := make([]string, len(shown), len(shown)+1)
	for i, item := range shown {
		texts[i] = legible.Line(item, maxItem)
	}
	if more := len(items) - len(shown); more > 0 {
		texts = append(texts, "and "+itoa(more)+" more")
	}
	return strings.Join(texts, ", ")
}

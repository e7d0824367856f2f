package controllers

import (
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/policy"
)

// maxExpression bounds a match condition, in code points. The API server compiles and stores 100,000 (its CEL
// environment's limit on the size of expressions) and refuses the whole configuration beyond that.
const maxExpression = 90_000

// population is a set of subjects in the form of a CEL expression.
type population struct {
	users, groups, namespaces []string
}

func (p *population) add(subjects []v1alpha1.Subject) {
	for _, s := range subjects {
		switch {
		case s.Kind == v1alpha1.SubjectServiceAccount && s.Name == "*":
			p.namespaces = append(p.namespaces, s.Namespace)
		case s.Kind == v1alpha1.SubjectServiceAccount:
			p.users = append(p.users, policy.ServiceAccountUsername(s.Namespace, s.Name))
		case s.Kind == v1alpha1.SubjectUser:
			p.users = append(p.users, s.Name)
		case s.Kind == v1alpha1.SubjectGroup:
			p.addGroup(s.Name)
		}
	}
}

// tidy sorts the names and takes out repetitions.
func (p *population) tidy() {
	for _, list := range []*[]string{&p.users, &p.groups, &p.namespaces} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
}

// addGroup takes the group of a namespace's service accounts for what it means: an impersonated account arrives
// without its groups.
func (p *population) addGroup(name string) {
	if namespace, ok := strings.CutPrefix(name, "system:serviceaccounts:"); ok {
		p.namespaces = append(p.namespaces, namespace)
	}
	p.groups = append(p.groups, name)
}

// with returns the population and more subjects, leaving the receiver as it is.
func (p *population) with(subjects []v1alpha1.Subject) population {
	next := population{slices.Clone(p.users), slices.Clone(p.groups), slices.Clone(p.namespaces)}
	next.add(subjects)
	next.tidy()
	return next
}

func (p *population) empty() bool {
	return len(p.users) == 0 && len(p.groups) == 0 && len(p.namespaces) == 0
}

// expression is true for exactly these subjects. It reads nothing but request.userInfo and tests every optional
// field with has(), so that it cannot fail: an error would count as a match for everybody. Names stand in lists,
// which the API server searches faster than it evaluates a chain of comparisons.
func (p *population) expression() string {
	var parts []string
	if len(p.users) > 0 {
		parts = append(parts, "request.userInfo.username in "+celList(p.users))
	}
	if len(p.namespaces) > 0 {
		parts = append(parts, "(request.userInfo.username.startsWith('system:serviceaccount:') && "+
			"request.userInfo.username.split(':')[2] in "+celList(p.namespaces)+")")
	}
	byName := ""
	if len(parts) > 0 {
		byName = "(has(request.userInfo.username) && (" + strings.Join(parts, " || ") + "))"
	}
	if len(p.groups) == 0 {
		return byName
	}
	byGroup := "(has(request.userInfo.groups) && request.userInfo.groups.exists(g, g in " + celList(p.groups) + "))"
	if byName == "" {
		return byGroup
	}
	return byName + " || " + byGroup
}

// fits says whether the API server accepts the expression in both entries.
func (p *population) fits(other *population) bool {
	return utf8.RuneCountInString(p.expression())+utf8.RuneCountInString(other.expression()) <= maxExpression
}

// celList renders names as a list of CEL string literals. CEL reads the escapes that QuoteToASCII writes.
func celList(names []string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = strconv.QuoteToASCII(n)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

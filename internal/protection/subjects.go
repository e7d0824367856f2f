package protection

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/policy"
)

// Subjects is a set of users, groups and namespaces of service accounts, in the form of CEL expressions.
type Subjects struct {
	// Users and Groups are names as the API server authenticates them; Namespaces stands for all their service accounts.
	Users, Groups, Namespaces []string
}

// Add takes in the subjects of a policy. Governed names nobody by itself.
func (p *Subjects) Add(subjects []v1alpha1.Subject) {
	for _, s := range subjects {
		switch {
		case s.Kind == v1alpha1.SubjectServiceAccount && s.Name == "*":
			p.Namespaces = append(p.Namespaces, s.Namespace)
		case s.Kind == v1alpha1.SubjectServiceAccount:
			p.Users = append(p.Users, policy.ServiceAccountUsername(s.Namespace, s.Name))
		case s.Kind == v1alpha1.SubjectUser:
			p.Users = append(p.Users, s.Name)
		case s.Kind == v1alpha1.SubjectGroup:
			p.addGroup(s.Name)
		}
	}
}

// Tidy sorts the names and takes out repetitions.
func (p *Subjects) Tidy() {
	for _, list := range []*[]string{&p.Users, &p.Groups, &p.Namespaces} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
}

// addGroup takes the group of a namespace's service accounts for what it means: an impersonated account arrives
// without its groups.
func (p *Subjects) addGroup(name string) {
	if namespace, ok := strings.CutPrefix(name, "system:serviceaccounts:"); ok {
		p.Namespaces = append(p.Namespaces, namespace)
	}
	p.Groups = append(p.Groups, name)
}

// With returns these and more subjects, leaving the receiver as it is.
func (p *Subjects) With(subjects []v1alpha1.Subject) Subjects {
	next := Subjects{slices.Clone(p.Users), slices.Clone(p.Groups), slices.Clone(p.Namespaces)}
	next.Add(subjects)
	next.Tidy()
	return next
}

// Empty says that nobody is meant.
func (p *Subjects) Empty() bool {
	return len(p.Users) == 0 && len(p.Groups) == 0 && len(p.Namespaces) == 0
}

// Expression is true for requests of exactly these subjects, in webhooks and admission policies; it is empty for nobody.
// It reads nothing but request.userInfo and tests every optional field with has(), so that it cannot fail: an error would
// count as a match for everybody.
func (p *Subjects) Expression() string {
	return p.expression("request.userInfo.username", "request.userInfo.groups")
}

// accessExpression is the same for the SubjectAccessReviews that authorizers are asked.
func (p *Subjects) accessExpression() string { return p.expression("request.user", "request.groups") }

// ServiceAccount begins the user name of every service account; namespace and name follow, with a colon between.
const ServiceAccount = "system:serviceaccount:"

// expression tests where the API server says who asks. Names stand in lists, which it searches faster than it evaluates
// a chain of comparisons, and service accounts without what all of them begin with: room is short.
func (p *Subjects) expression(user, groups string) string {
	var parts, accounts, users []string
	for _, name := range p.Users {
		if account, is := strings.CutPrefix(name, ServiceAccount); is {
			accounts = append(accounts, account)
		} else {
			users = append(users, name)
		}
	}
	if len(users) > 0 {
		parts = append(parts, user+" in "+celList(users))
	}
	is := user + ".startsWith('" + ServiceAccount + "') && "
	if len(accounts) > 0 {
		parts = append(parts, fmt.Sprintf("(%s%s.substring(%d) in %s)", is, user, len(ServiceAccount), celList(accounts)))
	}
	if len(p.Namespaces) > 0 {
		parts = append(parts, "("+is+user+".split(':')[2] in "+celList(p.Namespaces)+")")
	}
	byName := ""
	if len(parts) > 0 {
		byName = "(has(" + user + ") && (" + strings.Join(parts, " || ") + "))"
	}
	if len(p.Groups) == 0 {
		return byName
	}
	byGroup := "(has(" + groups + ") && " + groups + ".exists(g, g in " + celList(p.Groups) + "))"
	if byName == "" {
		return byGroup
	}
	return byName + " || " + byGroup
}

// celList renders names as a list of CEL string literals. CEL reads the escapes that QuoteToASCII writes.
func celList(names []string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = strconv.QuoteToASCII(n)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

package policy

import (
	"slices"
	"strings"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/action"
	"github.com/countersign-dev/countersign/internal/legible"
)

// defaultAccounts are as whom pods run that name nobody. Whoever may run new pods has the power of that account anyway.
var defaultAccounts = []string{"default"}

// coversAccounts tests as whom pods would run. Without a list that is "default" in new objects and in pods that somebody
// enters, and in existing objects what it was.
func (s *scope) coversAccounts(q *question) *miss {
	if enters(q.Action) {
		return s.coversRunning(q.before, nil)
	}
	if !writes(q.Action) {
		return nil
	}
	return s.coversRunning(q.after, unchanged(q.Action, q.before))
}

// enters says whether an action acts inside a pod, and so as its account: by exec and the like, or by a container that
// joins it.
func enters(a *action.Action) bool {
	return a.Group == "" && a.Resource == "pods" &&
		(a.Operation == v1alpha1.OperationConnect || a.Subresource == "ephemeralcontainers")
}

func writes(a *action.Action) bool {
	return a.Operation == v1alpha1.OperationCreate || a.Operation == v1alpha1.OperationUpdate
}

// unchanged are the accounts that an update may keep; none for a new object.
func unchanged(a *action.Action, before []string) []string {
	if a.Operation != v1alpha1.OperationUpdate {
		return nil
	}
	return before
}

// coversRunning tests accounts against the list or, where there is none, against what was before, or else against the
// default.
func (s *scope) coversRunning(accounts, before []string) *miss {
	allowed := s.serviceAccounts
	if len(allowed) == 0 {
		allowed = before
	}
	if len(allowed) == 0 {
		allowed = defaultAccounts
	}
	for _, account := range accounts {
		if !slices.Contains(allowed, account) {
			return &miss{rank: rankAccount, reason: ServiceAccountOutOfScope,
				subject: "service account " + legible.Line(account, maxItem) + " is", allowed: list(allowed)}
		}
	}
	return nil
}

// coversTemplates tests the same of pod templates in custom resources, where the task says where they stand. An object
// at which none stands is not what the task was written for.
func (s *scope) coversTemplates(q *question) *miss {
	a := q.Action
	if len(s.templates) == 0 || !writes(a) || !custom(a.Group) {
		return nil
	}
	found := false
	for _, template := range s.templates {
		before, after := a.TemplateAccounts(template)
		found = found || len(before)+len(after) > 0
		if m := s.coversRunning(after, unchanged(a, before)); m != nil {
			return m
		}
		field := template.Field("spec", "serviceAccountName").String()
		if a.Operation == v1alpha1.OperationUpdate && !slices.Equal(before, after) && !slices.Contains(s.patterns(), field) {
			return &miss{rank: rankField, reason: FieldOutOfScope, fields: []string{field}, subject: field + " is", allowed: s.describeFields()}
		}
	}
	if !found {
		return &miss{rank: rankAccount, reason: ServiceAccountOutOfScope,
			subject: thing(a) + " is", allowed: "only objects with a pod template at " + list(texts(s.templates))}
	}
	return nil
}

// custom says that a group belongs to custom resources or aggregated APIs rather than to Kubernetes.
func custom(group string) bool {
	return strings.Contains(group, ".") && !strings.HasSuffix(group, ".k8s.io")
}

package protection

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/policy"
)

// ValidateSubjects refuses whom a seal must not name: who runs the cluster, and Countersign itself, all accounts in whose
// namespace are taken for it.
func ValidateSubjects(subjects []v1alpha1.Subject, namespace string) error {
	var errs field.ErrorList
	at := field.NewPath("subjects")
	for i, s := range subjects {
		self := policy.Identity{
			Username: policy.ServiceAccountUsername(namespace, s.Name), Groups: []string{"system:serviceaccounts:" + namespace},
		}
		errs = append(errs, policy.ValidateSubject(s, self, at.Index(i))...)
		if err := incomplete(s); err != nil {
			errs = append(errs, field.Invalid(at.Index(i), fmt.Sprintf("%s %s/%s", s.Kind, s.Namespace, s.Name), err.Error()))
		}
	}
	return errs.ToAggregate()
}

// incomplete is what the schema of policies refuses, for those that were not stored.
func incomplete(s v1alpha1.Subject) error {
	kinds := []v1alpha1.SubjectKind{v1alpha1.SubjectServiceAccount, v1alpha1.SubjectUser, v1alpha1.SubjectGroup, v1alpha1.SubjectGoverned}
	switch {
	case !slices.Contains(kinds, s.Kind):
		return fmt.Errorf("kind must be one of %v", kinds)
	case s.Kind == v1alpha1.SubjectGoverned:
		return nil
	case s.Name == "":
		return fmt.Errorf("name is needed")
	case s.Kind == v1alpha1.SubjectServiceAccount && s.Namespace == "":
		return fmt.Errorf("namespace is needed")
	case s.Kind != v1alpha1.SubjectServiceAccount && s.Namespace != "":
		return fmt.Errorf("namespace is for service accounts only")
	}
	return nil
}

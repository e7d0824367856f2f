package privilege

import (
	"cmp"
	"errors"
	"slices"
	"strings"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/action"
	"github.com/countersign-dev/countersign/internal/policy"
)

// Groups that the API server gives to accounts, and to everybody.
const (
	accountPrefix    = "system:serviceaccount:"
	accountsGroup    = "system:serviceaccounts"
	everybodyGroup   = "system:authenticated"
	superusersGroup  = "system:masters"
	bootstrappingKey = "kubernetes.io/bootstrapping"
)

// Subject is somebody whom RBAC grants rights: a service account, a user or a group.
type Subject struct {
	Kind      v1alpha1.SubjectKind `json:"kind"`
	Namespace string               `json:"namespace,omitempty"`
	Name      string               `json:"name"`
}

// ParseSubject reads system:serviceaccount:NAMESPACE:NAME, NAMESPACE/NAME for a service account, Group/NAME, User/NAME, or
// a user name.
func ParseSubject(text string) (Subject, error) {
	rest, isAccount := strings.CutPrefix(text, accountPrefix)
	before, after, cut := strings.Cut(text, "/")
	switch {
	case isAccount:
		namespace, name, whole := strings.Cut(rest, ":")
		if !whole || namespace == "" || name == "" {
			return Subject{}, errors.New("write a service account as system:serviceaccount:NAMESPACE:NAME")
		}
		return Subject{v1alpha1.SubjectServiceAccount, namespace, name}, nil
	case text == "" || cut && (before == "" || after == ""):
		return Subject{}, errors.New("write system:serviceaccount:NAMESPACE:NAME, NAMESPACE/NAME, User/NAME or Group/NAME")
	case cut && before == string(v1alpha1.SubjectGroup):
		return Subject{v1alpha1.SubjectGroup, "", after}, nil
	case cut && before == string(v1alpha1.SubjectUser):
		return ParseSubjectOfUser(after), nil
	case cut && !strings.Contains(after, "/") && !strings.ContainsAny(before, ":@"):
		return Subject{v1alpha1.SubjectServiceAccount, before, after}, nil
	default:
		return Subject{v1alpha1.SubjectUser, "", text}, nil
	}
}

// ParseSubjectOfUser is whom a user name means: that of a service account the account.
func ParseSubjectOfUser(username string) Subject {
	if rest, ok := strings.CutPrefix(username, accountPrefix); ok {
		if namespace, name, whole := strings.Cut(rest, ":"); whole {
			return Subject{v1alpha1.SubjectServiceAccount, namespace, name}
		}
	}
	return Subject{v1alpha1.SubjectUser, "", username}
}

// String is the subject as ParseSubject reads it.
func (s Subject) String() string {
	if s.Kind == v1alpha1.SubjectServiceAccount {
		return s.Namespace + "/" + s.Name
	}
	return string(s.Kind) + "/" + s.Name
}

// Username is the user name, empty for a group.
func (s Subject) Username() string {
	switch s.Kind {
	case v1alpha1.SubjectServiceAccount:
		return policy.ServiceAccountUsername(s.Namespace, s.Name)
	case v1alpha1.SubjectUser:
		return s.Name
	default:
		return ""
	}
}

func (s Subject) compare(other Subject) int {
	order := []v1alpha1.SubjectKind{v1alpha1.SubjectServiceAccount, v1alpha1.SubjectUser, v1alpha1.SubjectGroup}
	return cmp.Or(cmp.Compare(slices.Index(order, s.Kind), slices.Index(order, other.Kind)),
		cmp.Compare(s.Namespace, other.Namespace), cmp.Compare(s.Name, other.Name))
}

// groups are those of the subject as the API server authenticates it, with more that are said to be its own.
func (s Subject) groups(more []string) []string {
	var groups []string
	switch s.Kind {
	case v1alpha1.SubjectServiceAccount:
		groups = []string{accountsGroup, accountsGroup + ":" + s.Namespace}
	case v1alpha1.SubjectGroup:
		groups = []string{s.Name}
	default: // users are in the groups that somebody says
	}
	for _, g := range append(slices.Clone(more), everybodyGroup) {
		if !slices.Contains(groups, g) {
			groups = append(groups, g)
		}
	}
	return groups
}

// actor is the subject as the engine knows it.
func (s Subject) actor(uid string, groups []string) action.Actor {
	return action.Actor{Username: s.Username(), UID: uid, Groups: groups}
}

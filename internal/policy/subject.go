package policy

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

const (
	serviceAccountPrefix       = "system:serviceaccount:"
	serviceAccountsGroupPrefix = "system:serviceaccounts:"
)

// ServiceAccountUsername is the user name under which a service account arrives at the API server.
func ServiceAccountUsername(namespace, name string) string {
	return serviceAccountPrefix + namespace + ":" + name
}

// splitServiceAccount takes the user name of a service account apart.
func splitServiceAccount(username string) (namespace, name string, ok bool) {
	rest, ok := strings.CutPrefix(username, serviceAccountPrefix)
	if !ok {
		return "", "", false
	}
	return strings.Cut(rest, ":")
}

// Identity is a user as the API server authenticates them.
type Identity struct {
	Username string
	Groups   []string
}

// coreNamespace is where the accounts of Kubernetes' own controllers live.
const coreNamespace = "kube-system"

// coreAccounts are the accounts in kube-system of Kubernetes' own controllers whose names do not end in
// "-controller" (plugin/pkg/auth/authorizer/rbac/bootstrappolicy/controller_policy.go in k8s.io/kubernetes).
var coreAccounts = map[string]bool{
	"*": true, "bootstrap-signer": true, "cloud-controller-manager": true, "generic-garbage-collector": true,
	"horizontal-pod-autoscaler": true, "kube-apiserver-serving-clustertrustbundle-publisher": true,
	"kube-controller-manager": true, "kube-proxy": true, "kube-scheduler": true,
	"legacy-service-account-token-cleaner": true, "persistent-volume-binder": true, "pod-garbage-collector": true,
	"podcertificaterequestcleaner": true, "root-ca-cert-publisher": true, "storage-version-garbage-collector": true,
	"token-cleaner": true,
}

func isCoreAccount(s v1alpha1.Subject) bool {
	return s.Kind == v1alpha1.SubjectServiceAccount && s.Namespace == coreNamespace &&
		(coreAccounts[s.Name] || strings.HasSuffix(s.Name, "-controller"))
}

// ValidateSubject refuses subjects that would stop Countersign or the cluster itself.
func ValidateSubject(s v1alpha1.Subject, self Identity, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if isCoreAccount(s) {
		errs = append(errs, field.Invalid(at, describeSubject(s),
			"would govern the cluster's own controllers; name single accounts that are not controllers of Kubernetes"))
	}
	if s.Kind == v1alpha1.SubjectGroup && s.Name == serviceAccountsGroupPrefix+coreNamespace {
		errs = append(errs, field.Invalid(at.Child("name"), s.Name, "would govern the cluster's own controllers"))
	}
	if s.Kind == v1alpha1.SubjectGroup && forbiddenGroup(s.Name) || s.Kind == v1alpha1.SubjectUser && strings.HasPrefix(s.Name, "system:") {
		errs = append(errs, field.Invalid(at.Child("name"), s.Name, "system users and groups cannot be governed; "+
			"write service accounts as {kind: ServiceAccount, namespace: ..., name: ...}"))
	}
	if subjectMatches(s, self) {
		errs = append(errs, field.Invalid(at, describeSubject(s), "would govern Countersign itself"))
	}
	return errs
}

func forbiddenGroup(name string) bool {
	return strings.HasPrefix(name, "system:") &&
		(!strings.HasPrefix(name, serviceAccountsGroupPrefix) || name == serviceAccountsGroupPrefix)
}

// subjectMatches says whether a subject names an identity. Governed names nobody by itself.
func subjectMatches(s v1alpha1.Subject, id Identity) bool {
	switch s.Kind {
	case v1alpha1.SubjectServiceAccount:
		namespace, name, ok := splitServiceAccount(id.Username)
		return ok && namespace == s.Namespace && (s.Name == "*" || s.Name == name)
	case v1alpha1.SubjectUser:
		return s.Name != "" && s.Name == id.Username
	case v1alpha1.SubjectGroup:
		return slices.Contains(id.Groups, s.Name)
	case v1alpha1.SubjectGoverned:
		return false
	default:
		return false
	}
}

func describeSubject(s v1alpha1.Subject) string {
	switch s.Kind {
	case v1alpha1.SubjectServiceAccount:
		return "ServiceAccount " + s.Namespace + "/" + s.Name
	case v1alpha1.SubjectUser, v1alpha1.SubjectGroup:
		return string(s.Kind) + " " + s.Name
	case v1alpha1.SubjectGoverned:
		return string(s.Kind)
	default:
		return string(s.Kind) + " " + s.Name
	}
}

// NamesUser says whether a subject of the policy names a user: a service account among those of its namespace included,
// somebody who is only a member of a group not.
func (p *Policy) NamesUser(username string) bool {
	id := Identity{Username: username}
	if namespace, _, ok := splitServiceAccount(username); ok {
		id.Groups = []string{serviceAccountsGroupPrefix + namespace}
	}
	return slices.ContainsFunc(p.subjects, func(s v1alpha1.Subject) bool { return subjectMatches(s, id) })
}

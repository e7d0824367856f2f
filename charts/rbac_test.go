package charts

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/countersign-dev/countersign/internal/protection"
)

// access is a question to the authorizer. Accounts of the release's namespace go by their bare name, and persons
// are "user:" and a name.
type access struct {
	who, verb string
	// resource is like kubectl auth can-i's: pods/exec or deployments.apps/scale.
	resource        string
	namespace, name string
	want            bool
}

func (q access) String() string {
	return strings.Join(strings.Fields(fmt.Sprintf("%s %s %s %s in %q", q.who, q.verb, q.resource, q.name, q.namespace)), " ")
}

func (q access) review() *authorizationv1.SubjectAccessReview {
	resource, sub, _ := strings.Cut(q.resource, "/")
	resource, group, _ := strings.Cut(resource, ".")
	spec := authorizationv1.SubjectAccessReviewSpec{
		User: "system:serviceaccount:" + namespace + ":" + q.who,
		Groups: []string{
			"system:serviceaccounts", "system:serviceaccounts:" + namespace, "system:authenticated",
		},
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Namespace: q.namespace, Verb: q.verb, Group: group, Resource: resource, Subresource: sub, Name: q.name,
		},
	}
	if user, ok := strings.CutPrefix(q.who, "user:"); ok {
		spec.User, spec.Groups = user, []string{"system:authenticated"}
	}
	return &authorizationv1.SubjectAccessReview{Spec: spec}
}

func (q access) ask(ctx context.Context, a *connection) error {
	answer, err := a.AuthorizationV1().SubjectAccessReviews().Create(ctx, q.review(), metav1.CreateOptions{})
	if err != nil {
		return err
	}
	if answer.Status.Allowed != q.want {
		return fmt.Errorf("%s: %v (%s), want %v", q, answer.Status.Allowed, answer.Status.Reason, q.want)
	}
	return nil
}

func wantAccess(t *testing.T, a *connection, questions []access) {
	t.Helper()
	for _, q := range questions {
		if err := q.ask(t.Context(), a); err != nil {
			t.Error(err)
		}
	}
}

func TestAccess(t *testing.T) {
	a := admin(t)
	install(t)
	const (
		webhooks           = "validatingwebhookconfigurations.admissionregistration.k8s.io"
		admissionPolicies  = "validatingadmissionpolicies.admissionregistration.k8s.io"
		bindingsOfPolicies = "validatingadmissionpolicybindings.admissionregistration.k8s.io"
		mutating           = "mutatingwebhookconfigurations.admissionregistration.k8s.io"
		policies           = "agentactionpolicies.countersign.dev"
		approvals          = "actionapprovals.countersign.dev"
		activity           = "agentactivities.countersign.dev"
		roles              = "clusterroles.rbac.authorization.k8s.io"
		bindings           = "clusterrolebindings.rbac.authorization.k8s.io"
		leases             = "leases.coordination.k8s.io"
		crds               = "customresourcedefinitions.apiextensions.k8s.io"
	)
	t.Run("of the operator", func(t *testing.T) {
		wantAccess(t, a, []access{
			{verb: "update", resource: admissionPolicies, name: protection.PolicyName, want: true, who: release},
			{verb: "update", resource: admissionPolicies, name: "another", who: release},
			{verb: "delete", resource: bindingsOfPolicies, name: "another", who: release},
			// What it needs is shown by running it. Here is what it must not have.
			{verb: "get", resource: "secrets", namespace: namespace, name: certSecret, want: true, who: release},
			{verb: "get", resource: "secrets", namespace: "kube-system", who: release},
			{verb: "list", resource: "secrets", who: release},
			{verb: "watch", resource: "secrets", namespace: agentNamespace, who: release},
			{verb: "update", resource: "secrets", namespace: namespace, name: certSecret, want: true, who: release},
			{verb: "update", resource: "secrets", namespace: namespace, name: "sh.helm.release.v1.countersign.v1", who: release},
			{verb: "create", resource: "secrets", namespace: namespace, who: release},
			{verb: "delete", resource: "secrets", namespace: namespace, name: certSecret, who: release},

			{verb: "update", resource: webhooks, name: actionsConfig, want: true, who: release},
			{verb: "update", resource: webhooks, name: "another", who: release},
			{verb: "patch", resource: webhooks, name: "another", who: release},
			{verb: "delete", resource: webhooks, name: "another", who: release},
			{verb: "deletecollection", resource: webhooks, who: release},
			{verb: "create", resource: mutating, want: true, who: release},
			{verb: "list", resource: mutating, want: true, who: release},
			{verb: "update", resource: mutating, name: "countersign-approvals", want: true, who: release},
			{verb: "update", resource: mutating, name: "another", who: release},

			{verb: "get", resource: roles, name: anchor, want: true, who: release},
			{verb: "get", resource: roles, name: "cluster-admin", want: true, who: release},
			{verb: "get", resource: "roles.rbac.authorization.k8s.io", namespace: agentNamespace, name: "any", want: true, who: release},
			{verb: "list", resource: "roles.rbac.authorization.k8s.io", who: release},
			{verb: "list", resource: roles, who: release},
			{verb: "create", resource: roles, who: release},
			{verb: "update", resource: roles, name: anchor, who: release},
			{verb: "delete", resource: roles, name: anchor, who: release},
			{verb: "escalate", resource: roles, who: release},
			{verb: "bind", resource: roles, name: "cluster-admin", who: release},
			{verb: "create", resource: bindings, who: release},
			{verb: "create", resource: "rolebindings.rbac.authorization.k8s.io", namespace: namespace, who: release},
			{verb: "impersonate", resource: "users", who: release},
			{verb: "impersonate", resource: "groups", name: "system:masters", who: release},
			{verb: "impersonate", resource: "serviceaccounts", namespace: namespace, name: canary, want: true, who: release},
			{verb: "impersonate", resource: "serviceaccounts", namespace: namespace, name: release, who: release},
			{verb: "impersonate", resource: "serviceaccounts", namespace: agentNamespace, name: canary, who: release},
			{verb: "impersonate", resource: "serviceaccounts", namespace: "kube-system", who: release},
			{verb: "create", resource: "serviceaccounts/token", namespace: namespace, who: release},
			{verb: "create", resource: "serviceaccounts/token", namespace: "kube-system", who: release},

			{verb: "patch", resource: policies + "/status", name: "any", want: true, who: release},
			{verb: "patch", resource: policies, name: "any", who: release},
			{verb: "create", resource: policies, who: release},
			{verb: "delete", resource: policies, name: "any", who: release},
			{verb: "patch", resource: approvals, namespace: agentNamespace, want: true, who: release},
			{verb: "delete", resource: approvals, namespace: agentNamespace, want: true, who: release},
			{verb: "approve", resource: approvals, namespace: agentNamespace, who: release},

			{verb: "create", resource: activity, want: true, who: release},
			{verb: "update", resource: activity + "/status", name: "any", want: true, who: release},
			{verb: "delete", resource: activity, name: "any", want: true, who: release},
			{verb: "update", resource: activity, name: "any", who: release},
			{verb: "deletecollection", resource: activity, who: release},

			{verb: "get", resource: "pods", namespace: agentNamespace, want: true, who: release},
			{verb: "watch", resource: "pods", namespace: agentNamespace, want: true, who: release},
			{verb: "list", resource: "configmaps", namespace: agentNamespace, who: release},
			{verb: "create", resource: "pods", namespace: namespace, who: release},
			{verb: "create", resource: "pods/exec", namespace: agentNamespace, who: release},
			{verb: "update", resource: "deployments.apps", namespace: namespace, name: release, who: release},
			{verb: "update", resource: "deployments.apps/scale", namespace: agentNamespace, who: release},
			{verb: "update", resource: "namespaces", name: agentNamespace, who: release},
			{verb: "update", resource: crds, who: release},
			{verb: "get", resource: "configmaps", namespace: agentNamespace, who: release},
			{verb: "get", resource: "nodes", who: release},

			{verb: "update", resource: leases, namespace: namespace, name: "countersign.countersign.dev", want: true, who: release},
			{verb: "update", resource: leases, namespace: namespace, name: "another", want: true, who: release},
			{verb: "update", resource: leases, namespace: agentNamespace, name: "another", who: release},
			{verb: "get", resource: leases, namespace: "kube-system", name: "kube-controller-manager", who: release},
		})
	})
	t.Run("of the canary", func(t *testing.T) {
		wantAccess(t, a, []access{
			{verb: "create", resource: "configmaps", namespace: namespace, want: true, who: canary},
			{verb: "get", resource: "configmaps", namespace: namespace, name: "any", who: canary},
			{verb: "create", resource: "configmaps", namespace: agentNamespace, who: canary},
			{verb: "create", resource: "secrets", namespace: namespace, who: canary},
			{verb: "create", resource: "pods", namespace: namespace, who: canary},
			{verb: "delete", resource: webhooks, name: actionsConfig, want: true, who: canary},
			{verb: "update", resource: webhooks, name: actionsConfig, who: canary},
			{verb: "delete", resource: webhooks, name: policiesConfig, who: canary},
			{verb: "delete", resource: bindingsOfPolicies, name: protection.PolicyName, want: true, who: canary},
			{verb: "delete", resource: bindingsOfPolicies, name: "another", who: canary},
			{verb: "delete", resource: admissionPolicies, name: protection.PolicyName, who: canary},
		})
		if _, err := a.CoreV1().ServiceAccounts(namespace).Get(t.Context(), canary, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			t.Errorf("somebody could get a token of the canary: %v", err)
		}
	})
	t.Run("of a second release", func(t *testing.T) {
		out, err := helm(t, "install", "second", chart, "--namespace", "second", "--create-namespace", "--set", "crds.install=false")
		if err == nil || !strings.Contains(out, "cannot be imported into the current release") {
			t.Errorf("got %v, want a refusal: one release serves a cluster\n%s", err, out)
		}
	})
	t.Run("of users", func(t *testing.T) {
		bind(t, a, "countersign-policy-admin", "policy-admin", "")
		bind(t, a, "view", "viewer", "")
		bind(t, a, "admin", "owner", agentNamespace)
		questions := []access{
			{who: "user:policy-admin", verb: "create", resource: policies, want: true},
			{who: "user:policy-admin", verb: "deletecollection", resource: policies, want: true},
			{who: "user:policy-admin", verb: "patch", resource: policies + "/status"},
			{who: "user:policy-admin", verb: "create", resource: approvals, namespace: agentNamespace},
			{who: "user:policy-admin", verb: "approve", resource: approvals, namespace: agentNamespace},
			{who: "user:viewer", verb: "list", resource: policies, want: true},
			{who: "user:viewer", verb: "watch", resource: approvals, namespace: agentNamespace, want: true},
			{who: "user:viewer", verb: "patch", resource: approvals, namespace: agentNamespace},
			{who: "user:viewer", verb: "create", resource: policies},
			{who: "user:viewer", verb: "list", resource: activity, want: true},
			{who: "user:viewer", verb: "delete", resource: activity},
			{who: "user:policy-admin", verb: "delete", resource: activity, want: true},
			{who: "user:policy-admin", verb: "update", resource: activity + "/status"},
			{who: "user:owner", verb: "list", resource: activity},
			{who: "user:owner", verb: "list", resource: approvals, namespace: agentNamespace, want: true},
			{who: "user:owner", verb: "list", resource: approvals, namespace: "default"},
			{who: "user:owner", verb: "patch", resource: approvals, namespace: agentNamespace},
			{who: "user:owner", verb: "list", resource: policies},
			{who: "user:owner", verb: "create", resource: policies},
			{who: "user:nobody", verb: "list", resource: policies},
		}
		for _, q := range questions {
			// Roles are aggregated a moment after they are made.
			eventually(t, "the roles", func(ctx context.Context) error { return q.ask(ctx, a) })
		}
	})
}

// bind binds a ClusterRole to a person, in one namespace or in all.
func bind(t *testing.T, a *connection, role, user, namespace string) {
	t.Helper()
	ref := rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role}
	subjects := []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}}
	object := metav1.ObjectMeta{Name: "test-" + user, Namespace: namespace}
	if namespace == "" {
		ensure(t, a.Client, &rbacv1.ClusterRoleBinding{ObjectMeta: object, RoleRef: ref, Subjects: subjects})
		return
	}
	ensure(t, a.Client, &rbacv1.RoleBinding{ObjectMeta: object, RoleRef: ref, Subjects: subjects})
}

// TestRulesNameWhatTheyGrant wants no wildcard in any rule, and no right that stands for others.
func TestRulesNameWhatTheyGrant(t *testing.T) {
	roles := 0
	for _, o := range decode(t, render(t)) {
		if kind := o.GetKind(); kind != "ClusterRole" && kind != "Role" {
			continue
		}
		roles++
		var role rbacv1.ClusterRole
		convert(t, o, &role)
		for _, rule := range role.Rules {
			for _, list := range [][]string{rule.APIGroups, rule.Resources, rule.Verbs, rule.NonResourceURLs} {
				for _, word := range list {
					canaryOnly := o.GetKind() == "Role" && slices.Equal(rule.ResourceNames, []string{canary})
					if strings.Contains(word, "*") || word == "escalate" || word == "bind" || word == "impersonate" && !canaryOnly {
						t.Errorf("%s %s grants %q: %+v", o.GetKind(), o.GetName(), word, rule)
					}
				}
			}
		}
	}
	if roles < 5 {
		t.Errorf("found %d roles, want all of the chart", roles)
	}
}

func convert(t *testing.T, from *unstructured.Unstructured, to any) {
	t.Helper()
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(from.Object, to); err != nil {
		t.Fatal(err)
	}
}

package privilege

import (
	"maps"
	"slices"
	"strings"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/policy"
)

// Cluster is what is known about a cluster. What is not known is nil, and said in NotKnown.
type Cluster struct {
	Now time.Time
	// Set are the compiled policies, Policies what they were compiled from.
	Set      *policy.Set
	Policies []*v1alpha1.AgentActionPolicy

	Roles               []rbacv1.Role
	ClusterRoles        []rbacv1.ClusterRole
	RoleBindings        []rbacv1.RoleBinding
	ClusterRoleBindings []rbacv1.ClusterRoleBinding

	// Served is what the API server serves, subresources included.
	Served []Resource
	// Namespaces are the labels of namespaces, by their names.
	Namespaces map[string]map[string]string
	// Accounts are the UIDs of the service accounts that exist.
	Accounts map[Subject]string
	// Activities and Approvals are what agents did and asked for.
	Activities []v1alpha1.AgentActivity
	Approvals  []v1alpha1.ActionApproval
	// NotKnown says what could not be read, one sentence each.
	NotKnown []string
	// Missing says of which kinds nothing could be read.
	Missing Lacking
}

// Lacking says what could not be read.
type Lacking struct{ Namespaces, Accounts, Activities, Approvals, RBAC bool }

// Resource is what the API server serves of one resource or subresource.
type Resource struct {
	Group string
	// Name with the subresource, such as pods/exec.
	Name       string
	Namespaced bool
	Verbs      []string
}

// Review answers for the subjects of one cluster. It is made once, and only read then.
type Review struct {
	Cluster
	roles        map[string]*rbacv1.Role
	clusterRoles map[string]*rbacv1.ClusterRole
	// bound are the bindings of users and groups, by "User/name" and "Group/name".
	bound map[string][]*binding
	// served by group and by name.
	served map[string]map[string]Resource
	uses   map[string][]use
	// activities and approvals by user name.
	activities map[string]*v1alpha1.AgentActivity
	approvals  map[string][]*v1alpha1.ActionApproval
	policies   map[string]*v1alpha1.AgentActionPolicy
}

// binding is a RoleBinding, or without a namespace a ClusterRoleBinding.
type binding struct {
	namespace, name string
	labels          map[string]string
	role            rbacv1.RoleRef
	subjects        []rbacv1.Subject
}

func (b *binding) String() string {
	if b.namespace == "" {
		return "ClusterRoleBinding/" + b.name
	}
	return "RoleBinding/" + b.namespace + "/" + b.name
}

// New indexes a cluster.
func New(c Cluster) *Review {
	r := &Review{
		Cluster: c, roles: map[string]*rbacv1.Role{}, clusterRoles: map[string]*rbacv1.ClusterRole{}, bound: map[string][]*binding{},
		served: map[string]map[string]Resource{}, activities: map[string]*v1alpha1.AgentActivity{},
		approvals: map[string][]*v1alpha1.ActionApproval{}, policies: map[string]*v1alpha1.AgentActionPolicy{},
	}
	for i := range c.Roles {
		r.roles[c.Roles[i].Namespace+"/"+c.Roles[i].Name] = &c.Roles[i]
	}
	for i := range c.ClusterRoles {
		r.clusterRoles[c.ClusterRoles[i].Name] = &c.ClusterRoles[i]
	}
	for i := range c.ClusterRoleBindings {
		b := &c.ClusterRoleBindings[i]
		r.bind(&binding{"", b.Name, b.Labels, b.RoleRef, b.Subjects})
	}
	for i := range c.RoleBindings {
		b := &c.RoleBindings[i]
		r.bind(&binding{b.Namespace, b.Name, b.Labels, b.RoleRef, b.Subjects})
	}
	for _, s := range c.Served {
		if r.served[s.Group] == nil {
			r.served[s.Group] = map[string]Resource{}
		}
		r.served[s.Group][s.Name] = s
	}
	for i := range c.Activities {
		r.activities[c.Activities[i].Status.Username] = &c.Activities[i]
	}
	for i := range c.Approvals {
		who := c.Approvals[i].Spec.Requester.Username
		r.approvals[who] = append(r.approvals[who], &c.Approvals[i])
	}
	for _, p := range c.Policies {
		r.policies[p.Name] = p
	}
	r.Namespaces = maps.Clone(c.Namespaces)
	if c.Missing.Namespaces {
		r.guessNamespaces()
	}
	r.uses = r.indexUses()
	return r
}

// guessNamespaces takes those that RBAC and policies name, where nobody may list them. Their labels are not known.
func (r *Review) guessNamespaces() {
	r.Namespaces = map[string]map[string]string{}
	for i := range r.Cluster.RoleBindings {
		r.Namespaces[r.Cluster.RoleBindings[i].Namespace] = nil
	}
	for _, p := range r.Policies {
		for i := range p.Spec.Tasks {
			for _, name := range p.Spec.Tasks[i].Scope.Namespaces {
				if !strings.ContainsAny(name, "*?") {
					r.Namespaces[name] = nil
				}
			}
		}
	}
}

func (r *Review) bind(b *binding) {
	seen := map[string]bool{}
	for _, s := range b.subjects {
		key := s.Kind + "/" + s.Name
		if s.Kind == rbacv1.ServiceAccountKind {
			key = rbacv1.UserKind + "/" + policy.ServiceAccountUsername(s.Namespace, s.Name)
		}
		if !seen[key] {
			seen[key] = true
			r.bound[key] = append(r.bound[key], b)
		}
	}
}

// Subjects are those whom Enforce policies govern, each once: service accounts, those of a whole namespace one by one, then
// users, then groups.
func (r *Review) Subjects() []Subject {
	found := map[Subject]bool{}
	for _, p := range r.Set.Policies() {
		if p.Enforcement == v1alpha1.Warn || p.Enforcement == v1alpha1.Audit {
			continue
		}
		for _, s := range p.Subjects() {
			switch s.Kind {
			case v1alpha1.SubjectServiceAccount:
				if s.Name == "*" {
					r.accountsOf(s.Namespace, found)
					continue
				}
				found[Subject{v1alpha1.SubjectServiceAccount, s.Namespace, s.Name}] = true
			case v1alpha1.SubjectUser:
				found[Subject{v1alpha1.SubjectUser, "", s.Name}] = true
			case v1alpha1.SubjectGroup:
				if namespace, ok := strings.CutPrefix(s.Name, accountsGroup+":"); ok {
					r.accountsOf(namespace, found)
					continue
				}
				found[Subject{v1alpha1.SubjectGroup, "", s.Name}] = true
			default: // Governed names nobody by itself
			}
		}
	}
	return slices.SortedFunc(maps.Keys(found), Subject.compare)
}

// accountsOf are the accounts of a namespace: those that exist, and those that RBAC or approvals still name.
func (r *Review) accountsOf(namespace string, found map[Subject]bool) {
	for s := range r.Accounts {
		if s.Namespace == namespace {
			found[s] = true
		}
	}
	prefix := policy.ServiceAccountUsername(namespace, "")
	note := func(username string) {
		if name, ok := strings.CutPrefix(username, prefix); ok && name != "" {
			found[Subject{v1alpha1.SubjectServiceAccount, namespace, name}] = true
		}
	}
	for key := range r.bound {
		if username, ok := strings.CutPrefix(key, rbacv1.UserKind+"/"); ok {
			note(username)
		}
	}
	for username := range r.approvals {
		note(username)
	}
}

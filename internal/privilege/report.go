package privilege

import (
	"time"

	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

// Report is what RBAC grants one subject, held against what the tasks of policies cover and what it used lately.
// As JSON it is published: fields and values may be added.
type Report struct {
	// Subject is who is reported on.
	Subject Subject `json:"subject"`
	// At is when.
	At time.Time `json:"at"`
	// Existence says whether the account exists: Exists, Missing, or Unknown. Users and groups are nobody's objects.
	Existence Existence `json:"existence"`
	// Policies are the Enforce policies that name the subject.
	Policies []PolicyUse `json:"policies"`
	// Findings are what should change, the worst first.
	Findings []Finding `json:"findings"`
	// Grants are what RBAC grants, by binding and role.
	Grants []Grant `json:"grants"`
	// Recorded says what is known about what the subject did.
	Recorded Recorded `json:"recorded"`
	// NotKnown says what could not be looked at, or cannot be known, one sentence each.
	NotKnown []string `json:"notKnown,omitempty"`

	// Replacement is what could replace the roles and the policies.
	Replacement Replacement `json:"replacement"`
}

// Existence says whether an account exists.
type Existence string

const (
	// Exists means that the account is there.
	Exists Existence = "Exists"
	// Missing means that it is not.
	Missing Existence = "Missing"
	// NotKnown means that nobody could look, or that there is no such object.
	NotKnown Existence = "Unknown"
)

// PolicyUse is a policy that names the subject.
type PolicyUse struct {
	Name string `json:"name"`
	// OutOfScope is what becomes of what no task covers: Deny, RequireApproval or Allow.
	OutOfScope v1alpha1.OutOfScope `json:"outOfScope"`
	// Invalid says why the policy cannot judge; empty where it can.
	Invalid string `json:"invalid,omitempty"`
	// Tasks are those of the policy, in its order.
	Tasks []TaskUse `json:"tasks,omitempty"`
}

// TaskUse is a task, and whether it is of use.
type TaskUse struct {
	Name string `json:"name"`
	// Granted says that RBAC grants something of what the task covers.
	Granted bool `json:"granted"`
	// LastUsed is when something passed under it, as far as that is recorded; zero where nothing is.
	LastUsed time.Time `json:"lastUsed,omitzero"`
	// Recorded says that what passes under it is recorded.
	Recorded bool `json:"recorded"`
}

// Grant is what one binding grants by one role.
type Grant struct {
	// Binding and Role are kind/name, of a RoleBinding kind/namespace/name.
	Binding string `json:"binding"`
	Role    string `json:"role"`
	// Via is the group by which the binding means the subject; empty where it names the subject itself.
	Via string `json:"via,omitempty"`
	// Namespace in which the grant holds; empty: in all, and for what is in none.
	Namespace string `json:"namespace,omitempty"`
	// Everybody says that the grant is one that Kubernetes makes to everybody who is authenticated.
	Everybody bool `json:"everybody,omitempty"`
	// Rights are what it comes to, with wildcards spelled out as far as the API server serves them.
	Rights []Right `json:"rights"`
	// Unserved are the resources of the role that the API server does not serve, as resource.group.
	Unserved []string `json:"unserved,omitempty"`

	rules   []rbacv1.PolicyRule
	bound   *binding
	others  int // subjects of the binding besides
	missing bool
	// standard says that the role is one of those that Kubernetes brings, and keeps as they are.
	standard bool
}

// Coverage says what becomes of the use of a right.
type Coverage string

const (
	// Read is a right that admission is not asked about.
	Read Coverage = "Read"
	// Other is a verb that is no request of its own, such as use: admission is not asked about it either.
	Other Coverage = "Other"
	// ByTask means that a task covers uses of it.
	ByTask Coverage = "Task"
	// Always means that every client does this, and no policy is asked.
	Always Coverage = "Always"
	// Ungoverned means that no policy of the subject is about it.
	Ungoverned Coverage = "Ungoverned"
	// Allowed means that no task covers it, and the policies let pass what no task covers.
	Allowed Coverage = "Allowed"
	// ByApproval means that no task covers it, and people are asked each time.
	ByApproval Coverage = "Approval"
	// Refused means that no task covers it, and it is refused.
	Refused Coverage = "Refused"
	// Reserved means that no agent may ever do this.
	Reserved Coverage = "Reserved"
)

// Right is verbs on one resource that are covered alike.
type Right struct {
	Verbs []string `json:"verbs"`
	// Group and Resource, the latter with its subresource: pods/exec.
	Group    string `json:"group"`
	Resource string `json:"resource"`
	// Names are the only objects; none: all.
	Names    []string `json:"names,omitempty"`
	Coverage Coverage `json:"coverage"`
	// Tasks are those that cover it, as policy/task.
	Tasks []string `json:"tasks,omitempty"`
	// OnlyIn are the namespaces in which it is covered so, where it is granted in more; Elsewhere is what it is there.
	OnlyIn    []string `json:"onlyIn,omitempty"`
	Elsewhere Coverage `json:"elsewhere,omitempty"`
	// OnlyNames are the objects that tasks cover, where it is granted for more.
	OnlyNames []string `json:"onlyNames,omitempty"`
	// Use says whether it was used lately: Used, Unused or Unknown; LastUsed when, UnusedSince since when it was not.
	Use         Use       `json:"use,omitempty"`
	LastUsed    time.Time `json:"lastUsed,omitzero"`
	UnusedSince time.Time `json:"unusedSince,omitzero"`

	classes    []verbsOf
	namespaced bool
	// usedIn are the namespaces of recorded uses.
	usedIn []string
}

// Use says whether a right was used lately.
type Use string

const (
	// Used means that a use is recorded.
	Used Use = "Used"
	// Unused means that uses are recorded, and there is none.
	Unused Use = "Unused"
	// UseUnknown means that nobody records uses, or not for long enough.
	UseUnknown Use = "Unknown"
)

// Recorded says what is known about what a subject did.
type Recorded struct {
	// Since is since when all is known that is recorded at all; zero: nothing is.
	Since time.Time `json:"since,omitzero"`
	// Actions are how many recorded actions are known, Approvals how many uses of approvals.
	Actions   int `json:"actions"`
	Approvals int `json:"approvals"`
	// Last is when the subject did something last, as far as that is known.
	Last time.Time `json:"last,omitzero"`
}

// Type is a kind of finding. The values are published.
type Type string

const (
	// RouteAroundGate is a right by which Countersign is not asked, or asked about somebody else.
	RouteAroundGate Type = "RouteAroundGate"
	// OverPrivilege is a right to write that no task covers, or that is wider than tasks are.
	OverPrivilege Type = "OverPrivilege"
	// UnusedGrant is a right that a task covers and that was not used lately.
	UnusedGrant Type = "UnusedGrant"
	// MissingAccount is an account that does not exist, and is still named.
	MissingAccount Type = "MissingAccount"
	// StandingApproval is consent that can still be used.
	StandingApproval Type = "StandingApproval"
	// UnansweredRequest is a request that nobody has answered.
	UnansweredRequest Type = "UnansweredRequest"
	// NotBounded is a right to write that no task covers, and that passes nevertheless.
	NotBounded Type = "NotBounded"
	// IdleTask is a task of which RBAC grants nothing.
	IdleTask Type = "IdleTask"
	// DanglingGrant is a grant of what does not exist: a role, or a resource that is not served.
	DanglingGrant Type = "DanglingGrant"
)

// Types are all types of findings, in the order in which they are reported.
func Types() []Type {
	return []Type{
		RouteAroundGate, OverPrivilege, NotBounded, UnusedGrant, MissingAccount, StandingApproval, UnansweredRequest, IdleTask, DanglingGrant,
	}
}

// Severity says how bad a finding is. The values are published.
type Severity string

const (
	// High is what nothing but RBAC, or files of the API server, keeps the subject from.
	High Severity = "High"
	// Medium is what Countersign refuses, as long as it is there.
	Medium Severity = "Medium"
	// Low is what should be tidied up.
	Low Severity = "Low"
)

// Finding is one thing that should change.
type Finding struct {
	Type     Type     `json:"type"`
	Severity Severity `json:"severity"`
	// What was found.
	What string `json:"what"`
	// Details are the rights, or the like, that it is about.
	Details []string `json:"details,omitempty"`
	// By says which bindings and roles grant it.
	By []string `json:"by,omitempty"`
	// Why it matters, and what stops the subject.
	Why string `json:"why"`
	// Do is what to do about it. Command does it, where there is one.
	Do      string `json:"do"`
	Command string `json:"command,omitempty"`
}

// Count is how many findings there are of a type.
func (r *Report) Count(t Type) int {
	n := 0
	for i := range r.Findings {
		if r.Findings[i].Type == t {
			n++
		}
	}
	return n
}

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// AgentActionPolicy governs what the named service accounts, users or groups may do now: for which task,
// inside which change window, within which limits and with whose approval. RBAC still says what they may
// ever do; a policy never grants what RBAC does not.
//
// Grants of several policies add up, restrictions all hold. A subject that no Enforce policy names is not
// affected at all.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=aap,categories=countersign
// +kubebuilder:printcolumn:name="Enforcement",type=string,JSONPath=`.spec.enforcement`
// +kubebuilder:printcolumn:name="Window",type=string,JSONPath=`.status.window.state`
// +kubebuilder:printcolumn:name="Next",type=string,JSONPath=`.status.window.next`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Enforced",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Enforced")].status`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
type AgentActionPolicy struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty,omitzero"`

	// spec is what is governed and how.
	// +required
	Spec AgentActionPolicySpec `json:"spec,omitzero"`
	// status is what the operator makes of the policy.
	// +optional
	Status AgentActionPolicyStatus `json:"status,omitempty,omitzero"`
}

// AgentActionPolicyList is a list of AgentActionPolicy.
//
// +kubebuilder:object:root=true
type AgentActionPolicyList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []AgentActionPolicy `json:"items"`
}

// Enforcement says what a policy does with its verdict.
// +kubebuilder:validation:Enum=Enforce;Warn;Audit
type Enforcement string

const (
	// Enforce refuses what the policy does not allow.
	Enforce Enforcement = "Enforce"
	// Warn lets everything pass and returns what would have been refused as warnings.
	Warn Enforcement = "Warn"
	// Audit lets everything pass and only records what would have been refused.
	Audit Enforcement = "Audit"
)

// Verdict is what happens where a restriction is not met.
// +kubebuilder:validation:Enum=Deny;RequireApproval
type Verdict string

const (
	// Deny refuses the action.
	Deny Verdict = "Deny"
	// RequireApproval refuses the action until people have consented to it.
	RequireApproval Verdict = "RequireApproval"
)

// OutOfScope is what happens to a governed action that no task covers.
// +kubebuilder:validation:Enum=Deny;RequireApproval;Allow
type OutOfScope string

const (
	// OutOfScopeDeny refuses the action.
	OutOfScopeDeny OutOfScope = "Deny"
	// OutOfScopeRequireApproval refuses the action until people have consented to it.
	OutOfScopeRequireApproval OutOfScope = "RequireApproval"
	// OutOfScopeAllow lets the action pass: the policy then only restricts, it needs no tasks.
	OutOfScopeAllow OutOfScope = "Allow"
)

// Duration is a length of time such as "30m", "8h" or "1h30m", in hours, minutes and seconds.
// +kubebuilder:validation:MinLength=2
// +kubebuilder:validation:MaxLength=18
// +kubebuilder:validation:Pattern=`^([0-9]{1,5}(h|m|s)){1,3}$`
type Duration string

// RequirementName names an entry of spec.approval.requirements.
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=63
type RequirementName string

// AgentActionPolicySpec is what is governed and how.
//
// +kubebuilder:validation:XValidation:rule="!has(self.windows) || has(self.timeZone)",message="windows need a timeZone: an IANA name such as Europe/Berlin",fieldPath=".timeZone",reason=FieldValueRequired
// +kubebuilder:validation:XValidation:rule="!has(self.freezes) || has(self.windows)",message="freezes name windows, and none are defined",fieldPath=".freezes"
// +kubebuilder:validation:XValidation:rule="!has(self.changeWindows) || has(self.windows)",message="changeWindows name windows, and none are defined",fieldPath=".changeWindows"
type AgentActionPolicySpec struct {
	// enforcement says what the policy does: Enforce refuses, Warn lets pass and warns the caller, Audit lets
	// pass and only records. A subject is governed, and counts as an agent, when an Enforce policy names it.
	// +required
	Enforcement Enforcement `json:"enforcement,omitempty"`

	// subjects says who is governed. Everybody else never notices the policy.
	// +required
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +listType=atomic
	Subjects []Subject `json:"subjects,omitempty"`

	// governs says which actions this policy is about. Omitted: every write and every CONNECT (exec, attach,
	// port-forward, proxy). An action that no policy of the subject governs is allowed.
	// +optional
	Governs *GovernedActions `json:"governs,omitempty"`

	// outOfScope is what happens to a governed action that no task covers: Deny, RequireApproval, or Allow for
	// a policy that only restricts. Omitted: Deny. Where several policies govern the action, the strictest holds.
	// +optional
	OutOfScope OutOfScope `json:"outOfScope,omitempty"`

	// outOfScopeRequirements names the entries of approval.requirements that must consent when outOfScope is
	// RequireApproval. Omitted: the first entry.
	// +optional
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	// +listType=set
	OutOfScopeRequirements []RequirementName `json:"outOfScopeRequirements,omitempty"`

	// timeZone is the IANA zone in which the windows are read, such as Europe/Berlin. Required with windows.
	// "Local" is refused, and nothing falls back to UTC.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	TimeZone string `json:"timeZone,omitempty"`

	// windows defines named spans of time. Defining one opens and closes nothing: changeWindows and freezes
	// refer to them by name.
	// +optional
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +listType=map
	// +listMapKey=name
	Windows []Window `json:"windows,omitempty"`

	// changeWindows says when governed actions may happen at all. Omitted: at any time, but for freezes.
	// +optional
	ChangeWindows *ChangeWindows `json:"changeWindows,omitempty"`

	// freezes says when nothing may change. A freeze always wins over windows.
	// +optional
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +listType=map
	// +listMapKey=window
	Freezes []Freeze `json:"freezes,omitempty"`

	// tasks are the grants: named scopes of actions that the subjects are trusted with. One task must cover the
	// whole action; what several tasks allow does not add up within one action.
	// +optional
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +listType=map
	// +listMapKey=name
	Tasks []Task `json:"tasks,omitempty"`

	// guards restrict whatever this policy governs, whichever task grants it. Each is an expression in CEL about the
	// action and its objects, as in a ValidatingAdmissionPolicy. A guard that fails refuses.
	// +optional
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +listType=map
	// +listMapKey=name
	Guards []Guard `json:"guards,omitempty"`

	// approval says how consent is given for what this policy asks. Omitted: one person with the verb approve on
	// actionapprovals in the namespace decides.
	// +optional
	Approval *ApprovalRules `json:"approval,omitempty"`
}

// SubjectKind is the kind of a Subject.
// +kubebuilder:validation:Enum=ServiceAccount;User;Group;Governed
type SubjectKind string

const (
	// SubjectServiceAccount is a service account, or with the name "*" every service account of a namespace.
	SubjectServiceAccount SubjectKind = "ServiceAccount"
	// SubjectUser is a user name as the API server's authentication reports it.
	SubjectUser SubjectKind = "User"
	// SubjectGroup is a group as the API server's authentication reports it.
	SubjectGroup SubjectKind = "Group"
	// SubjectGoverned is everyone whom some other Enforce policy names.
	SubjectGoverned SubjectKind = "Governed"
)

// Subject names who is governed.
//
// +kubebuilder:validation:XValidation:rule="self.kind != 'ServiceAccount' || (has(self.namespace) && has(self.name))",message="a ServiceAccount subject needs namespace and name; the name \"*\" means every account of the namespace"
// +kubebuilder:validation:XValidation:rule="self.kind == 'ServiceAccount' || !has(self.namespace)",message="only a ServiceAccount subject has a namespace",fieldPath=".namespace"
// +kubebuilder:validation:XValidation:rule="!(self.kind in ['User', 'Group']) || has(self.name)",message="a User or Group subject needs a name",fieldPath=".name",reason=FieldValueRequired
// +kubebuilder:validation:XValidation:rule="self.kind != 'Governed' || !has(self.name)",message="a Governed subject has no name: it is everyone whom another Enforce policy names",fieldPath=".name"
// +kubebuilder:validation:XValidation:rule="self.kind != 'User' || !has(self.name) || !self.name.startsWith('system:')",message="system users cannot be governed by name; write a service account as {kind: ServiceAccount, namespace: ..., name: ...}",fieldPath=".name"
// +kubebuilder:validation:XValidation:rule="self.kind != 'Group' || !has(self.name) || !self.name.startsWith('system:') || self.name.startsWith('system:serviceaccounts:')",message="of the system groups only system:serviceaccounts:<namespace> can be governed",fieldPath=".name"
type Subject struct {
	// kind is ServiceAccount, User, Group or Governed. Governed is everyone whom some other Enforce policy
	// names, for restrictions that hold for all agents of a company.
	// +required
	Kind SubjectKind `json:"kind,omitempty"`
	// namespace of the service account. Only for ServiceAccount.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace,omitempty"`
	// name of the service account, user or group. For a ServiceAccount "*" means every account of the
	// namespace. Of the groups that begin with "system:" only system:serviceaccounts:<namespace> is accepted.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`
}

// GovernedActions says which actions a policy is about.
type GovernedActions struct {
	// resourceRules name the actions. Omitted: all of them.
	// +optional
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +listType=atomic
	ResourceRules []ResourceRule `json:"resourceRules,omitempty"`
	// excludeResourceRules take actions out again. An action that matches one of them is not governed by this
	// policy.
	// +optional
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +listType=atomic
	ExcludeResourceRules []ResourceRule `json:"excludeResourceRules,omitempty"`
	// namespaceSelector restricts the policy to namespaces whose labels match. For changes of a Namespace the
	// old and the new labels are both tested, and one match is enough to be governed. Other cluster-scoped
	// objects are governed whatever the selector says.
	// +optional
	NamespaceSelector *metav1.LabelSelector `json:"namespaceSelector,omitempty"`
}

// Operation is what an action does, after normalisation: an eviction is a DELETE, a scale is an UPDATE.
// +kubebuilder:validation:Enum=CREATE;UPDATE;DELETE;CONNECT;*
type Operation string

const (
	// OperationCreate is the creation of an object, by whichever verb.
	OperationCreate Operation = "CREATE"
	// OperationUpdate is any change of an object: replace, patch, apply or scale.
	OperationUpdate Operation = "UPDATE"
	// OperationDelete is a deletion or an eviction.
	OperationDelete Operation = "DELETE"
	// OperationConnect is exec, attach, port-forward or proxy.
	OperationConnect Operation = "CONNECT"
	// OperationAll is every operation.
	OperationAll Operation = "*"
)

// ResourceRule matches actions by group, resource, operation and name, in every served version.
//
// Rules are written on the normal form of an action. Scaling is an UPDATE of the workload, so name
// "deployments" rather than "deployments/scale"; an eviction is a DELETE of "pods"; binding a pod is a
// CREATE of "pods/binding".
//
// +kubebuilder:validation:XValidation:rule="!self.resources.exists(r, r.endsWith('/scale'))",message="scaling is an UPDATE of the workload: name the resource itself, such as deployments, with the operation UPDATE",fieldPath=".resources"
// +kubebuilder:validation:XValidation:rule="!self.resources.exists(r, r == 'pods/eviction')",message="an eviction is a deletion: name pods with the operation DELETE",fieldPath=".resources"
// +kubebuilder:validation:XValidation:rule="!self.resources.exists(r, r == 'bindings')",message="a binding is a CREATE of pods/binding: name that",fieldPath=".resources"
type ResourceRule struct {
	// apiGroups of the resources: "" is the core group, "*" every group.
	// +required
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=253
	// +listType=set
	APIGroups []string `json:"apiGroups,omitempty"`
	// resources by plural name: "pods" is the pods themselves, "pods/exec" a subresource, "pods/*" the pods and
	// all their subresources, "*" every resource without subresources, "*/*" everything.
	// +required
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=127
	// +kubebuilder:validation:items:Pattern=`^(\*|[a-z0-9]([a-z0-9.-]*[a-z0-9])?)(/(\*|[a-z0-9]([a-z0-9-]*[a-z0-9])?))?$`
	// +listType=set
	Resources []string `json:"resources,omitempty"`
	// operations are CREATE, UPDATE, DELETE, CONNECT, or "*" for all.
	// +required
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=5
	// +listType=set
	Operations []Operation `json:"operations,omitempty"`
	// resourceNames restricts the rule to objects of these exact names. Omitted: every name.
	// +optional
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	// +listType=set
	ResourceNames []string `json:"resourceNames,omitempty"`
}

// WindowState says whether a policy's change windows let actions pass.
// +kubebuilder:validation:Enum=Open;Closed;Frozen
type WindowState string

const (
	// WindowOpen means that neither windows nor freezes stop actions now.
	WindowOpen WindowState = "Open"
	// WindowClosed means that none of the allowed windows is open.
	WindowClosed WindowState = "Closed"
	// WindowFrozen means that a freeze is active.
	WindowFrozen WindowState = "Frozen"
)

// AgentActionPolicyStatus is what the operator makes of a policy.
type AgentActionPolicyStatus struct {
	// conditions of the policy. Ready says that it is understood as a whole; Enforced says that it is in force.
	// +optional
	// +kubebuilder:validation:MaxItems=8
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// observedGeneration is the generation of the spec that this status speaks of.
	// +optional
	// +kubebuilder:validation:Minimum=1
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// hash identifies the meaning of the spec: what tasks, windows and restrictions it holds. Decisions and
	// approvals name it.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	Hash string `json:"hash,omitempty"`
	// window is the state of spec.changeWindows and spec.freezes. Windows of single tasks are in tasks.
	// +optional
	Window *WindowStatus `json:"window,omitempty"`
	// tasks says for each task whether its own window is open and when it was last used.
	// +optional
	// +kubebuilder:validation:MaxItems=32
	// +listType=map
	// +listMapKey=name
	Tasks []TaskStatus `json:"tasks,omitempty"`
}

// WindowStatus is the state of a policy's change windows at one moment.
type WindowStatus struct {
	// state is Open, Closed or Frozen.
	// +required
	State WindowState `json:"state,omitempty"`
	// active names the windows that are open now and, while frozen, the windows of the active freezes.
	// +optional
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=63
	// +listType=set
	Active []string `json:"active,omitempty"`
	// reason says in words why the state is what it is.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Reason string `json:"reason,omitempty"`
	// nextOpen is when actions next pass. Absent while open, and when that is not within the next nine years.
	// +optional
	NextOpen *metav1.Time `json:"nextOpen,omitempty"`
	// nextClose is when actions next stop passing. Absent when that is not within the next nine years.
	// +optional
	NextClose *metav1.Time `json:"nextClose,omitempty"`
	// next is when the state changes next, in the policy's time zone, such as "Mon 2026-11-23 22:00 CET": what the
	// NEXT column shows.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	Next string `json:"next,omitempty"`
}

// TaskStatus is the state of one task.
type TaskStatus struct {
	// name of the task.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name,omitempty"`
	// window is Open or Closed where the task has change windows of its own.
	// +optional
	Window WindowState `json:"window,omitempty"`
	// lastUsedAt is when an action was last admitted under this task, written at most once a minute.
	// This version does not write it.
	// +optional
	LastUsedAt *metav1.Time `json:"lastUsedAt,omitempty"`
}

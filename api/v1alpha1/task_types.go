package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Task is a named scope of actions that the policy's subjects are trusted with.
type Task struct {
	// name of the task, shown in decisions and refusals.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`
	Name string `json:"name,omitempty"`
	// description says what the task is for, in the words of those who wrote the policy.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	Description string `json:"description,omitempty"`
	// scope says which actions the task covers. An action must match all of it.
	// +required
	Scope TaskScope `json:"scope,omitzero"`
	// changeWindows narrows the policy's windows for this task.
	// +optional
	ChangeWindows *ChangeWindows `json:"changeWindows,omitempty"`
	// approval says whether the task always needs consent, and for how much one consent is good.
	// +optional
	Approval *TaskApproval `json:"approval,omitempty"`
	// budget bounds how many actions of one user may be admitted under this task in a span of time. Only Enforce policies
	// count.
	// +optional
	Budget *Budget `json:"budget,omitempty"`
}

// TaskScope says which actions a task covers.
//
// Cluster-scoped objects, Namespaces included, are covered only where namespaces and namespaceSelector are
// both absent and a rule names the resource itself rather than "*".
//
// +kubebuilder:validation:XValidation:rule="!(has(self.namespaces) && has(self.namespaceSelector))",message="give either namespaces or namespaceSelector"
// +kubebuilder:validation:XValidation:rule="!has(self.fields) || self.resourceRules.all(r, r.operations.all(o, o == 'UPDATE'))",message="fields narrow what an UPDATE may change; a task with fields covers the operation UPDATE only",fieldPath=".fields"
type TaskScope struct {
	// resourceRules name the actions by group, resource, operation and name. A rule with the resource "*/*"
	// covers everything that is namespaced, but for kinds that act on other objects, such as
	// horizontalpodautoscalers, poddisruptionbudgets, cronjobs and every status: these are covered only when named.
	// +required
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +listType=atomic
	ResourceRules []ResourceRule `json:"resourceRules,omitempty"`
	// namespaces by name, or by pattern in which "*" stands for any run of characters and "?" for one.
	// Omitted, and no namespaceSelector: every namespace.
	// +optional
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=63
	// +listType=set
	Namespaces []string `json:"namespaces,omitempty"`
	// namespaceSelector chooses namespaces by their labels.
	// +optional
	NamespaceSelector *metav1.LabelSelector `json:"namespaceSelector,omitempty"`
	// objectSelector must match the labels of the object as it was, where there was one, and as it will be.
	// +optional
	ObjectSelector *metav1.LabelSelector `json:"objectSelector,omitempty"`
	// fields are the paths that an UPDATE may change, each with everything under it, such as
	// spec.template.spec.containers[*].image, spec.template.spec.containers[name=web].env or
	// metadata.annotations["example.com/build"]. Omitted: every field, but for those that act beyond the object, which
	// are covered only when named: metadata.ownerReferences, metadata.finalizers, the service account and the priority
	// class of pods, spec.paused of Deployments, spec.suspend of Jobs and CronJobs, spec.updateStrategy.type of
	// StatefulSets and DaemonSets, spec.selector of Services.
	// +optional
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=512
	// +listType=set
	Fields []string `json:"fields,omitempty"`
	// serviceAccounts are the accounts that pods may run as which are created, changed or entered under this task, the
	// latter by exec, attach, portforward, proxy or an ephemeral container. Omitted: the account stays what it was, and
	// is "default" in new objects and in pods that are entered.
	// +optional
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	// +listType=set
	ServiceAccounts []string `json:"serviceAccounts,omitempty"`
	// podTemplatePaths say where custom resources keep pod templates, such as spec.template or
	// spec.workers[*].template, so that serviceAccounts holds for them. A custom resource at which none of the paths
	// leads to a template is not covered by the task. Kinds of Kubernetes itself need no paths.
	// +optional
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=512
	// +listType=set
	PodTemplatePaths []string `json:"podTemplatePaths,omitempty"`
}

// ApprovalWhen says when a task needs consent.
// +kubebuilder:validation:Enum=OnDemand;Always
type ApprovalWhen string

const (
	// ApprovalOnDemand asks only where a restriction of the policy asks.
	ApprovalOnDemand ApprovalWhen = "OnDemand"
	// ApprovalAlways asks for every use of the task.
	ApprovalAlways ApprovalWhen = "Always"
)

// ApprovalCovers says for how much one consent is good.
// +kubebuilder:validation:Enum=Action;Task
type ApprovalCovers string

const (
	// ApprovalCoversAction is consent to one exact action.
	ApprovalCoversAction ApprovalCovers = "Action"
	// ApprovalCoversTask is consent to one run of the task: up to maxActions actions in one namespace.
	ApprovalCoversTask ApprovalCovers = "Task"
)

// TaskApproval says whether a task always needs consent, and for how much one consent is good.
//
// +kubebuilder:validation:XValidation:rule="!has(self.maxActions) || (has(self.covers) && self.covers == 'Task')",message="maxActions belongs to covers: Task",fieldPath=".maxActions"
// +kubebuilder:validation:XValidation:rule="!has(self.covers) || self.covers != 'Task' || has(self.maxActions)",message="covers: Task needs maxActions",fieldPath=".maxActions",reason=FieldValueRequired
type TaskApproval struct {
	// when is OnDemand, where only a restriction asks for consent, or Always. Omitted: OnDemand.
	// +optional
	When ApprovalWhen `json:"when,omitempty"`
	// covers is Action, where consent is to one exact action, or Task, where it is to one run of the task: up to
	// maxActions actions in one namespace. Consent to a run waives windows and freezes of this policy, the
	// budget, and when: Always; what else asks still needs consent to the exact action. Omitted: Action.
	// +optional
	Covers ApprovalCovers `json:"covers,omitempty"`
	// maxActions bounds how many actions one run of the task may hold: 1 to 1000. Required with covers: Task.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	MaxActions int32 `json:"maxActions,omitempty"`
	// validFor is how long an approval can be used once it is granted. Omitted: approval.validFor of the policy.
	// +optional
	ValidFor Duration `json:"validFor,omitempty"`
	// requirements names the entries of approval.requirements that must consent. Omitted: the first entry.
	// +optional
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	// +listType=set
	Requirements []RequirementName `json:"requirements,omitempty"`
}

// Budget bounds how many actions may be admitted in a span of time.
type Budget struct {
	// maxActions is how many actions of one user may be admitted within per.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	MaxActions int32 `json:"maxActions,omitempty"`
	// per is the length of the sliding window in which actions count, at most 168h.
	// +required
	Per Duration `json:"per,omitempty"`
	// whenExceeded is what happens to further actions: Deny or RequireApproval. Omitted: Deny.
	// +optional
	WhenExceeded Verdict `json:"whenExceeded,omitempty"`
	// requirements names the entries of approval.requirements that must consent when whenExceeded is
	// RequireApproval. Omitted: the first entry.
	// +optional
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	// +listType=set
	Requirements []RequirementName `json:"requirements,omitempty"`
}

// Guard restricts the result of actions by an expression in CEL.
type Guard struct {
	// name of the guard, shown in refusals and in the reasons of approvals.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`
	Name string `json:"name,omitempty"`
	// resourceRules say which of the governed actions the guard is about. Omitted: all of them.
	// +optional
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +listType=atomic
	ResourceRules []ResourceRule `json:"resourceRules,omitempty"`
	// expression must be true for the action to pass, such as
	// object.spec.replicas - oldObject.spec.replicas <= 5. It may use object and oldObject, of which one is null
	// for a CREATE or a DELETE, request, namespaceObject, changes, task, now and recent. For a scale object and
	// oldObject are the workload. recent is what the same user did within lookBack.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	Expression string `json:"expression,omitempty"`
	// messageExpression gives the text for whoever is refused, such as
	// 'scaling to ' + string(object.spec.replicas). It sees "***" for secret values. Omitted, or where it fails:
	// the expression is shown.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	MessageExpression string `json:"messageExpression,omitempty"`
	// lookBack is how far into the past recent goes, at most 168h. Required where the expression uses recent.
	// +optional
	LookBack Duration `json:"lookBack,omitempty"`
	// whenViolated is what happens when the expression is false: Deny or RequireApproval. Omitted: Deny. An
	// expression that fails always refuses.
	// +optional
	WhenViolated Verdict `json:"whenViolated,omitempty"`
	// requirements names the entries of approval.requirements that must consent when whenViolated is
	// RequireApproval. Omitted: the first entry.
	// +optional
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	// +listType=set
	Requirements []RequirementName `json:"requirements,omitempty"`
}

// Binding says to how much of the requester's identity an approval is bound.
// +kubebuilder:validation:Enum=User;Pod;Credential
type Binding string

const (
	// BindToUser binds to the user name and UID.
	BindToUser Binding = "User"
	// BindToPod binds to the pod that the requester's token belongs to as well.
	BindToPod Binding = "Pod"
	// BindToCredential binds to the one credential that asked as well.
	BindToCredential Binding = "Credential"
)

// ApprovalRules says how consent is given.
type ApprovalRules struct {
	// validFor is how long an approval can be used once it is granted. Omitted: 1h.
	// +optional
	ValidFor Duration `json:"validFor,omitempty"`
	// requestExpiresAfter is how long a request waits for people. Omitted: 4h.
	// +optional
	RequestExpiresAfter Duration `json:"requestExpiresAfter,omitempty"`
	// bindTo is what of the requester must be the same when the approval is used: User, Pod or Credential.
	// Omitted: User.
	// +optional
	BindTo Binding `json:"bindTo,omitempty"`
	// requirements say whose consent is needed. Where a restriction names none, the first one is asked.
	// +optional
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	// +listType=map
	// +listMapKey=name
	Requirements []Requirement `json:"requirements,omitempty"`
}

// Requirement is a number of people who must consent.
type Requirement struct {
	// name by which restrictions refer to the requirement.
	// +required
	Name RequirementName `json:"name,omitempty"`
	// approvers are the people whose consent counts. They need the verb approve on actionapprovals in the
	// namespace as well. Omitted: everyone who has that verb.
	// +optional
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +listType=atomic
	Approvers []Approver `json:"approvers,omitempty"`
	// minApprovals is how many different people must consent. Omitted: 1.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=16
	MinApprovals int32 `json:"minApprovals,omitempty"`
}

// ApproverKind is the kind of an Approver.
// +kubebuilder:validation:Enum=User;Group
type ApproverKind string

const (
	// ApproverUser is a person by user name.
	ApproverUser ApproverKind = "User"
	// ApproverGroup is every person of a group.
	ApproverGroup ApproverKind = "Group"
)

// Approver names people who may consent. Service accounts, nodes and governed subjects never may.
type Approver struct {
	// kind is User or Group.
	// +required
	Kind ApproverKind `json:"kind,omitempty"`
	// name of the user or group.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`
}

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ActionApproval asks for, and carries, people's consent to one exact action or to one run of a task.
//
// The operator opens it when an action needs consent. A person grants it with a patch:
//
//	kubectl patch aa NAME --type=merge -p '{"spec":{"decision":{"verdict":"Approve","comment":"ok"}}}'
//
// Whoever a policy governs can ask for a run of a task ahead, by creating one with spec.task.policy, spec.task.name and
// a justification; the operator writes the rest.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Namespaced,shortName=aa,categories=countersign
// +kubebuilder:selectablefield:JSONPath=`.spec.requester.username`
// +kubebuilder:selectablefield:JSONPath=`.spec.action.uid`
// +kubebuilder:selectablefield:JSONPath=`.spec.follows`
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.conditions[?(@.type=="Approved")].reason`
// +kubebuilder:printcolumn:name="Requester",type=string,JSONPath=`.status.summary.requester`
// +kubebuilder:printcolumn:name="Action",type=string,JSONPath=`.status.summary.action`
// +kubebuilder:printcolumn:name="Target",type=string,JSONPath=`.status.summary.target`
// +kubebuilder:printcolumn:name="Reasons",type=string,JSONPath=`.status.summary.reasons`
// +kubebuilder:printcolumn:name="Expires",type=string,JSONPath=`.status.summary.expires`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type ActionApproval struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty,omitzero"`

	// spec is what is asked and what people have decided. All of it but justification and decision, and the task that
	// is asked for ahead, is written by the operator, and none of that ever changes.
	// +required
	Spec ActionApprovalSpec `json:"spec,omitzero"`
	// status says where the approval stands and what it was used for.
	// +optional
	Status ActionApprovalStatus `json:"status,omitempty,omitzero"`
}

// ActionApprovalList is a list of ActionApproval.
//
// +kubebuilder:object:root=true
type ActionApprovalList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ActionApproval `json:"items"`
}

// ActionApprovalSpec is what is asked and what people have decided.
//
// +kubebuilder:validation:XValidation:rule="has(self.action) != has(self.task)",message="an approval is for exactly one of action and task"
// +kubebuilder:validation:XValidation:rule="!has(self.decision)",message="decisions are recorded by Countersign's webhook, which did not answer: nothing was stored, try again",fieldPath=".decision"
// +kubebuilder:validation:XValidation:rule="self.requester == oldSelf.requester && has(self.action) == has(oldSelf.action) && has(self.task) == has(oldSelf.task)",message="what was asked cannot be changed",reason=FieldValueForbidden
type ActionApprovalSpec struct {
	// requester is who asks, as the API server authenticated them.
	// +required
	Requester Requester `json:"requester,omitzero"`
	// justification is in the requester's own words, which nobody has checked: decide by the changes and the
	// diff. Only the requester may write it, and only before the first decision.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:Pattern=`^[^\x00-\x1f\x7f-\x9f]*$`
	Justification string `json:"justification,omitempty"`
	// action is the exact action that is asked for.
	// +optional
	Action *RequestedAction `json:"action,omitempty"`
	// task is the run of a task that is asked for.
	// +optional
	Task *RequestedTask `json:"task,omitempty"`
	// reasons say exactly what consent would waive.
	// +optional
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +listType=atomic
	Reasons []ApprovalReason `json:"reasons,omitempty"`
	// requirements say whose consent is needed. All of them must be met.
	// +optional
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +listType=atomic
	Requirements []StampedRequirement `json:"requirements,omitempty"`
	// follows names the earlier request for the same thing, if there is one.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Follows string `json:"follows,omitempty"`
	// requestExpiresAt is until when people can decide.
	// +optional
	RequestExpiresAt *metav1.Time `json:"requestExpiresAt,omitempty"`
	// validFor is how long the approval can be used once it is granted.
	// +optional
	ValidFor Duration `json:"validFor,omitempty"`
	// bindTo is what of the requester must be the same when the approval is used.
	// +optional
	BindTo Binding `json:"bindTo,omitempty"`
	// decision is where a person writes their verdict. The webhook moves it to decisions with the person's
	// identity and the time; it is never stored here.
	// +optional
	Decision *Decision `json:"decision,omitempty"`
	// decisions are the recorded verdicts, in the order in which they were given.
	// +optional
	// +kubebuilder:validation:MaxItems=32
	// +listType=atomic
	Decisions []RecordedDecision `json:"decisions,omitempty"`
}

// Requester is who asks, as the API server authenticated them.
type Requester struct {
	// username as the API server reports it.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=320
	Username string `json:"username,omitempty"`
	// uid of the user; for service accounts the UID of the account.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	UID string `json:"uid,omitempty"`
	// podName is the name of the pod that the requester's token is bound to.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	PodName string `json:"podName,omitempty"`
	// podUID is the UID of the pod that the requester's token is bound to.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	PodUID string `json:"podUID,omitempty"`
	// credentialID identifies the credential, such as "JTI=..." of a token.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	CredentialID string `json:"credentialID,omitempty"`
}

// RequestedAction is one exact action.
type RequestedAction struct {
	// operation is CREATE, UPDATE, DELETE or CONNECT.
	// +required
	Operation Operation `json:"operation,omitempty"`
	// group of the resource; empty for the core group.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Group string `json:"group,omitempty"`
	// version of the resource in which paths and values are written.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Version string `json:"version,omitempty"`
	// resource by plural name.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Resource string `json:"resource,omitempty"`
	// subresource that the action is on, if any.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Subresource string `json:"subresource,omitempty"`
	// namespace of the target; empty for cluster-scoped objects.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace,omitempty"`
	// name of the target, or the prefix from which its name is generated.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`
	// uid of the target; empty for an object that does not exist yet.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	UID string `json:"uid,omitempty"`
	// hash identifies the action exactly.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	Hash string `json:"hash,omitempty"`
	// changes are the fields that change. Secret values are left out.
	// +optional
	// +kubebuilder:validation:MaxItems=64
	// +listType=atomic
	Changes []FieldChange `json:"changes,omitempty"`
	// diff is a unified diff of the object as YAML, without secret values; cut where it is longer than 8 KiB,
	// and removed when the approval has ended.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=8192
	Diff string `json:"diff,omitempty"`
}

// FieldChange is one field that an action changes.
type FieldChange struct {
	// path of the field, such as spec.template.spec.containers[name=web].image.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Path string `json:"path,omitempty"`
	// from is the value before, as JSON; absent where there was none, "***" where it is secret.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	From string `json:"from,omitempty"`
	// to is the value after, as JSON; absent where the field is removed, "***" where it is secret.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	To string `json:"to,omitempty"`
}

// RequestedTask is one run of a task.
type RequestedTask struct {
	// policy that holds the task.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Policy string `json:"policy,omitempty"`
	// name of the task.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name,omitempty"`
	// maxActions bounds how many actions the run may hold. Whoever asks may leave it out: it is what the task allows.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	MaxActions int32 `json:"maxActions,omitempty"`
	// validFor is how long the run may take once it is approved. Whoever asks may leave it out: it is what the task
	// allows.
	// +optional
	ValidFor Duration `json:"validFor,omitempty"`
}

// ApprovalReason is one restriction that consent would waive.
type ApprovalReason struct {
	// type is the kind of restriction, such as ChangeWindowClosed.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Type string `json:"type,omitempty"`
	// policy that restricts.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Policy string `json:"policy,omitempty"`
	// task the restriction belongs to, if it belongs to one.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Task string `json:"task,omitempty"`
	// name of the window, freeze or guard.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`
}

// PolicyReference names one state of a policy.
type PolicyReference struct {
	// name of the policy.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`
	// uid of the policy.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	UID string `json:"uid,omitempty"`
	// hash of what the policy held when consent was asked for.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	Hash string `json:"hash,omitempty"`
}

// StampedRequirement is a requirement as the policy stated it when consent was asked for.
type StampedRequirement struct {
	// policy that states the requirement.
	// +required
	Policy PolicyReference `json:"policy,omitzero"`
	// name of the requirement.
	// +required
	Name RequirementName `json:"name,omitempty"`
	// approvers whose consent counts. Omitted: everyone with the verb approve.
	// +optional
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +listType=atomic
	Approvers []Approver `json:"approvers,omitempty"`
	// minApprovals is how many different people must consent.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=16
	MinApprovals int32 `json:"minApprovals,omitempty"`
}

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// AgentActivity holds what one agent did lately, as far as a policy asks for it: budgets count it, and guards read it as
// recent.
//
// The operator writes it, and nobody else can. There is none for an agent of whom no policy wants to know. Deleting it
// gives the agent its budgets back.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,path=agentactivities,shortName=aact,categories=countersign
// +kubebuilder:printcolumn:name="Agent",type=string,JSONPath=`.status.summary.agent`
// +kubebuilder:printcolumn:name="Last",type=string,JSONPath=`.status.summary.action`
// +kubebuilder:printcolumn:name="Target",type=string,JSONPath=`.status.summary.target`
// +kubebuilder:printcolumn:name="In",type=string,JSONPath=`.status.summary.namespace`
// +kubebuilder:printcolumn:name="Task",type=string,JSONPath=`.status.summary.task`
// +kubebuilder:printcolumn:name="When",type=date,JSONPath=`.status.lastAdmittedAt`
// +kubebuilder:printcolumn:name="Total",type=integer,JSONPath=`.status.admitted`
type AgentActivity struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty,omitzero"`

	// status says what the agent did lately.
	// +optional
	Status AgentActivityStatus `json:"status,omitempty,omitzero"`
}

// AgentActivityList is a list of AgentActivity.
//
// +kubebuilder:object:root=true
type AgentActivityList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []AgentActivity `json:"items"`
}

// AgentActivityStatus says what an agent did lately.
type AgentActivityStatus struct {
	// username of the agent, as the API server reports it.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Username string `json:"username,omitempty"`
	// summary says in short what the agent did last, for tables.
	// +optional
	Summary *ActivitySummary `json:"summary,omitempty"`
	// lastAdmittedAt is when the last of these actions was admitted.
	// +optional
	LastAdmittedAt *metav1.Time `json:"lastAdmittedAt,omitempty"`
	// admitted counts the actions that were recorded since this object exists, with those that were given back.
	// +optional
	// +kubebuilder:validation:Minimum=1
	Admitted int64 `json:"admitted,omitempty"`
	// recent are the recorded actions that were admitted lately, in the order in which they were. Those that a budget or a
	// guard may still ask for are all there, but for those whose use of an approval was given back: they were not stored.
	// +optional
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=1000
	// +listType=atomic
	Recent []AdmittedAction `json:"recent,omitempty"`
}

// AdmittedAction is one action that was admitted. That it was stored afterwards is likely, and not certain.
type AdmittedAction struct {
	// key identifies an attempt that can be stored at most once.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	Key string `json:"key,omitempty"`
	// time of the admission, rounded up to seconds.
	// +required
	Time metav1.Time `json:"time,omitzero"`
	// operation is CREATE, UPDATE, DELETE or CONNECT, in normal form: an eviction is a DELETE.
	// +required
	Operation Operation `json:"operation,omitempty"`
	// group of the resource; empty for the core group.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Group string `json:"group,omitempty"`
	// resource by plural name.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Resource string `json:"resource,omitempty"`
	// subresource that was acted upon, if any.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Subresource string `json:"subresource,omitempty"`
	// namespace of the object; empty for a cluster-scoped one.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Namespace string `json:"namespace,omitempty"`
	// name of the object.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`
	// uid of the object.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	UID string `json:"uid,omitempty"`
	// task that covered the action, as policy/task; empty where none did. The action counts against its budget.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=317
	Task string `json:"task,omitempty"`
	// tried are the tasks of Warn and Audit policies, as policy/task, that would have covered the action if the policy were
	// enforced. It counts against their budgets, which only say so.
	// +optional
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=317
	// +listType=atomic
	Tried []string `json:"tried,omitempty"`
}

// ActivitySummary says in short what an agent did last.
//
// +kubebuilder:validation:MinProperties=1
type ActivitySummary struct {
	// agent is namespace/name of a service account, and the name of any other user.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=320
	Agent string `json:"agent,omitempty"`
	// action in one word, such as update or exec.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Action string `json:"action,omitempty"`
	// target is resource/name.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=400
	Target string `json:"target,omitempty"`
	// namespace of the target.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Namespace string `json:"namespace,omitempty"`
	// task that covered the action, without its policy.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Task string `json:"task,omitempty"`
}

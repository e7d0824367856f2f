package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ActionApprovalStatus says where an approval stands and what it was used for.
type ActionApprovalStatus struct {
	// conditions of the approval. Decided says whether people have decided; Approved says whether the approval can
	// be used, and its reason is the state of the approval in one word.
	// +optional
	// +kubebuilder:validation:MaxItems=8
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// approvedAt is when the last requirement was met.
	// +optional
	ApprovedAt *metav1.Time `json:"approvedAt,omitempty"`
	// expiresAt is until when the approval can be used or, while it is pending, decided.
	// +optional
	ExpiresAt *metav1.Time `json:"expiresAt,omitempty"`
	// uses are the admissions under this approval.
	// +optional
	// +kubebuilder:validation:MaxItems=1000
	// +listType=map
	// +listMapKey=key
	Uses []ApprovalUse `json:"uses,omitempty"`
	// remaining is how many uses are left.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000
	Remaining *int32 `json:"remaining,omitempty"`
	// summary says in short who asks for what, for tables.
	// +optional
	Summary *ApprovalSummary `json:"summary,omitempty"`
}

// ApprovalSummary says in short who asks for what. It repeats what stands in spec.
//
// +kubebuilder:validation:MinProperties=1
type ApprovalSummary struct {
	// requester is namespace/name of a service account, and the name of any other user.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=320
	Requester string `json:"requester,omitempty"`
	// action in one word, such as update, exec or run.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Action string `json:"action,omitempty"`
	// target is resource/name, or task/name for a run of a task.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=400
	Target string `json:"target,omitempty"`
	// reasons are the kinds of restrictions that consent would waive, each once, with commas between.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Reasons string `json:"reasons,omitempty"`
	// expires is weekday and time in UTC of status.expiresAt, while the approval has not ended: it is at most seven
	// days ahead.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=16
	Expires string `json:"expires,omitempty"`
}

// UseOutcome says what became of a use.
// +kubebuilder:validation:Enum=Admitted;Closed;Stored;Returned
type UseOutcome string

const (
	// UseAdmitted means that the action was admitted and that its result is not known yet.
	UseAdmitted UseOutcome = "Admitted"
	// UseClosed means that the attempt is given up: no further review of it is admitted.
	UseClosed UseOutcome = "Closed"
	// UseStored means that the action was stored.
	UseStored UseOutcome = "Stored"
	// UseReturned means that the action was provably not stored, and the use was given back.
	UseReturned UseOutcome = "Returned"
)

// ApprovalUse is one admission under an approval.
type ApprovalUse struct {
	// key identifies an attempt that can be stored at most once.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	Key string `json:"key,omitempty"`
	// time of the first admission.
	// +required
	Time metav1.Time `json:"time,omitzero"`
	// since is a resourceVersion that the storage had before the admission: what became of the action is read from
	// what was stored after it.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	Since string `json:"since,omitempty"`
	// object is what was acted upon.
	// +optional
	Object *UsedObject `json:"object,omitempty"`
	// outcome is Admitted, Closed, Stored or Returned.
	// +optional
	Outcome UseOutcome `json:"outcome,omitempty"`
	// settledAt is when the outcome became another one than Admitted.
	// +optional
	SettledAt *metav1.Time `json:"settledAt,omitempty"`
}

// UsedObject is what an approved action acted upon.
//
// +kubebuilder:validation:MinProperties=1
type UsedObject struct {
	// group of the resource; empty for the core group.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Group string `json:"group,omitempty"`
	// version of the resource in which the action was reviewed.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Version string `json:"version,omitempty"`
	// resource by plural name.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Resource string `json:"resource,omitempty"`
	// subresource that was acted upon, if any.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Subresource string `json:"subresource,omitempty"`
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
	// resourceVersion from which an update started.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	ResourceVersion string `json:"resourceVersion,omitempty"`
	// generation from which an update started that moves it; absent where it does not.
	// +optional
	// +kubebuilder:validation:Minimum=1
	Generation int64 `json:"generation,omitempty"`
}

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// DecisionVerdict is what a person decides.
// +kubebuilder:validation:Enum=Approve;Deny;Revoke
type DecisionVerdict string

const (
	// VerdictApprove consents.
	VerdictApprove DecisionVerdict = "Approve"
	// VerdictDeny ends the request.
	VerdictDeny DecisionVerdict = "Deny"
	// VerdictRevoke takes consent back.
	VerdictRevoke DecisionVerdict = "Revoke"
)

// Decision is what a person writes.
type Decision struct {
	// verdict is Approve, Deny or Revoke.
	// +required
	Verdict DecisionVerdict `json:"verdict,omitempty"`
	// comment in the person's own words. It is never shown to the requester.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:Pattern=`^[^\x00-\x1f\x7f-\x9f]*$`
	Comment string `json:"comment,omitempty"`
	// limits narrow what is approved. They never widen it.
	// +optional
	Limits *DecisionLimits `json:"limits,omitempty"`
}

// DecisionLimits narrow what a person approves.
//
// +kubebuilder:validation:MinProperties=1
type DecisionLimits struct {
	// maxActions bounds how many actions a run of a task may hold.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	MaxActions int32 `json:"maxActions,omitempty"`
	// validFor bounds how long the approval can be used.
	// +optional
	ValidFor Duration `json:"validFor,omitempty"`
}

// RecordedDecision is a person's verdict with their identity and the time, as the webhook stamped it.
type RecordedDecision struct {
	// verdict is Approve, Deny or Revoke.
	// +required
	Verdict DecisionVerdict `json:"verdict,omitempty"`
	// comment in the person's own words.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:Pattern=`^[^\x00-\x1f\x7f-\x9f]*$`
	Comment string `json:"comment,omitempty"`
	// limits the person set.
	// +optional
	Limits *DecisionLimits `json:"limits,omitempty"`
	// approver is who decided, as the API server authenticated them.
	// +required
	Approver ApproverIdentity `json:"approver,omitzero"`
	// time at which the webhook recorded the verdict.
	// +required
	Time metav1.Time `json:"time,omitzero"`
}

// ApproverIdentity is who decided, as the API server authenticated them.
type ApproverIdentity struct {
	// username as the API server reports it.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=320
	Username string `json:"username,omitempty"`
	// uid of the user, where the authenticator gives one.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	UID string `json:"uid,omitempty"`
	// groups of the user at that moment.
	// +optional
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	// +listType=atomic
	Groups []string `json:"groups,omitempty"`
	// credentialID identifies the credential, such as "JTI=..." or "X509SHA256=...".
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	CredentialID string `json:"credentialID,omitempty"`
}

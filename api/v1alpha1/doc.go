// Package v1alpha1 holds the Countersign API: AgentActionPolicy says what a governed service account or AI
// agent may do, when, and with whose consent; ActionApproval carries a person's consent to one exact action
// or to one run of a task.
//
// The package imports apimachinery only, so that other programs can use the types without the operator's
// dependencies. Defaults are applied by the policy engine and are never stored; each field says its own.
//
// +kubebuilder:object:generate=true
// +groupName=countersign.dev
package v1alpha1

package intake

import (
	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/action"
	"github.com/countersign-dev/countersign/internal/approval"
	"github.com/countersign-dev/countersign/internal/policy"
)

// Attempt is how an action whose decision asks for consent presents itself to an approval. The id is that of its review,
// the hash that of the hasher.
func Attempt(id, hash string, a *action.Action, d *policy.Decision, h action.Hasher) approval.Attempt {
	consent := d.Consent()
	at := approval.Attempt{
		Action: a, Hash: hash, RequestID: id, Reasons: ApprovalReasons(&consent),
		TaskPolicy: d.Policy, Task: d.Task, Base: approval.BaseOf(a, h),
	}
	for _, now := range d.ConsentStates() {
		at.Policies = append(at.Policies, v1alpha1.PolicyReference{Name: now.Policy, UID: now.PolicyUID, Hash: now.Hash})
	}
	return at
}

// ApprovalRequest is what people are asked so that an attempt passes: for the exact action, or for a run of its task. For
// cluster-scoped targets it goes to the operator's namespace.
func ApprovalRequest(at *approval.Attempt, d *policy.Decision, operatorNamespace string) approval.Request {
	consent := d.Consent()
	r := approval.Request{
		Requester: at.Action.Actor, Reasons: at.Reasons, Requirements: ApprovalRequirements(&consent),
		ValidFor: consent.ValidFor, RequestExpiresAfter: consent.RequestExpiresAfter, BindTo: consent.BindTo,
		OperatorNamespace: operatorNamespace,
	}
	if run := consent.Run; run != nil {
		r.Task = &approval.Task{Policy: run.Policy, Name: run.Task, Namespace: run.Namespace, MaxActions: run.MaxActions}
		return r
	}
	r.Action, r.Hash, r.Base = at.Action, at.Hash, at.Base
	return r
}

// ApprovalReasons are the restrictions that consent would waive, as an approval holds them.
func ApprovalReasons(c *policy.Consent) []v1alpha1.ApprovalReason {
	var all []v1alpha1.ApprovalReason
	for _, reason := range c.Reasons {
		all = append(all, v1alpha1.ApprovalReason{
			Type: string(reason.Type), Policy: reason.Policy, Task: reason.Task, Name: reason.Name,
		})
	}
	return all
}

// ApprovalRequirements are those that must be met, as an approval holds them.
func ApprovalRequirements(c *policy.Consent) []v1alpha1.StampedRequirement {
	var all []v1alpha1.StampedRequirement
	for _, q := range c.Requirements {
		all = append(all, v1alpha1.StampedRequirement{
			Policy: v1alpha1.PolicyReference{Name: q.Policy, UID: q.PolicyUID, Hash: q.Hash},
			Name:   q.Name, Approvers: q.Approvers, MinApprovals: q.MinApprovals,
		})
	}
	return all
}

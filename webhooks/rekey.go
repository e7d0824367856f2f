package webhooks

import (
	"slices"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/approval"
)

// hashes are those by which an action may be known: by the key of the installation, and by the one before.
func (v *verdict) hashes() []string {
	if v.hasher.Previous == nil {
		return []string{v.hash}
	}
	return []string{v.hash, v.hasher.Previous.Hash(v.action)}
}

// rekey goes on with the key before, where an approval of the requester is for the action by a hash or a base under that one. So
// everything is as if the key had not been replaced, until that approval is gone: it holds, or it is asked for, or people have
// refused it.
func (v *verdict) rekey(known []*v1alpha1.ActionApproval) {
	before := v.hasher.Previous
	if before == nil {
		return
	}
	hash := before.Hash(v.action)
	isOlder := func(a *v1alpha1.ActionApproval) bool {
		return a.Spec.Action != nil && a.Spec.Action.Hash == hash && (hash != v.hash || approval.BaseKeyID(a) == before.KeyID)
	}
	if slices.ContainsFunc(known, isOlder) {
		v.hash, v.hasher = hash, *before
	}
}

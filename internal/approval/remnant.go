package approval

import (
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

// diffRemains stands for a diff that is still to be dropped.
const diffRemains = "…"

// Remnant takes from an approval that has ended what nobody asks of it any more, so that a process can hold a hundred
// thousand of them. What it leaves gives the same answers to Evaluate, Ended, CoolsUntil, KeptUntil, Covers and Continuation,
// and to who follows a chain. It must never be written: what it lacks would be lost. One that has not ended stays whole.
func Remnant(a *v1alpha1.ActionApproval) {
	ended := meta.FindStatusCondition(a.Status.Conditions, v1alpha1.ApprovalApproved)
	if recorded(&a.Status) == "" {
		return
	}
	a.ObjectMeta = metav1.ObjectMeta{
		Name: a.Name, Namespace: a.Namespace, UID: a.UID, ResourceVersion: a.ResourceVersion, Generation: a.Generation,
		CreationTimestamp: a.CreationTimestamp, DeletionTimestamp: a.DeletionTimestamp,
	}
	uses := slices.DeleteFunc(a.Status.Uses, func(u v1alpha1.ApprovalUse) bool { return !continuable(&u) })
	a.Status = v1alpha1.ActionApprovalStatus{Uses: slices.Clip(uses), Conditions: []metav1.Condition{{
		Type: ended.Type, Status: ended.Status, Reason: ended.Reason,
		ObservedGeneration: ended.ObservedGeneration, LastTransitionTime: ended.LastTransitionTime,
	}}}
	if len(uses) == 0 {
		a.Status.Uses = nil
	}
	a.Spec = remnantOf(&a.Spec, len(uses) > 0)
}

func remnantOf(spec *v1alpha1.ActionApprovalSpec, continues bool) v1alpha1.ActionApprovalSpec {
	left := v1alpha1.ActionApprovalSpec{Follows: spec.Follows, Task: spec.Task, Requester: spec.Requester}
	if !continues {
		left.Requester = v1alpha1.Requester{Username: spec.Requester.Username}
	}
	denied := holds(spec)
	if denied { // who denied, and whether they could, is judged each time
		left = *spec
		left.Justification, left.Reasons, left.Decision = "", nil, nil
		for i := range left.Decisions {
			left.Decisions[i].Comment = ""
		}
	}
	asked := spec.Action
	if asked == nil || !denied && asked.Diff == "" && asked.Operation != v1alpha1.OperationDelete {
		left.Action = nil
		return left
	}
	left.Action = &v1alpha1.RequestedAction{Operation: asked.Operation, UID: asked.UID}
	if denied {
		*left.Action = *asked
		left.Action.Hash = ""
		for i := range left.Action.Changes {
			left.Action.Changes[i].From, left.Action.Changes[i].To = "", ""
		}
	}
	left.Action.Diff = ""
	if asked.Diff != "" {
		left.Action.Diff = diffRemains
	}
	return left
}

// continuable says whether a use is a deletion, with which later reviews may go on.
func continuable(u *v1alpha1.ApprovalUse) bool {
	return isKind(u.Key, kindDelete) && u.Outcome != v1alpha1.UseReturned
}

// holds says whether a denial was given, and not lifted.
func holds(spec *v1alpha1.ActionApprovalSpec) bool {
	t := read(spec)
	return !t.deniedAt.IsZero() && t.liftedAt.IsZero()
}

// Recalled says whether what its requester asks for later may depend on an approval that has ended, and no name leads to
// it: a denial that may hold, and a request for a run that has a name of its requester's choice.
func Recalled(a *v1alpha1.ActionApproval) bool {
	return holds(&a.Spec) || a.Spec.Task != nil && !IsReserved(a.Name)
}

// Closed says that an approval has ended, and that its status says so of the generation at hand.
func Closed(a *v1alpha1.ActionApproval) bool {
	c := meta.FindStatusCondition(a.Status.Conditions, v1alpha1.ApprovalApproved)
	return recorded(&a.Status) != "" && c.ObservedGeneration == a.Generation
}

// Deleted are the UIDs of objects whose deletion was admitted under an approval that has ended: reviews that go on with it
// may still come.
func Deleted(a *v1alpha1.ActionApproval) []string {
	var uids []string
	if a.Spec.Action != nil && a.Spec.Action.Operation == v1alpha1.OperationDelete && a.Spec.Action.UID != "" {
		uids = append(uids, a.Spec.Action.UID)
	}
	for i := range a.Status.Uses {
		if u := &a.Status.Uses[i]; continuable(u) && u.Object != nil && u.Object.UID != "" {
			uids = append(uids, u.Object.UID)
		}
	}
	slices.Sort(uids)
	return slices.Compact(uids)
}

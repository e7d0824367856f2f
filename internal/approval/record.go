package approval

import (
	"reflect"
	"time"
	"unique"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

// Record is the remnant of an approval in a small fraction of the memory: of most there is nothing left but names and times. It
// is immutable. Times have the resolution of the API, a second.
type Record struct {
	name, uid, version, follows string
	namespace, requester        unique.Handle[string]
	end                         unique.Handle[ending]
	generation, observed        int64
	created, since              int64
	task                        *v1alpha1.RequestedTask
	// rest is nil of most.
	rest *rest
}

// ending is the condition that says so, but for when.
type ending struct {
	status metav1.ConditionStatus
	reason string
}

// rest is what is left of a denial, of a deletion that was admitted, and while a diff is still to be dropped.
type rest struct {
	spec    v1alpha1.ActionApprovalSpec
	uses    []v1alpha1.ApprovalUse
	deleted *metav1.Time
}

// RecordOf makes a record of an approval that has ended. It is nil where it has not, and then the approval is as it was. Else the
// approval is its Remnant.
func RecordOf(a *v1alpha1.ActionApproval) *Record {
	if recorded(&a.Status) == "" {
		return nil
	}
	Remnant(a)
	ended := &a.Status.Conditions[0]
	r := &Record{
		name: a.Name, uid: string(a.UID), version: a.ResourceVersion, follows: a.Spec.Follows,
		namespace: unique.Make(a.Namespace), requester: unique.Make(a.Spec.Requester.Username),
		end:        unique.Make(ending{status: ended.Status, reason: ended.Reason}),
		generation: a.Generation, observed: ended.ObservedGeneration,
		created: a.CreationTimestamp.Unix(), since: ended.LastTransitionTime.Unix(), task: a.Spec.Task,
	}
	left := rest{spec: a.Spec, uses: a.Status.Uses, deleted: a.DeletionTimestamp}
	left.spec.Follows, left.spec.Task, left.spec.Requester.Username = "", nil, ""
	if !reflect.ValueOf(&left).Elem().IsZero() {
		r.rest = new(left)
	}
	return r
}

// Approval is the remnant of which the record was made. It shares memory with the record: change a copy.
func (r *Record) Approval() *v1alpha1.ActionApproval {
	a := &v1alpha1.ActionApproval{ObjectMeta: r.meta()}
	if r.rest != nil {
		a.Spec, a.Status.Uses, a.DeletionTimestamp = r.rest.spec, r.rest.uses, r.rest.deleted
	}
	a.Spec.Follows, a.Spec.Task, a.Spec.Requester.Username = r.follows, r.task, r.requester.Value()
	end := r.end.Value()
	a.Status.Conditions = []metav1.Condition{{
		Type: v1alpha1.ApprovalApproved, Status: end.status, Reason: end.reason, ObservedGeneration: r.observed,
		LastTransitionTime: at(r.since),
	}}
	return a
}

// State is the state in which the approval has ended, as its status records it: one that this version does not know, too.
func (r *Record) State() State { return State(r.end.Value().reason) }

// GetObjectMeta implements metav1.ObjectMetaAccessor, by which caches learn name and version.
func (r *Record) GetObjectMeta() metav1.Object {
	o := r.meta()
	return &o
}

func (r *Record) meta() metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Name: r.name, Namespace: r.namespace.Value(), UID: types.UID(r.uid), ResourceVersion: r.version, Generation: r.generation,
		CreationTimestamp: at(r.created),
	}
}

// at is an instant as objects have it that come from the API. The zero time stays what it is.
func at(seconds int64) metav1.Time {
	if t := time.Unix(seconds, 0); !t.IsZero() {
		return metav1.Time{Time: t}
	}
	return metav1.Time{}
}

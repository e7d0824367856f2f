package controllers

import (
	"time"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/controller"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/approval"
	"github.com/countersign-dev/countersign/internal/archive"
)

// approvalsTimeout is how long controllers wait for all approvals: a hundred thousand on a busy machine take minutes, and
// an operator that gave up would begin anew.
const approvalsTimeout = 15 * time.Minute

// approvalController begins a controller of approvals.
func approvalController(mgr ctrl.Manager, name string, approvals *archive.Source) *builder.Builder {
	return ctrl.NewControllerManagedBy(mgr).Named(name).WatchesRawSource(approvals).
		WithOptions(controller.Options{CacheSyncTimeout: approvalsTimeout})
}

// passing watches approvals that a function passes as they are now.
func passing(a *archive.Archive, passes func(*v1alpha1.ActionApproval) bool) *archive.Source {
	return &archive.Source{
		Archive: a, Appeared: passes,
		Changed: func(_, after *v1alpha1.ActionApproval) bool { return passes(after) },
	}
}

// unlessClosed passes approvals whose state may still have to be written.
func unlessClosed(a *v1alpha1.ActionApproval) bool { return !approval.Closed(a) }

// untilEnded watches approvals up to the change by which they end: of a hundred thousand that had ended before, none.
func untilEnded(a *archive.Archive) *archive.Source {
	return &archive.Source{
		Archive:  a,
		Appeared: func(a *v1alpha1.ActionApproval) bool { return !hasEnded(a) },
		Changed:  func(before, after *v1alpha1.ActionApproval) bool { return !hasEnded(before) || !hasEnded(after) },
	}
}

func hasEnded(a *v1alpha1.ActionApproval) bool {
	_, ended := approval.Ended(a)
	return ended
}

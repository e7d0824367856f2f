package approval

import (
	"time"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

// Stamp does what the mutating webhook does to an update: it moves spec.decision of updated to spec.decisions with the
// identity of the caller and the time, and forgets the manifest in which it came, so that the next person's apply
// neither conflicts nor removes anything. A verdict that repeats the caller's standing one is dropped, but for consent to
// what has ended: ValidateUpdate then says so. It says whether it changed updated.
//
// It judges nothing: ValidateUpdate does, after every other webhook.
func Stamp(old, updated *v1alpha1.ActionApproval, caller Caller, now time.Time) bool {
	decision := updated.Spec.Decision
	if decision == nil {
		return false
	}
	updated.Spec.Decision = nil
	forgetManifest(updated)
	identity := caller.identity()
	if adds(old, decision, &identity, now) {
		updated.Spec.Decisions = append(updated.Spec.Decisions, v1alpha1.RecordedDecision{
			Verdict: decision.Verdict, Comment: decision.Comment, Limits: decision.Limits.DeepCopy(),
			Approver: identity, Time: stamp(now),
		})
	}
	return true
}

// adds says whether a verdict is to be recorded: what repeats the last one of the same person is not, unless it is
// consent that comes too late, which they should learn.
func adds(old *v1alpha1.ActionApproval, d *v1alpha1.Decision, who *v1alpha1.ApproverIdentity, now time.Time) bool {
	last := lastOf(&old.Spec, who)
	return last == nil || !repeats(d, last) || d.Verdict == v1alpha1.VerdictApprove && Evaluate(old, now).Terminal()
}

// lastOf is the last verdict of a person, nil where there is none.
func lastOf(spec *v1alpha1.ActionApprovalSpec, who *v1alpha1.ApproverIdentity) *v1alpha1.RecordedDecision {
	for i := len(spec.Decisions) - 1; i >= 0; i-- {
		if samePerson(&spec.Decisions[i].Approver, who) {
			return &spec.Decisions[i]
		}
	}
	return nil
}

// repeats says whether a verdict adds nothing to an earlier one of the same person. Another comment alone does not.
func repeats(d *v1alpha1.Decision, last *v1alpha1.RecordedDecision) bool {
	return d.Verdict == last.Verdict && limitsOf(d.Limits) == limitsOf(last.Limits)
}

func limitsOf(l *v1alpha1.DecisionLimits) v1alpha1.DecisionLimits {
	if l == nil {
		return v1alpha1.DecisionLimits{}
	}
	return *l
}

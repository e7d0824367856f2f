package approval

import (
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/action"
)

// Attempt is an action that wants to pass under an approval, with all that was read live for it.
type Attempt struct {
	// Action with its Hash and, where RequestID is the UID of the review, what identifies the attempt.
	Action          *action.Action
	Hash, RequestID string
	// Reasons are why consent is needed now.
	Reasons []v1alpha1.ApprovalReason
	// Policies are the policies as they are now. Those that the approval names must be among them.
	Policies []v1alpha1.PolicyReference
	// TaskPolicy and Task name the task that covers the action. They matter to consent to a run of a task.
	TaskPolicy, Task string
	// LostApprovers are those who have consented and may not any more: they lack the verb now, or are governed.
	LostApprovers []string
	// Base is the base of the object now, under the key of the base at the request.
	Base Base
	// ChangedByAgent says that a governed subject has changed the object since the request.
	ChangedByAgent bool
	// Stale says that a live read does not show the resourceVersion that is reviewed.
	Stale bool
}

// Outcome is what an approval means for an attempt. The zero value is none: whoever reads it must refuse.
type Outcome string

const (
	// Admit lets the attempt pass, once its use is recorded.
	Admit Outcome = "Admit"
	// Refuse does not: the approval is not granted, has ended, or has no use left.
	Refuse Outcome = "Refuse"
	// Ends does not, and the approval is to be ended as Void.
	Ends Outcome = "Ends"
	// Foreign does not, because the approval is for somebody or something else. It stays as it is.
	Foreign Outcome = "Foreign"
	// Again does not, and nothing is to be written or opened: the review is stale, and the API server comes again.
	Again Outcome = "Again"
)

// Verdict is what an approval means for an attempt.
type Verdict struct {
	Outcome Outcome
	// State of the approval.
	State State
	// Key of the attempt, and whether it is recorded already: then it costs no use.
	Key   string
	Known bool
	// Reason says in words why the attempt does not pass: "object changed since approval: within spec.template".
	Reason string
}

// Check says whether an attempt passes under an approval. It is asked at every review, whether the attempt is known or
// not: a known key waives the new use, and nothing else.
func Check(a *v1alpha1.ActionApproval, at Attempt, now time.Time) Verdict {
	v := Verdict{Outcome: Foreign, State: Evaluate(a, now)}
	if v.Reason = foreign(&a.Spec, a.Namespace, &at); v.Reason != "" {
		return v
	}
	if v.Reason = beyond(&a.Spec, &at); v.Reason != "" {
		return v
	}
	v.Outcome = Refuse
	if v.State != Approved {
		v.Reason = ended(a, now)
		return v
	}
	if v.Reason = void(a, &at); v.Reason != "" {
		v.Outcome = Ends
		if at.Stale {
			v.Outcome = Again
		}
		return v
	}
	v.use(a, &at, now)
	return v
}

// ended says why an approval cannot be used: in the words in which its end was recorded, where it was.
func ended(a *v1alpha1.ActionApproval, now time.Time) string {
	c := meta.FindStatusCondition(a.Status.Conditions, v1alpha1.ApprovalApproved)
	if recorded(&a.Status) != "" && c.Message != "" {
		return c.Message
	}
	return explain(evaluate(a, now))
}

// use looks for the use of the attempt, or for one that is left.
func (v *Verdict) use(a *v1alpha1.ActionApproval, at *Attempt, now time.Time) {
	key, err := AttemptKey(at.Action, at.Hash, at.RequestID)
	if err != nil {
		v.Reason = err.Error()
		return
	}
	use, _ := find(a.Status.Uses, key, now)
	v.Key, v.Known = key, isKnown(use)
	switch {
	case isClosed(use):
		v.Reason = "the attempt was given up"
	case !v.Known && remaining(&a.Status, read(&a.Spec).limits.uses) < 1:
		v.Reason = "every use was made"
	default:
		v.Outcome = Admit
	}
}

// foreign says why an approval is not for the attempt at all.
func foreign(spec *v1alpha1.ActionApprovalSpec, namespace string, at *Attempt) string {
	actor := &at.Action.Actor
	switch {
	case !isRequester(actor, spec.Requester):
		return "another requester"
	case bindable(spec.Requester, spec.BindTo) != nil || bound(spec.Requester, spec.BindTo) != bound(requester(actor), spec.BindTo):
		return "another " + boundWord(spec.BindTo)
	case spec.Action != nil:
		return foreignAction(spec.Action, at)
	case spec.Task == nil || at.TaskPolicy != spec.Task.Policy || at.Task != spec.Task.Name:
		return "another task"
	case at.Action.Namespace != namespace:
		return "another namespace"
	default:
		return ""
	}
}

func boundWord(to v1alpha1.Binding) string {
	if to == v1alpha1.BindToPod {
		return "pod of the requester"
	}
	return "credential of the requester"
}

func foreignAction(asked *v1alpha1.RequestedAction, at *Attempt) string {
	if asked.Hash == "" || asked.Hash != at.Hash {
		return "another action"
	}
	return ""
}

// beyond says what consent to a run of a task does not waive of what is in the way of an attempt: this attempt passes
// under another approval or none, and the run goes on for others. Where a policy is not what it was, void says so.
func beyond(spec *v1alpha1.ActionApprovalSpec, at *Attempt) string {
	if spec.Task == nil || changedPolicy(spec, at) != "" {
		return ""
	}
	return unnamed(spec, at)
}

func changedPolicy(spec *v1alpha1.ActionApprovalSpec, at *Attempt) string {
	for _, r := range spec.Requirements {
		if !slices.Contains(at.Policies, r.Policy) {
			return "policy changed since approval: " + r.Policy.Name
		}
	}
	return ""
}

func unnamed(spec *v1alpha1.ActionApprovalSpec, at *Attempt) string {
	for _, reason := range at.Reasons {
		if !slices.Contains(spec.Reasons, reason) || spec.Task != nil && !waivable(reason) {
			return "not part of the approval: " + describe(reason)
		}
	}
	return ""
}

// void says why what was approved is no longer what would happen.
func void(a *v1alpha1.ActionApproval, at *Attempt) string {
	if why := changedPolicy(&a.Spec, at); why != "" {
		return why
	}
	if why := unnamed(&a.Spec, at); why != "" {
		return why
	}
	if len(at.LostApprovers) > 0 {
		return "an approver may not approve any more" // no names: the agent reads this
	}
	if a.Spec.Action != nil && a.Spec.Action.UID != at.Action.UID {
		return "object was deleted and created again since approval"
	}
	return drifted(a, at)
}

// waivable says whether consent to a run of a task can waive a reason. Guards and scopes need consent to the action.
func waivable(r v1alpha1.ApprovalReason) bool {
	switch r.Type {
	case "ChangeWindowClosed", "FreezeActive", "BudgetExceeded", "ApprovalRequired":
		return true
	default:
		return false
	}
}

func describe(r v1alpha1.ApprovalReason) string {
	text := r.Type + " (policy " + r.Policy
	if r.Task != "" {
		text += ", task " + r.Task
	}
	if r.Name != "" {
		text += ", " + r.Name
	}
	return text + ")"
}

// drifted says what has changed around an approved update. What is around a delete stands in its hash.
func drifted(a *v1alpha1.ActionApproval, at *Attempt) string {
	if a.Spec.Action == nil || at.Action.Operation != v1alpha1.OperationUpdate {
		return ""
	}
	switch drift := at.Base.Since(baseOf(a)); {
	case drift == DriftNone:
		return ""
	case at.ChangedByAgent:
		return changedSince + ", by an agent"
	case drift == DriftElsewhere:
		return ""
	case drift == DriftNear:
		var places []string
		for _, p := range surroundings(at.Action) {
			places = append(places, p.String())
		}
		return changedSince + ": within " + listed(places)
	default:
		return changedSince + ", or cannot be compared"
	}
}

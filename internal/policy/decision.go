package policy

import (
	"time"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/action"
	"github.com/countersign-dev/countersign/internal/activity"
	"github.com/countersign-dev/countersign/internal/legible"
)

// Outcome is what becomes of an action. The zero value is none: whoever reads it must refuse.
type Outcome string

const (
	// Allow lets the action pass.
	Allow Outcome = "Allow"
	// Deny refuses it.
	Deny Outcome = "Deny"
	// Ask refuses it until people have consented.
	Ask Outcome = "RequireApproval"
)

// Reason is why an action meets an obstacle. The values are published: they stand in refusals, audit annotations,
// the decision log and metrics.
type Reason string

const (
	// ChangeWindowClosed means that none of the allowed windows is open.
	ChangeWindowClosed Reason = "ChangeWindowClosed"
	// FreezeActive means that a freeze is active.
	FreezeActive Reason = "FreezeActive"
	// ActionOutOfScope means that no task names the operation on the resource.
	ActionOutOfScope Reason = "ActionOutOfScope"
	// NamespaceOutOfScope means that the nearest task does not cover the namespace.
	NamespaceOutOfScope Reason = "NamespaceOutOfScope"
	// ObjectOutOfScope means that the nearest task does not cover the object, by its name or labels.
	ObjectOutOfScope Reason = "ObjectOutOfScope"
	// FieldOutOfScope means that the nearest task does not cover a field that changes.
	FieldOutOfScope Reason = "FieldOutOfScope"
	// ServiceAccountOutOfScope means that pods would run as an account that the nearest task does not cover.
	ServiceAccountOutOfScope Reason = "ServiceAccountOutOfScope"
	// ApprovalUnusable means that there is an approval which does not let the action pass.
	ApprovalUnusable Reason = "ApprovalUnusable"
	// BudgetExceeded means that as many actions were admitted under a task as its budget allows.
	BudgetExceeded Reason = "BudgetExceeded"
	// ApprovalRequired means that a task asks for consent to every use.
	ApprovalRequired Reason = "ApprovalRequired"
	// GuardViolated means that the expression of a guard is false.
	GuardViolated Reason = "GuardViolated"
	// GuardFailed means that the expression of a guard can say neither, because of an error or a limit.
	GuardFailed Reason = "GuardFailed"
	// HistoryUnknown means that a policy needs to know what the actor did before, which cannot be read or kept.
	HistoryUnknown Reason = "HistoryUnknown"
	// ReservedAction means that no agent may ever do this.
	ReservedAction Reason = "ReservedAction"
	// PolicyInvalid means that a policy of the subject cannot judge the action.
	PolicyInvalid Reason = "PolicyInvalid"
	// NotReady means that the operator has not read all policies, or has no key yet.
	NotReady Reason = "NotReady"
	// Disconnected means that this replica of the operator does not reach the API server, and so cannot know that what it
	// would decide with still holds.
	Disconnected Reason = "Disconnected"
	// DefinitionsChanged means that Countersign cannot trust its own policies, approvals or records: the definitions of their
	// kinds are not what they must be, or were, and policies have vanished with them.
	DefinitionsChanged Reason = "DefinitionsChanged"
	// VersionNotPreferred means that the object came in a version other than the one in which paths are written.
	VersionNotPreferred Reason = "VersionNotPreferred"
	// RequestUnreadable means that the request cannot be decoded or is too large, or that the agent's name cannot be seen.
	RequestUnreadable Reason = "RequestUnreadable"
	// TargetUnknown means that the object or kind that the action is about cannot be read.
	TargetUnknown Reason = "TargetUnknown"
	// InternalError means that Countersign failed.
	InternalError Reason = "InternalError"
)

// Input is all that a decision depends on, besides the policies.
type Input struct {
	// Action in normal form.
	Action *action.Action
	// Now is the instant of the decision.
	Now time.Time
	// NamespaceLabels are the labels of the action's namespace. Nil, as opposed to empty, means that they are not
	// known: policies that select namespaces then govern, and tasks that do then cover nothing.
	NamespaceLabels map[string]string
	// Scaled are the workloads that action.ScaleTargets names, each once.
	Scaled []Workload
	// Role is the live role that the action gives somebody (see RoleOf), nil where it gives none.
	Role map[string]any
	// History is what the actor did before. Nil means that it is not known: whatever needs it then refuses. See
	// Set.NeedsHistory.
	History *activity.History
	// Done gives what is closed once the time for the decision is over: guards then fail. Nil: it never is.
	Done func() <-chan struct{}

	// unremembered says that nobody records what the actor does: policies are judged without what needs it.
	unremembered bool
	// inspection is where the guards of one call of Decide are evaluated.
	inspection *inspection
}

// Decision is the outcome for one action, with all obstacles.
type Decision struct {
	// Outcome over the Enforce policies.
	Outcome Outcome
	// Governed says that an Enforce policy names the actor.
	Governed bool
	// Obstacles are everything in the way, in the order of the policies' names.
	Obstacles []Obstacle
	// Remedy says what would let the action pass.
	Remedy Remedy
	// Policy and Task name the task that covers the action; empty where none does.
	Policy, Task string
	// Approval names, by namespace and name, the approval under which the action passes or for which it waits.
	Approval string
	// Waived are the obstacles that grace takes away.
	Waived []Waiver
	// Tried are the tasks of Warn and Audit policies, as policy/task, that would have covered the action and want to know.
	Tried []string
	// Memory is what must be remembered if the action passes.
	Memory Memory
	// Policies are those that govern the action, and Windows the state of the change windows and freezes of each at its instant.
	Policies []*Policy
	Windows  []v1alpha1.WindowState
	// Shadows are the Warn and Audit policies under which the outcome would be another.
	Shadows []Shadow

	// namespace of the action that the task covers, empty for a cluster-scoped one.
	namespace string
}

// TaskName names the covering task by policy and task, empty where none covers.
func (d *Decision) TaskName() string {
	if d.Task == "" {
		return ""
	}
	return d.Policy + "/" + d.Task
}

// Obstacle is one restriction in the way of an action.
type Obstacle struct {
	// Reason is the kind of obstacle.
	Reason Reason
	// Verdict says whether consent can waive it.
	Verdict v1alpha1.Verdict
	// Policy and Task it belongs to; Task is empty for a restriction of the whole policy.
	Policy, Task string
	// Name of the window, freeze or guard; of several windows the one that opens next.
	Name string
	// Detail says in words what is in the way, and until when. It is one line.
	Detail string
	// OpensAt is when a window opens, a freeze ends or a budget has room next; zero where that is not known.
	OpensAt time.Time
	// Fields are the changed fields outside the nearest task.
	Fields []string
	// requirements are whom it asks; none means the policy's first one.
	requirements []v1alpha1.RequirementName
	// consentName names the restriction in an approval, where Name depends on the moment.
	consentName string
}

// waivable says whether consent to a run of a task can take the obstacle away: it neither lies in the result of one
// action nor outside of the task.
func (o *Obstacle) waivable() bool {
	switch o.Reason {
	case ChangeWindowClosed, FreezeActive, BudgetExceeded, ApprovalRequired:
		return o.Verdict == v1alpha1.RequireApproval
	default: // whatever else there is needs consent to the exact action
		return false
	}
}

// isTime says that waiting takes the obstacle away.
func (o *Obstacle) isTime() bool {
	return o.Reason == ChangeWindowClosed || o.Reason == FreezeActive || o.Reason == BudgetExceeded
}

// Shadow is what a Warn or Audit policy would have changed.
type Shadow struct {
	// Policy and its enforcement mode.
	Policy      string
	Enforcement v1alpha1.Enforcement
	// Decision if the policy were enforced.
	Decision Decision
}

// Failure is the decision for an action that cannot be judged. The detail may hold text of others, such as names.
func Failure(reason Reason, detail string) Decision {
	return Decision{
		Outcome: Deny, Governed: true,
		Obstacles: []Obstacle{{Reason: reason, Verdict: v1alpha1.Deny, Detail: legible.Line(detail, maxDetail)}},
	}
}

// outcomeOf combines obstacles: any refusal denies, else any ask asks.
func outcomeOf(obstacles []Obstacle) Outcome {
	outcome := Allow
	for i := range obstacles {
		if obstacles[i].Verdict != v1alpha1.RequireApproval {
			return Deny
		}
		outcome = Ask
	}
	return outcome
}

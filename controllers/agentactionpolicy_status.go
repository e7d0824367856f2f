package controllers

import (
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/policy"
)

// nextLayout is how the NEXT column writes an instant, in the policy's zone.
const nextLayout = "Mon 2006-01-02 15:04 MST"

// maxMessage bounds a condition's message, in bytes; the API allows 32,768.
const maxMessage = 4096

// statusOf computes the status of a policy. Pending is why it is not known to be in force. Nothing is taken from the
// stored status but the transition times, the last uses, and that a policy was in force, which stays until the opposite is
// known.
func statusOf(
	stored *v1alpha1.AgentActionPolicy, compiled *policy.Policy, state policy.State, pending hindrance, now time.Time,
) v1alpha1.AgentActionPolicyStatus {
	status := v1alpha1.AgentActionPolicyStatus{
		ObservedGeneration: stored.Generation,
		Hash:               compiled.Hash,
		Window:             windowStatus(state),
		Tasks:              taskStatus(stored.Status.Tasks, state),
		Conditions:         append([]metav1.Condition(nil), stored.Status.Conditions...),
	}
	for _, c := range []metav1.Condition{ready(compiled), enforced(stored, compiled, pending)} {
		c.ObservedGeneration = stored.Generation
		c.LastTransitionTime = metav1.NewTime(now)
		meta.SetStatusCondition(&status.Conditions, c)
	}
	return status
}

// ready says whether the policy is understood as a whole.
func ready(p *policy.Policy) metav1.Condition {
	c := metav1.Condition{Type: v1alpha1.PolicyReady, Status: metav1.ConditionFalse}
	switch {
	case len(p.Errors) > 0:
		texts := make([]string, len(p.Errors))
		for i, err := range p.Errors {
			texts[i] = err.Error()
		}
		c.Reason = v1alpha1.ReasonInvalid
		if len(p.Unknown) > 0 {
			c.Reason = v1alpha1.ReasonUnknownFields
		}
		c.Message = "its subjects are refused what it governs: " + strings.Join(texts, "; ")
	default:
		c.Status, c.Reason, c.Message = metav1.ConditionTrue, v1alpha1.ReasonCompiled, "every part of the policy is understood"
	}
	c.Message = c.Message[:min(len(c.Message), maxMessage)]
	return c
}

// enforced says whether actions of the subjects reach the operator, and this generation judges them.
func enforced(stored *v1alpha1.AgentActionPolicy, compiled *policy.Policy, pending hindrance) metav1.Condition {
	c := metav1.Condition{Type: v1alpha1.PolicyEnforced, Status: metav1.ConditionFalse}
	switch {
	case compiled.UID != string(stored.UID) || compiled.Generation != stored.Generation:
		c.Reason = v1alpha1.ReasonNotServing
		c.Message = fmt.Sprintf("the operator still decides with generation %d", compiled.Generation)
	case len(compiled.Unknown) > 0:
		c.Reason, c.Message = v1alpha1.ReasonUnknownFields, "its subjects are refused what it governs: "+
			"this version of Countersign does not know its "+unknownFieldsText(compiled.Unknown)
	case pending == (hindrance{}), pending.passing && wasEnforced(stored):
		c.Status, c.Reason = metav1.ConditionTrue, v1alpha1.ReasonServing
		c.Message = "every replica decides with this generation, and the canary was refused"
	default:
		c.Reason, c.Message = pending.reason, pending.message
	}
	return c
}

// unknownFieldsText names the first fields of a policy that this version does not have, and what to do.
func unknownFieldsText(fields []string) string {
	return "fields " + some(fields) + "; bring all replicas to the version that does, or remove the fields"
}

func windowStatus(s policy.State) *v1alpha1.WindowStatus {
	status := &v1alpha1.WindowStatus{State: s.Window, Active: s.Active, Reason: s.Reason}
	next := s.NextClose
	if !s.NextOpen.IsZero() {
		status.NextOpen, next = &metav1.Time{Time: s.NextOpen.Truncate(time.Second)}, s.NextOpen
	}
	if !s.NextClose.IsZero() {
		status.NextClose = &metav1.Time{Time: s.NextClose.Truncate(time.Second)}
	}
	if !next.IsZero() {
		status.Next = next.Format(nextLayout)
	}
	return status
}

// taskStatus keeps when a task was last used.
func taskStatus(stored []v1alpha1.TaskStatus, s policy.State) []v1alpha1.TaskStatus {
	var tasks []v1alpha1.TaskStatus
	for _, t := range s.Tasks {
		task := v1alpha1.TaskStatus{Name: t.Name, Window: t.Window}
		for _, old := range stored {
			if old.Name == t.Name {
				task.LastUsedAt = old.LastUsedAt
			}
		}
		tasks = append(tasks, task)
	}
	return tasks
}

// Package policy compiles AgentActionPolicies into an immutable Set and decides actions with it.
//
// The path of one decision: Set.Decide finds the policies of the actor and of the resource in the index,
// asks each of them for its obstacles (freezes, change windows, tasks, guards), and combines them: grants add up,
// restrictions all hold. The package is pure: time, namespace labels and the action are values passed in.
package policy

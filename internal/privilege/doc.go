// Package privilege holds what RBAC grants an agent against what the tasks of its policies cover, and what it used lately.
// It reports what is too much, and what could replace it.
//
// What a policy covers it asks the engine (policy.Set.Reach), and does not find out by itself. The package is pure: what
// is in the cluster, and the time, are passed in. What could not be read is said in the report, and nothing is concluded
// from it.
package privilege

package policy

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Parts of which policies are put together, few enough for policies to share them.
var (
	someGoverns = []string{
		"",
		"governs: {resourceRules: [{apiGroups: [apps], resources: [deployments], operations: [UPDATE]}]}\n",
		"governs: {excludeResourceRules: [{apiGroups: [apps], resources: [deployments], operations: [UPDATE]}]}\n",
	}
	someTimings = []string{
		"",
		"changeWindows: {allowed: [days]}\n",
		"changeWindows: {allowed: [nights]}\n",
		"changeWindows: {allowed: [nights], whenClosed: RequireApproval}\n",
		"changeWindows: {allowed: [days]}\nfreezes: [{window: year-end}]\n",
		"outOfScope: RequireApproval\n",
		"outOfScope: Allow\n",
	}
	someTasks = []string{
		taskOn("roll", "deployments", ""),
		taskOn("roll", "deployments", "changeWindows: {allowed: [nights]}"),
		taskOn("roll", "deployments", "approval: {when: Always}"),
		taskOn("serve", "services", ""),
		taskOn("write", "configmaps", ""),
		taskOn("a", "deployments", "budget: {maxActions: 3, per: 1h}"),
	}
)

func taskOn(name, resource, more string) string {
	return fmt.Sprintf("- {name: %s, scope: {resourceRules: [{apiGroups: [\"*\"], resources: [%s], operations: [UPDATE]}], namespaces: [shop]}, %s}\n",
		name, resource, more)
}

// TestSharingDecidesAlike wants policies that share parts to decide as the same policies do that share none, those that govern
// the action to be asked, and the best task to be chosen.
func TestSharingDecidesAlike(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	pick := func(parts []string) string { return parts[r.IntN(len(parts))] }
	in := Input{Action: update(imagePath), Now: berlinNoon}
	outcomes := map[Outcome]int{}
	for range 1_000 {
		var shared, apart []*Policy
		for i := range 1 + r.IntN(6) {
			spec := subjects + windows + pick(someGoverns) + pick(someTimings)
			if n := r.IntN(3); n > 0 {
				tasks := slices.Clone(someTasks)
				r.Shuffle(len(tasks), func(i, j int) { tasks[i], tasks[j] = tasks[j], tasks[i] })
				spec += "tasks:\n"
				for _, task := range tasks[:n] {
					spec += task
				}
			}
			p := Compile(policyOf(t, fmt.Sprint("p", i), spec), Identity{})
			shared, apart = append(shared, p), append(apart, unshared(p))
		}
		d, want := NewSet(shared, Operator{}).Decide(in), NewSet(apart, Operator{}).Decide(in)
		outcomes[d.Outcome]++
		if diff := cmp.Diff(view(&want), view(&d)); diff != "" {
			t.Fatalf("sharing makes a difference (-apart +shared): %s", diff)
		}
		for _, p := range shared {
			if governs := slices.Contains(d.Policies, p); governs != p.governs.matches(in) {
				t.Fatalf("that %s governs is %t", p.Name, governs)
			}
		}
		if policy, task := best(&d, in); d.Policy != policy || d.Task != task {
			t.Fatalf("%s/%s is chosen, %s/%s is better", d.Policy, d.Task, policy, task)
		}
	}
	for _, o := range []Outcome{Allow, Deny, Ask} {
		if outcomes[o] < 50 {
			t.Errorf("%d decisions are %s", outcomes[o], o)
		}
	}
}

// unshared is a policy with parts of its own.
func unshared(p *Policy) *Policy {
	own, governs, timing := *p, *p.governs, *p.timing
	own.governs, own.timing, own.tasks = &governs, &timing, nil
	for _, t := range p.tasks {
		own.tasks = append(own.tasks, new(*t))
	}
	return &own
}

// view is what a decision says.
func view(d *Decision) []string {
	said := []string{
		string(d.Outcome), d.TaskName(), fmt.Sprint(d.Windows), fmt.Sprintf("%+v", d.Remedy), fmt.Sprintf("%+v", d.Waived),
		Refusal("x may not y", d, "h"),
	}
	for i := range d.Obstacles {
		said = append(said, fmt.Sprintf("%+v", d.Obstacles[i]))
	}
	for _, p := range d.Policies {
		said = append(said, p.Name)
	}
	return said
}

// best looks at every task of a decision's policies.
func best(d *Decision, in Input) (policy, name string) {
	var all []option
	for _, p := range d.Policies {
		for _, t := range p.tasks {
			if t.scope.covers(ask(in)) == nil {
				all = append(all, t.option(p, in))
			}
		}
	}
	if len(all) == 0 {
		return "", ""
	}
	least := slices.MinFunc(all, compareOptions)
	return least.policy.Name, least.task.name
}

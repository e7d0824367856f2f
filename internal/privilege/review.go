package privilege

import (
	"cmp"
	"slices"
	"time"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/action"
	"github.com/countersign-dev/countersign/internal/policy"
)

// Report is what there is to say about a subject. Groups are those that it is in besides the ones that follow from its name.
func (r *Review) Report(s Subject, groups []string) *Report {
	in := s.groups(groups)
	report := &Report{
		Subject: s, At: r.Now.UTC().Truncate(time.Second), Existence: r.existence(s), NotKnown: slices.Clone(r.NotKnown), Policies: []PolicyUse{},
	}
	actor := s.actor(r.Accounts[s], in)
	naming := r.Set.Naming(actor)
	j := r.newJudge(s, in)
	var notKnown []string
	report.Recorded, notKnown = j.recorded(s, naming, r.lookBack(actor))
	report.NotKnown = append(report.NotKnown, notKnown...)
	report.Grants = r.grantsOf(s, in)
	for i := range report.Grants {
		j.rights(&report.Grants[i])
	}
	report.Policies = append(report.Policies, j.policyUses(naming, report.Grants)...)
	report.Findings = r.findings(s, in, report)
	report.NotKnown = append(report.NotKnown, r.unrecorded(s, report)...)
	if s.Kind == v1alpha1.SubjectUser {
		report.NotKnown = append(report.NotKnown, "which groups the user is in besides: name them with --as-group")
	}
	if s.Kind == v1alpha1.SubjectGroup {
		report.NotKnown = append(report.NotKnown, "what members of the group are granted by themselves")
	}
	report.Replacement = r.replacement(s, report, naming)
	return report
}

func (r *Review) existence(s Subject) Existence {
	if s.Kind != v1alpha1.SubjectServiceAccount || r.Missing.Accounts {
		return NotKnown
	}
	if _, there := r.Accounts[s]; there {
		return Exists
	}
	return Missing
}

// lookBack is how far back all that a subject does may not be forgotten.
func (r *Review) lookBack(actor action.Actor) time.Duration {
	return r.Set.Reach(policy.Class{Actor: actor, Operation: v1alpha1.OperationUpdate}).LookBack
}

// policyUses are the policies with their tasks, and whether these are of use.
func (j *judge) policyUses(naming []*policy.Policy, grants []Grant) []PolicyUse {
	granted, recorded, last := map[string]bool{}, map[string]bool{}, map[string]time.Time{}
	for i := range grants {
		for k := range grants[i].Rights {
			for _, task := range grants[i].Rights[k].Tasks {
				granted[task] = true
			}
		}
	}
	for _, v := range j.known {
		for name, t := range v.tasks {
			recorded[name] = t.Recorded
		}
	}
	for i := range j.uses {
		if u := &j.uses[i]; u.time.After(last[u.task]) {
			last[u.task] = u.time
		}
	}
	var all []PolicyUse
	for _, p := range naming {
		use := PolicyUse{Name: p.Name, OutOfScope: p.OutOfScope()}
		if len(p.Errors) > 0 {
			use.Invalid = p.Errors[0].Error()
		}
		for _, task := range p.TaskNames() {
			key := p.Name + "/" + task
			use.Tasks = append(use.Tasks, TaskUse{Name: task, Granted: granted[key], LastUsed: last[key], Recorded: recorded[key]})
		}
		all = append(all, use)
	}
	return all
}

// findings are all of them, by type and then the worst first.
func (r *Review) findings(s Subject, groups []string, report *Report) []Finding {
	findings := r.routes(report.Grants)
	if slices.Contains(groups, superusersGroup) {
		findings = append(findings, Finding{
			Type: RouteAroundGate, Severity: High, What: "is in " + superusersGroup,
			Why: "the API server asks no authorizer about it; no level contains it", Do: "give the agent another credential",
		})
	}
	for i := range report.Grants {
		g := &report.Grants[i]
		if g.Everybody {
			continue // it is nobody's to take away
		}
		findings = slices.Concat(findings, g.excess(len(report.Policies) > 0), g.unused())
		if !r.Missing.RBAC {
			findings = append(findings, g.dangling()...)
		}
	}
	findings = slices.Concat(findings, r.missingAccount(s, report), r.requests(s))
	if !r.Missing.RBAC {
		findings = append(findings, idle(report)...)
	}
	order, severities := Types(), []Severity{High, Medium, Low}
	slices.SortStableFunc(findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(slices.Index(order, a.Type), slices.Index(order, b.Type)),
			cmp.Compare(slices.Index(severities, a.Severity), slices.Index(severities, b.Severity)))
	})
	if findings == nil {
		findings = []Finding{}
	}
	return findings
}

// unrecorded says of which tasks nobody records what passes under them.
func (r *Review) unrecorded(s Subject, report *Report) []string {
	if s.Kind == v1alpha1.SubjectGroup || r.Missing.Activities {
		return nil
	}
	var tasks []string
	for i := range report.Policies {
		p := &report.Policies[i]
		for k := range p.Tasks {
			if t := &p.Tasks[k]; t.Granted && !t.Recorded {
				tasks = append(tasks, p.Name+"/"+t.Name)
			}
		}
	}
	if len(tasks) == 0 {
		return nil
	}
	return []string{"whether it uses what is covered by " + list(tasks) + ": nothing records it, as no budget and no guard asks; " +
		"the decision log has it"}
}

// Worst orders reports: those with the most and worst findings first.
func Worst(a, b *Report) int {
	for _, t := range Types() {
		if c := cmp.Compare(b.Count(t), a.Count(t)); c != 0 {
			return c
		}
	}
	return a.Subject.compare(b.Subject)
}

// KnowsUses says whether uses are recorded, and for long enough that a right can be called unused.
func (r *Report) KnowsUses() bool {
	return !r.Recorded.Since.IsZero() && r.At.Sub(r.Recorded.Since) >= leastRecord
}

// Needed says whether the replacement would change anything.
func (r *Report) Needed() bool {
	return len(r.Replacement.Policies) > 0 || r.Replacement.Refused == "" &&
		r.Count(RouteAroundGate)+r.Count(OverPrivilege)+r.Count(DanglingGrant) > 0
}

// Other is how many findings there are that are about neither routes nor rights to write.
func (r *Report) Other() int {
	return len(r.Findings) - r.Count(RouteAroundGate) - r.Count(OverPrivilege) - r.Count(NotBounded) - r.Count(UnusedGrant)
}

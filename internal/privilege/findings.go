package privilege

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/approval"
	"github.com/countersign-dev/countersign/internal/naming"
)

// excess are the rights to write that no task covers, or that are wider than tasks are: one finding for each grant and kind.
func (g *Grant) excess(governed bool) []Finding {
	var outside, open []*Right
	var wider []string
	asks := false
	for i := range g.Rights {
		right := &g.Rights[i]
		switch right.Coverage {
		case Refused, ByApproval, Reserved:
			outside = append(outside, right)
			asks = asks || right.Coverage == ByApproval
		case ByTask:
			if text := right.wider(); text != "" {
				wider = append(wider, text)
			}
		case Allowed, Ungoverned:
			open = append(open, right)
		case Read, Other, Always:
		default:
			outside = append(outside, right)
		}
	}
	var findings []Finding
	add := func(t Type, what string, details []string, why, do string) {
		if len(details) > 0 {
			findings = append(findings, Finding{
				Type: t, Severity: Medium, What: what + g.where(), Details: details, By: []string{g.by()}, Why: why, Do: do,
			})
		}
	}
	why := "only Countersign refuses what no task covers; without its webhook configuration it passes"
	openly := "no task is about it, and the policies let it pass: what it is for nobody has written down"
	if !governed {
		openly = "no Enforce policy governs the subject: RBAC alone says what it may do"
	}
	if asks {
		why = "only Countersign asks people about it; without its webhook configuration it passes"
	}
	add(OverPrivilege, "no task covers "+plural(len(outside), "right")+" to write", together(outside), why, g.undo())
	add(OverPrivilege, "wider than the tasks: "+plural(len(wider), "right"), wider,
		"only Countersign holds it to the tasks; RBAC would not", g.undo())
	add(NotBounded, "nothing bounds "+plural(len(open), "right")+" to write", together(open),
		openly, "write a task for what it needs, and take the rest away; or say outOfScope: Deny")
	return findings
}

// wider says how a right is wider than the tasks that cover it; empty where it is not.
func (r *Right) wider() string {
	var only []string
	if r.Elsewhere != "" && r.Elsewhere != Always && len(r.OnlyIn) > 0 {
		only = append(only, "in "+list(r.OnlyIn))
	}
	if len(r.OnlyNames) > 0 && !slices.Equal(r.Verbs, []string{"create"}) {
		only = append(only, "named "+list(r.OnlyNames))
	}
	if len(only) == 0 {
		return ""
	}
	return r.text() + ": tasks cover it only " + strings.Join(only, ", ")
}

// undo says how to take a grant away.
func (g *Grant) undo() string {
	switch {
	case g.Via != "":
		return "the binding names group " + g.Via + ", so it is about all who are in it: bind roles to accounts instead"
	case g.others > 0:
		return "take the subject out of the binding, which names " + plural(g.others, "other subject") + ", and bind it to the replacement"
	default:
		return "apply the replacement, and delete the binding"
	}
}

// undone is the command that takes a grant away, where that concerns nobody else.
func (g *Grant) undone() string {
	if g.Via != "" || g.others > 0 || g.Everybody {
		return ""
	}
	if g.Namespace == "" {
		return "kubectl delete clusterrolebinding " + g.bound.name
	}
	return "kubectl delete rolebinding " + g.bound.name + " -n " + g.bound.namespace
}

// unused are the rights of a grant that tasks cover and that were not used lately.
func (g *Grant) unused() []Finding {
	var unused []string
	var since time.Time
	for i := range g.Rights {
		if right := &g.Rights[i]; right.Use == Unused {
			unused = append(unused, right.text()+" (task "+strings.Join(right.Tasks, ", ")+")")
			if since.IsZero() || right.UnusedSince.After(since) {
				since = right.UnusedSince
			}
		}
	}
	if len(unused) == 0 {
		return nil
	}
	return []Finding{{
		Type: UnusedGrant, Severity: Low, What: plural(len(unused), "right") + " not used since " + day(since) + g.where(), Details: unused,
		By: []string{g.by()}, Why: "what an agent does not need is there only for whoever takes it over",
		Do: "ask its owners; work that comes round less often than that is not seen here",
	}}
}

func day(t time.Time) string { return t.UTC().Format("2006-01-02") }

// dangling are grants of what does not exist.
func (g *Grant) dangling() []Finding {
	var findings []Finding
	if g.missing {
		findings = append(findings, Finding{
			Type: DanglingGrant, Severity: Low, What: g.Binding + " names " + g.Role + ", which does not exist",
			Why: "whoever creates such a role gives its rights to the subject", Do: "delete the binding", Command: g.undone(),
		})
	}
	if len(g.Unserved) > 0 && !g.standard {
		findings = append(findings, Finding{
			Type: DanglingGrant, Severity: Low, What: plural(len(g.Unserved), "resource") + " that the API server does not serve" + g.where(),
			Details: g.Unserved, By: []string{g.by()}, Why: "it comes into force when somebody installs such a definition",
			Do: "take it out of the role",
		})
	}
	return findings
}

// missingAccount is about an account that does not exist.
func (r *Review) missingAccount(s Subject, report *Report) []Finding {
	if report.Existence != Missing {
		return nil
	}
	var named []string
	for i := range report.Policies {
		named = append(named, "policy "+report.Policies[i].Name)
	}
	own := false
	for i := range report.Grants {
		if g := &report.Grants[i]; g.Via == "" {
			named, own = append(named, g.Binding), true
		}
	}
	f := Finding{
		Type: MissingAccount, Severity: Low, What: "service account " + s.String() + " does not exist", Details: named,
		Why: "the policies govern nobody by it", Do: "take it out of the policies, or create it",
	}
	if own {
		f.Severity, f.Why = Medium, "whoever may create it, or a pod as it, has what is bound to it"
		f.Do = "delete its bindings, and take it out of the policies"
	}
	return []Finding{f}
}

// requests are what the approvals of a subject leave open.
func (r *Review) requests(s Subject) []Finding {
	if s.Kind == v1alpha1.SubjectGroup {
		return nil
	}
	var findings []Finding
	var expired []*v1alpha1.ActionApproval
	approvals := slices.SortedFunc(slices.Values(r.approvals[s.Username()]), func(a, b *v1alpha1.ActionApproval) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	for _, a := range approvals {
		switch state := r.stateOf(a); {
		case state == approval.Approved:
			findings = append(findings, r.standing(s, a))
		case state == approval.Pending:
			findings = append(findings, Finding{
				Type: UnansweredRequest, Severity: Low,
				What:    "request " + a.Namespace + "/" + a.Name + " waits since " + stamp(a.CreationTimestamp.Time),
				Details: []string{deed(&a.Spec)}, Why: "somebody, or something, waits for it; nobody has decided",
				Do: "decide about it", Command: "kubectl countersign show " + a.Name + " -n " + a.Namespace,
			})
		case state == approval.Expired && len(a.Spec.Decisions) == 0:
			expired = append(expired, a)
		}
	}
	return append(findings, expiredUnanswered(expired)...)
}

// standing is consent that can still be used.
func (r *Review) standing(s Subject, a *v1alpha1.ActionApproval) Finding {
	f := Finding{
		Type: StandingApproval, Severity: Low, What: "approval " + a.Namespace + "/" + a.Name + " can still be used",
		Details: []string{deed(&a.Spec)},
		Why:     "it lets pass what a person consented to, whatever the reason was", Do: "revoke it once it is not needed any more",
		Command: "kubectl countersign revoke " + a.Name + " -n " + a.Namespace,
	}
	var facts []string
	if a.Status.Remaining != nil {
		facts = append(facts, plural(int(*a.Status.Remaining), "use")+" left")
	}
	if a.Status.ExpiresAt != nil {
		facts = append(facts, "until "+stamp(a.Status.ExpiresAt.Time))
	}
	if len(facts) > 0 {
		f.Details[0] += ": " + strings.Join(facts, ", ")
	}
	uid := r.Accounts[s]
	if s.Kind == v1alpha1.SubjectServiceAccount && !r.Missing.Accounts && uid != a.Spec.Requester.UID {
		f.Why = "it was given to an earlier account of this name, which cannot use it any more"
	}
	return f
}

// expiredUnanswered are requests that ended because nobody answered: one finding, whatever their number.
func expiredUnanswered(expired []*v1alpha1.ActionApproval) []Finding {
	if len(expired) == 0 {
		return nil
	}
	var deeds []string
	for _, a := range expired {
		if text := a.Namespace + ": " + deed(&a.Spec); !slices.Contains(deeds, text) {
			deeds = append(deeds, text)
		}
	}
	return []Finding{{
		Type: UnansweredRequest, Severity: Low,
		What:    plural(len(expired), "request") + " expired unanswered, the last asked " + stamp(expired[len(expired)-1].CreationTimestamp.Time),
		Details: deeds, Why: "either nobody wants it, or nobody looks", Do: "let a task cover it if it is wanted, and else take the right away",
	}}
}

// stamp is an instant without a space, so that no line is broken within it.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// deed says what an approval is for.
func deed(spec *v1alpha1.ActionApprovalSpec) string {
	switch {
	case spec.Action != nil:
		action, target := naming.Deed(string(spec.Action.Operation), spec.Action.Resource, spec.Action.Subresource, spec.Action.Name)
		return action + " " + target
	case spec.Task != nil:
		return "run of task " + spec.Task.Policy + "/" + spec.Task.Name
	default:
		return "nothing that is known"
	}
}

// idle are tasks of which RBAC grants nothing.
func idle(report *Report) []Finding {
	var tasks []string
	for i := range report.Policies {
		p := &report.Policies[i]
		for k := range p.Tasks {
			if !p.Tasks[k].Granted && p.Invalid == "" {
				tasks = append(tasks, p.Name+"/"+p.Tasks[k].Name)
			}
		}
	}
	if len(tasks) == 0 {
		return nil
	}
	return []Finding{{
		Type: IdleTask, Severity: Low, What: fmt.Sprintf("RBAC grants nothing of %s", plural(len(tasks), "task")), Details: tasks,
		Why: "a task grants nothing that RBAC does not", Do: "drop the task, or bind a role for it",
	}}
}

package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/cmd/kubectl-countersign/terminal"
	"github.com/countersign-dev/countersign/internal/action"
	"github.com/countersign-dev/countersign/internal/approval"
	"github.com/countersign-dev/countersign/internal/decisionlog"
	"github.com/countersign-dev/countersign/internal/intake"
	"github.com/countersign-dev/countersign/internal/policy"
)

// lastRefusal names the latest refusal.
const lastRefusal = "last"

const explainHelp = `Explain a refusal that is recorded: what was tried, what was in the way then, and what
would become of it now.

NAME is an approval that a refusal opened, and "last" the latest one of the namespace, or
with -A of the cluster. A refusal that asked nobody stands in the decision log only: with
--log the line is taken from there, by the UID of its review, the hash of its action, its
approval, or the last refusal. --at travels in time, as in can-i.

The action is made again from what is recorded: an update out of its changes and the object
as it is now. What is not recorded, such as secret values and objects that were to be
created, cannot be judged again.

Exit codes: 0 it is explained, 1 it is not found or cannot be read, 2 a mistake in the call.`

const explainExamples = `  # The latest request in a namespace
  kubectl countersign explain last -n shop

  # A request by name, and how it would be on Saturday night
  kubectl countersign explain web-78wgjchsgtvcf83nb0xp -n shop --at "Sat 23:00"

  # The last refusal of an agent in the log of the operator
  kubectl -n countersign-system logs deployment/countersign \
    | kubectl countersign explain last --log - --as system:serviceaccount:ci:deploy-bot`

type explainOptions struct {
	*Environment
	log, as, at, zone, output string
	asGroups                  []string
	everywhere                bool
}

func newExplain(e *Environment) *cobra.Command {
	o := &explainOptions{Environment: e}
	c := &cobra.Command{
		Use: "explain NAME|last", Short: "Explain a refusal that is recorded", Long: explainHelp, Example: explainExamples,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return o.runExplain(c.Context(), args[0]) },
	}
	f := c.Flags()
	f.StringVar(&o.log, "log", "", "take it from this decision log; - is the standard input")
	f.BoolVarP(&o.everywhere, "all-namespaces", "A", false, "with last: look in all namespaces")
	f.StringVar(&o.as, "as", "", "with last: that of this agent; nobody is impersonated")
	f.StringSliceVar(&o.asGroups, "as-group", nil, "groups of the agent, which approvals do not record")
	f.StringVar(&o.at, "at", "", `judge it at this instant: an instant, "Sat 23:00", 23:00 or +3h; omitted: now`)
	f.StringVar(&o.zone, "tz", "", "the zone of --at and of the answer; omitted: that of the agent's first policy with one")
	f.StringVarP(&o.output, "output", "o", "", "how it is written: json or yaml; omitted: for people")
	return c
}

func (o *explainOptions) runExplain(ctx context.Context, name string) error {
	if o.output != "" && o.output != "json" && o.output != "yaml" {
		return usageError{fmt.Errorf("-o %s: write json or yaml", o.output)}
	}
	var event *decisionlog.Event
	if o.log != "" {
		var err error
		if event, err = o.findInLog(o.log, name, o.as); err != nil {
			return err
		}
	}
	j, err := o.newJudge(ctx)
	if err != nil {
		return err
	}
	found, err := o.find(ctx, j, event, name)
	if err != nil {
		return err
	}
	at, err := o.instant(j, o.at, o.zone, found.actor.Username)
	if err != nil {
		return err
	}
	f, why, err := o.redecide(ctx, j, found, at)
	if err != nil {
		return err
	}
	if o.output != "" {
		return o.explainData(found, f, why)
	}
	o.explainText(j, found, f, why, at)
	return nil
}

// find is what a line of the log, if there is one, or else an approval says.
func (o *explainOptions) find(ctx context.Context, j *judge, event *decisionlog.Event, name string) (*recorded, error) {
	if event != nil {
		return recordedIn(event), nil
	}
	return o.approval(ctx, j, name)
}

// approval reads what an approval records.
func (o *explainOptions) approval(ctx context.Context, j *judge, name string) (*recorded, error) {
	namespace, err := o.Namespace()
	if err != nil {
		return nil, err
	}
	if o.everywhere {
		namespace = ""
		if name != lastRefusal {
			return nil, usageError{errors.New("-A is for last: give the namespace of an approval with -n")}
		}
	}
	a, err := j.approvalNamed(ctx, namespace, name, o.as)
	if err != nil {
		return nil, err
	}
	return recordedBy(a, o.Now()), nil
}

// recordedBy is what an approval says about the refusal that opened it.
func recordedBy(a *v1alpha1.ActionApproval, now time.Time) *recorded {
	who := &a.Spec.Requester
	r := &recorded{
		title: "approval " + a.Namespace + "/" + a.Name, at: a.CreationTimestamp.Time, namespace: a.Namespace, task: a.Spec.Task,
		actor: decisionlog.Actor{
			Username: who.Username, UID: who.UID, PodName: who.PodName, PodUID: who.PodUID, CredentialID: who.CredentialID,
		},
	}
	if asked := a.Spec.Action; asked != nil {
		r.action = &decisionlog.Action{
			Operation: string(asked.Operation), Group: asked.Group, Version: asked.Version, Resource: asked.Resource,
			Subresource: asked.Subresource, Namespace: asked.Namespace, Name: asked.Name, UID: asked.UID, Hash: asked.Hash,
		}
		for _, c := range asked.Changes {
			r.action.Changes = append(r.action.Changes, decisionlog.Change{Path: c.Path, From: c.From, To: c.To})
		}
	}
	state := string(approval.Evaluate(a, now))
	if a.Status.ExpiresAt != nil {
		state += ", until " + a.Status.ExpiresAt.UTC().Format(stampOfFacts)
	}
	r.fact("state", "%s", state)
	for _, reason := range a.Spec.Reasons {
		text := reason.Type + " (policy " + reason.Policy
		if reason.Task != "" {
			text += ", task " + reason.Task
		}
		if reason.Name != "" {
			text += ", " + reason.Name
		}
		r.fact("reason", "%s)", text)
	}
	for _, q := range a.Spec.Requirements {
		r.fact("asks", "%d of %s (policy %s)", q.MinApprovals, q.Name, q.Policy.Name)
	}
	if a.Spec.Justification != "" {
		r.fact("because", "%q", a.Spec.Justification)
	}
	return r
}

// stampOfFacts is how instants of what is recorded are written.
const stampOfFacts = "2006-01-02 15:04:05Z"

// redecide judges a recorded action anew. Where that cannot be done, why says so.
func (o *explainOptions) redecide(ctx context.Context, j *judge, r *recorded, at time.Time) (f *forecast, why string, err error) {
	if r.action == nil {
		return nil, "", nil
	}
	act, err := r.again(ctx, j)
	if err != nil {
		return nil, o.explain(err), nil
	}
	user, err := j.user(ctx, r.actor.Username, r.actor.UID, append(r.actor.Groups, o.asGroups...))
	if err != nil {
		return nil, "", err
	}
	act.Actor, act.At = user, at
	review, err := act.Review()
	if err != nil {
		return nil, o.explain(err), nil
	}
	if f, err = j.decide(ctx, review, at); err != nil {
		return nil, "", err
	}
	f.notes = append(f.notes, j.notes...)
	if f.in.Action != nil && f.in.Action.Empty() {
		f.note("the object is as the agent wanted it by now: the action changes nothing")
	}
	return f, "", nil
}

func (o *explainOptions) explainText(j *judge, r *recorded, f *forecast, why string, at time.Time) {
	o.Printf("%s  %s\n", o.Screen.Paint(terminal.Bold, terminal.Clean(r.title)), r.at.UTC().Format(stampOfFacts))
	o.fact("agent", policy.Who(r.actor.Username))
	o.fact("tried", r.tried())
	for _, fact := range r.facts {
		o.fact(fact[0], fact[1])
	}
	if r.action != nil {
		for i, c := range r.action.Changes {
			o.fact(onlyFirst(i, "changes"), fmt.Sprintf("%s: %s -> %s", c.Path, orAbsent(c.From), orAbsent(c.To)))
		}
	}
	o.Printf("\n")
	switch {
	case f != nil:
		o.forecast(f)
	case r.task != nil:
		o.run(j, r, at)
	default:
		o.Printf("%s\n", terminal.Clean("It cannot be judged again: "+why))
		o.states(j, r, at)
	}
}

// tried says what the agent tried.
func (r *recorded) tried() string {
	if r.task != nil {
		return fmt.Sprintf("a run of task %s/%s in namespace %s, of up to %d actions", r.task.Policy, r.task.Name, r.namespace, r.task.MaxActions)
	}
	a := r.action
	return policy.Raw(&action.Request{
		Operation: v1alpha1.Operation(a.Operation), Resource: a.Resource, Subresource: a.Subresource, Namespace: a.Namespace, Name: a.Name,
	})
}

// run says what a run of the task needs now.
func (o *explainOptions) run(j *judge, r *recorded, at time.Time) {
	consent, err := j.set.Terms(r.task.Policy, r.task.Name, policy.Place{
		Actor: action.Actor{Username: r.actor.Username, UID: r.actor.UID, Groups: o.asGroups}, Namespace: r.namespace,
	})
	if err != nil {
		o.Printf("%s\n", terminal.Clean("Such a run cannot be asked for now: "+err.Error()))
		return
	}
	o.Printf("Such a run can be asked for now.\n")
	for i, reason := range intake.ApprovalReasons(&consent) {
		o.fact(onlyFirst(i, "waives"), strings.TrimSpace(reason.Type+" "+reason.Name))
	}
	o.states(j, r, at)
}

// states says what the windows of the agent's policies say.
func (o *explainOptions) states(j *judge, r *recorded, at time.Time) {
	n := 0
	for _, p := range j.set.Policies() {
		if !p.NamesUser(r.actor.Username) {
			continue
		}
		state := p.StateAt(at)
		o.fact(onlyFirst(n, "windows"), fmt.Sprintf("%s at %s: %s", p.Name, at.Format("Mon 2006-01-02 15:04 MST"), state.Reason))
		n++
	}
}

// explanation is what -o json and -o yaml write. Fields may be added.
type explanation struct {
	Recorded struct {
		Where string            `json:"where"`
		At    time.Time         `json:"at"`
		Actor decisionlog.Actor `json:"actor"`
		// Action was tried, or else a run of Task in Namespace was asked for.
		Action    *decisionlog.Action     `json:"action,omitempty"`
		Namespace string                  `json:"namespace,omitempty"`
		Task      *v1alpha1.RequestedTask `json:"task,omitempty"`
		Facts     []string                `json:"facts,omitempty"`
	} `json:"recorded"`
	Now    *forecastReport `json:"now,omitempty"`
	WhyNot string          `json:"notJudgedBecause,omitempty"`
}

func (o *explainOptions) explainData(r *recorded, f *forecast, why string) error {
	x := explanation{WhyNot: why}
	x.Recorded.Where, x.Recorded.At, x.Recorded.Actor, x.Recorded.Action = r.title, r.at, r.actor, r.action
	if r.task != nil {
		x.Recorded.Task, x.Recorded.Namespace = r.task, r.namespace
	}
	for _, fact := range r.facts {
		x.Recorded.Facts = append(x.Recorded.Facts, fact[0]+": "+fact[1])
	}
	if f != nil {
		report := f.report()
		x.Now = &report
	}
	text, err := json.MarshalIndent(x, "", "  ")
	if err == nil && o.output == "yaml" {
		text, err = yaml.JSONToYAML(text)
	}
	if err != nil {
		return fmt.Errorf("writing the explanation: %w", err)
	}
	o.Printf("%s\n", strings.TrimRight(string(text), "\n"))
	return nil
}

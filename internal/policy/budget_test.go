package policy

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/action"
	"github.com/countersign-dev/countersign/internal/activity"
)

// spent is a history with one admission so many minutes ago for each number.
func spent(task string, minutes ...int) *activity.History {
	status := &v1alpha1.AgentActivityStatus{}
	for _, ago := range minutes {
		status.Recent = append(status.Recent, v1alpha1.AdmittedAction{
			Key: "update.x", Time: metav1.NewTime(berlinNoon.Add(-time.Duration(ago) * time.Minute)), Task: task,
			Operation: v1alpha1.OperationUpdate, Group: "apps", Resource: "deployments", Namespace: "shop", Name: "web",
		})
	}
	return activity.Before(status, activity.Attempt{Key: "new", Action: update(imagePath)}, berlinNoon)
}

// twice is a task that may be used twice an hour.
const twice = rollImages + "  budget: {maxActions: 2, per: 1h}\n"

// looksBack is a guard that sees what happened within half an hour.
const looksBack = "guards: [{name: quiet, expression: recent.size() < 2, lookBack: 30m}]\n"

func TestBudget(t *testing.T) {
	asks := strings.Replace(twice, "per: 1h}", "per: 1h, whenExceeded: RequireApproval}", 1)
	usedUp := "budget of task roll-images (policy p) is used up: 2 of 2 actions within 1h, room again at 2026-11-23T11:59:00Z"
	unknown := "HistoryUnknown Deny: the budget of task roll-images (policy p) needs to know what the agent did before, and that is not known"
	for name, tc := range map[string]struct {
		policies map[string]string
		action   *action.Action
		history  *activity.History

		wantOutcome   Outcome
		wantObstacles []string
		wantWait      time.Duration
		// wantLookBack is how long the action must be remembered, in minutes.
		wantLookBack time.Duration
	}{
		"nothing was done": {
			policies: map[string]string{"p": subjects + twice}, history: spent("p/roll-images"), wantOutcome: Allow, wantLookBack: time.Hour,
		},
		"one is left": {
			policies: map[string]string{"p": subjects + twice}, history: spent("p/roll-images", 1), wantOutcome: Allow, wantLookBack: time.Hour,
		},
		"none is left": {
			policies: map[string]string{"p": subjects + twice}, history: spent("p/roll-images", 1, 1), wantOutcome: Deny,
			wantObstacles: []string{"BudgetExceeded Deny: " + usedUp}, wantWait: 59 * time.Minute, wantLookBack: time.Hour,
		},
		"asks": {
			policies: map[string]string{"p": subjects + asks}, history: spent("p/roll-images", 1, 1), wantOutcome: Ask,
			wantObstacles: []string{"BudgetExceeded RequireApproval: " + usedUp}, wantWait: 59 * time.Minute, wantLookBack: time.Hour,
		},
		"what is past does not count": {
			policies: map[string]string{"p": subjects + twice}, history: spent("p/roll-images", 60, 59), wantOutcome: Allow, wantLookBack: time.Hour,
		},
		"nor what another task did": {
			policies: map[string]string{"p": subjects + twice}, history: spent("p/other", 1, 1), wantOutcome: Allow, wantLookBack: time.Hour,
		},
		"not known": {
			policies: map[string]string{"p": subjects + twice}, wantOutcome: Deny, wantObstacles: []string{unknown}, wantLookBack: time.Hour,
		},
		"another task grants the same": {
			policies: map[string]string{"p": subjects + twice, "q": subjects + rollImages}, history: spent("p/roll-images", 1, 1), wantOutcome: Allow,
		},
		"a task without a budget needs no history": {
			policies: map[string]string{"p": subjects + rollImages}, wantOutcome: Allow,
		},
		"a budget never makes up for what is out of scope": {
			policies: map[string]string{"p": subjects + "outOfScope: Allow\n" + twice}, history: spent("p/roll-images", 1, 1), wantOutcome: Deny,
			wantObstacles: []string{"BudgetExceeded Deny: " + usedUp}, wantWait: 59 * time.Minute, wantLookBack: time.Hour,
		},
		"waits for a window as well": {
			policies: map[string]string{"p": subjects + `
timeZone: UTC
windows: [{name: early, weekly: {days: [Mon], start: "11:00", end: "11:30"}}]
changeWindows: {allowed: [early]}
` + twice},
			history: spent("p/roll-images", 1, 1), wantOutcome: Deny, wantObstacles: []string{"BudgetExceeded Deny: " + usedUp},
			wantWait: 7 * 24 * time.Hour, wantLookBack: time.Hour,
		},
		"a guard that looks back passes": {
			policies: map[string]string{"p": subjects + rollImages + looksBack}, history: spent("", 1, 30, 40), wantOutcome: Allow, wantLookBack: 30 * time.Minute,
		},
		"and refuses": {
			policies: map[string]string{"p": subjects + rollImages + looksBack}, history: spent("", 1, 29, 40), wantOutcome: Deny,
			wantObstacles: []string{"GuardViolated Deny: guard quiet (policy p): failed expression: recent.size() < 2"}, wantLookBack: 30 * time.Minute,
		},
		"and does not know": {
			policies: map[string]string{"p": subjects + rollImages + looksBack}, wantOutcome: Deny,
			wantObstacles: []string{"HistoryUnknown Deny: guard quiet (policy p) needs to know what the agent did before, and that is not known"},
			wantLookBack:  30 * time.Minute,
		},
		"the longest look-back counts, whatever it is about": {
			policies: map[string]string{"p": subjects + twice, "q": subjects + "outOfScope: Allow\n" +
				"governs: {resourceRules: [{apiGroups: [\"\"], resources: [pods], operations: [\"*\"]}]}\n" + strings.Replace(looksBack, "30m", "3h", 1)},
			history: spent(""), wantOutcome: Allow, wantLookBack: 3 * time.Hour,
		},
		"nobody else's budget matters": {
			policies:    map[string]string{"p": subjects + rollImages, "q": "enforcement: Enforce\nsubjects: [{kind: User, name: jane}]\n" + twice},
			wantOutcome: Allow,
		},
		"what changes nothing is not remembered": {
			policies: map[string]string{"p": subjects + twice + looksBack}, action: update(), wantOutcome: Allow,
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := tc.action
			if a == nil {
				a = update(imagePath)
			}
			set := setOf(t, tc.policies)
			in := Input{Action: a, Now: berlinNoon, History: tc.history}
			d := set.Decide(in)
			if d.Outcome != tc.wantOutcome {
				t.Errorf("the outcome is %s, want %s", d.Outcome, tc.wantOutcome)
			}
			var got []string
			for _, o := range d.Obstacles {
				got = append(got, string(o.Reason)+" "+string(o.Verdict)+": "+o.Detail)
			}
			if diff := cmp.Diff(tc.wantObstacles, got); diff != "" {
				t.Errorf("obstacles differ (-want +got):\n%s", diff)
			}
			var wantWait time.Time
			if tc.wantWait > 0 {
				wantWait = berlinNoon.Add(tc.wantWait)
			}
			if !d.Remedy.Wait.Equal(wantWait) {
				t.Errorf("it is to wait until %s, want %s", d.Remedy.Wait, wantWait)
			}
			if d.Memory.LookBack != tc.wantLookBack {
				t.Errorf("it is to be remembered for %s, want %s", d.Memory.LookBack, tc.wantLookBack)
			}
			if len(d.Shadows) > 0 {
				t.Errorf("there are shadows: %+v", d.Shadows)
			}
			if tc.wantLookBack > 0 && set.NeedsHistory(in) != Required {
				t.Error("nobody asks for the history that it needs")
			}
		})
	}
}

// TestTried has a policy with a budget and one with a guard that looks back, which are only tried.
func TestTried(t *testing.T) {
	warn := func(spec string) string { return strings.Replace(subjects, "Enforce", "Warn", 1) + spec }
	restricts := subjects + "outOfScope: Allow\n"
	tried := func(n int) *activity.History {
		var entries []v1alpha1.AdmittedAction
		for range n {
			entries = append(entries, changed(berlinNoon.Add(-time.Minute), func(e *v1alpha1.AdmittedAction) {
				e.Task, e.Tried = "", []string{"other/t", "q/roll-images"}
			}))
		}
		return before(update(imagePath), berlinNoon, entries...)
	}
	for name, tc := range map[string]struct {
		policies map[string]string
		history  *activity.History

		wantNeed, wantNote Need
		wantTried          []string
		wantWould          []string // reasons of the policy that is tried
	}{
		"there is room":       {map[string]string{"p": restricts, "q": warn(twice)}, tried(1), Useful, Useful, []string{"q/roll-images"}, nil},
		"there is none":       {map[string]string{"p": restricts, "q": warn(twice)}, tried(2), Useful, NotNeeded, nil, []string{"BudgetExceeded"}},
		"it is not known":     {map[string]string{"p": restricts, "q": warn(twice)}, nil, Useful, NotNeeded, nil, []string{"HistoryUnknown"}},
		"another task grants": {map[string]string{"p": subjects + rollImages, "q": warn(twice)}, tried(2), Useful, NotNeeded, nil, nil},
		"nobody keeps it":     {map[string]string{"q": warn(twice + looksBack)}, nil, NotNeeded, NotNeeded, nil, nil},
		"a guard passes":      {map[string]string{"p": restricts, "q": warn("outOfScope: Allow\n" + looksBack)}, tried(1), Useful, Useful, nil, nil},
		"a guard refuses":     {map[string]string{"p": restricts, "q": warn("outOfScope: Allow\n" + looksBack)}, tried(2), Useful, Useful, nil, []string{"GuardViolated"}},
		"what is enforced must know": {
			map[string]string{"p": restricts + looksBack, "q": warn(twice)}, tried(1), Required, Required, []string{"q/roll-images"}, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			set := setOf(t, tc.policies)
			in := Input{Action: update(imagePath), Now: berlinNoon, History: tc.history}
			d := set.Decide(in)
			if need := set.NeedsHistory(in); d.Outcome != Allow || need != tc.wantNeed || d.Memory.Note != tc.wantNote {
				t.Errorf("the outcome is %s, the need %d, and to note it %d, want %d and %d", d.Outcome, need, d.Memory.Note, tc.wantNeed, tc.wantNote)
			}
			if diff := cmp.Diff(tc.wantTried, d.Tried); diff != "" {
				t.Errorf("tasks that are tried differ (-want +got):\n%s", diff)
			}
			var would []string
			for i := range d.Shadows {
				would = append(would, d.Shadows[i].Decision.Reasons()...)
			}
			if diff := cmp.Diff(tc.wantWould, would); diff != "" {
				t.Errorf("what would be in the way differs (-want +got):\n%s", diff)
			}
		})
	}
	d := setOf(t, map[string]string{"p": restricts, "q": warn(twice)}).Decide(Input{Action: update(imagePath), Now: berlinNoon, History: tried(0)})
	for ago, want := range map[time.Duration]bool{time.Hour - 1: true, time.Hour: false} {
		entry := v1alpha1.AdmittedAction{Time: metav1.NewTime(berlinNoon.Add(-ago))}
		if got := d.Memory.Demand(berlinNoon).Wanted(&entry); got != want || d.Memory.LookBack != 0 {
			t.Errorf("what was done %s ago is wanted: %t, and asked for strictly for %s", ago, got, d.Memory.LookBack)
		}
	}
}

// TestBudgetGoesOn has the second review of a delete come after others have spent the rest.
func TestBudgetGoesOn(t *testing.T) {
	deletes := strings.NewReplacer("UPDATE", "DELETE", "\n    fields: [\"spec.template.spec.containers[*].image\"]", "").Replace(rollImages) +
		"  budget: {maxActions: 1, per: 1h}\n" + "guards: [{name: quiet, expression: recent.size() < 1, lookBack: 30m}]\n"
	a := with(update(), func(a *action.Action) {
		a.Operation, a.Delete = v1alpha1.OperationDelete, &action.DeleteOptions{}
		a.Old = map[string]any{"metadata": map[string]any{"deletionTimestamp": "2026-11-23T11:00:00Z"}}
	})
	entry := func(key string) v1alpha1.AdmittedAction {
		return v1alpha1.AdmittedAction{Key: key, Time: metav1.NewTime(berlinNoon), Task: "p/roll-images"}
	}
	status := &v1alpha1.AgentActivityStatus{Recent: []v1alpha1.AdmittedAction{entry("mine"), entry("other")}}
	set := setOf(t, map[string]string{"p": subjects + deletes})
	for key, want := range map[string]Outcome{"mine": Allow, "third": Deny} {
		h := activity.Before(status, activity.Attempt{Key: key, Action: a}, berlinNoon)
		if d := set.Decide(Input{Action: a, Now: berlinNoon, History: h}); d.Outcome != want {
			t.Errorf("%s: the outcome is %s, want %s: %v", key, d.Outcome, want, d.Reasons())
		}
	}
}

func TestRunOfABudget(t *testing.T) {
	spec := subjects + rollImages + "  budget: {maxActions: 2, per: 1h, whenExceeded: RequireApproval}\n" +
		"  approval: {covers: Task, maxActions: 5}\n"
	set := setOf(t, map[string]string{"p": spec})
	reason := ConsentReason{Type: BudgetExceeded, Policy: "p", PolicyUID: "uid", Task: "roll-images"}
	terms, err := set.Terms("p", "roll-images", Place{Actor: agent, Namespace: "shop"})
	if err != nil || !slices.Contains(terms.Reasons, reason) {
		t.Errorf("the terms are %+v and %v, want %+v", terms.Reasons, err, reason)
	}
	d := set.Decide(Input{Action: update(imagePath), Now: berlinNoon, History: spent("p/roll-images", 1, 2)})
	c := d.Consent()
	if diff := cmp.Diff([]ConsentReason{reason}, c.Reasons); diff != "" || c.Run == nil {
		t.Errorf("the run is %+v, and reasons differ (-want +got):\n%s", c.Run, diff)
	}
}

func TestCompileBudget(t *testing.T) {
	for name, tc := range map[string]struct {
		spec         string
		wantErrors   []string
		wantWarnings []string
	}{
		"good":              {spec: subjects + twice + looksBack},
		"none":              {spec: subjects + rollImages + "  budget: {maxActions: 0, per: 1h}\n", wantErrors: []string{"spec.tasks[0].budget.maxActions"}},
		"too many":          {spec: subjects + rollImages + "  budget: {maxActions: 1001, per: 1h}\n", wantErrors: []string{"spec.tasks[0].budget.maxActions"}},
		"no span":           {spec: subjects + rollImages + "  budget: {maxActions: 1}\n", wantErrors: []string{"spec.tasks[0].budget.per"}},
		"too long a span":   {spec: subjects + rollImages + "  budget: {maxActions: 1, per: 169h}\n", wantErrors: []string{"spec.tasks[0].budget.per"}},
		"asks nobody":       {spec: subjects + rollImages + "  budget: {maxActions: 1, per: 1h, requirements: [x]}\n", wantErrors: []string{"spec.tasks[0].budget.requirements[0]"}},
		"no look-back":      {spec: subjects + rollImages + strings.Replace(looksBack, ", lookBack: 30m", "", 1), wantErrors: []string{"spec.guards[0].lookBack"}},
		"no such look-back": {spec: subjects + rollImages + strings.Replace(looksBack, "30m", "soon", 1), wantErrors: []string{"spec.guards[0].lookBack"}},
		"useless look-back": {
			spec:         subjects + rollImages + strings.Replace(looksBack, "recent.size() < 2", "1 < 2", 1),
			wantWarnings: []string{"spec.guards[0].lookBack: has no effect, because the expression does not read recent"},
		},
		"only tried": {
			spec: strings.Replace(subjects, "Enforce", "Audit", 1) + twice + looksBack,
			wantWarnings: []string{
				"spec.tasks[0].budget: counts only for subjects whom an Enforce policy names as well",
				"spec.guards[0].expression: reads recent, and is judged only for subjects whom an Enforce policy names as well",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := Compile(policyOf(t, "p", tc.spec), Identity{Username: "operator"})
			var got []string
			for _, e := range p.Errors {
				got = append(got, e.Field)
			}
			if diff := cmp.Diff(tc.wantErrors, got); diff != "" {
				t.Errorf("errors differ (-want +got):\n%s\n%v", diff, p.Errors)
			}
			if diff := cmp.Diff(tc.wantWarnings, p.Warnings); diff != "" {
				t.Errorf("warnings differ (-want +got):\n%s", diff)
			}
		})
	}
}

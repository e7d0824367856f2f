package policy

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/action"
	"github.com/countersign-dev/countersign/internal/activity"
)

func instant(t testing.TB, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// changed is an update of the object u1 under the task p/roll-images that was admitted at an instant.
func changed(at time.Time, changes ...func(*v1alpha1.AdmittedAction)) v1alpha1.AdmittedAction {
	stamp := at.Truncate(time.Second)
	if stamp.Before(at) {
		stamp = stamp.Add(time.Second)
	}
	entry := v1alpha1.AdmittedAction{
		Key: fmt.Sprint("update.", at.UnixNano()), Time: metav1.NewTime(stamp), Operation: v1alpha1.OperationUpdate,
		Group: "apps", Resource: "deployments", Namespace: "shop", Name: "web", UID: "u1", Task: "p/roll-images",
	}
	for _, change := range changes {
		change(&entry)
	}
	return entry
}

func before(a *action.Action, now time.Time, entries ...v1alpha1.AdmittedAction) *activity.History {
	return activity.Before(&v1alpha1.AgentActivityStatus{Recent: entries}, activity.Attempt{Key: "new", Action: a}, now)
}

// graceful is a policy whose nights may be overstayed by a quarter of an hour; everything may be done to Deployments.
const graceful = subjects + windows + `
changeWindows: {allowed: [nights], graceAfterClose: 15m}
tasks:
- name: roll-images
  scope: {resourceRules: [{apiGroups: [apps], resources: [deployments], operations: ["*"]}]}
`

// taskGraceful has the same windows for its task alone.
var taskGraceful = strings.Replace(graceful, "changeWindows: {allowed: [nights], graceAfterClose: 15m}\n", "", 1) +
	"  changeWindows: {allowed: [nights], graceAfterClose: 15m}\n"

func TestGrace(t *testing.T) {
	inside := changed(instant(t, "2026-11-24T05:30:00.5+01:00"))
	at := func(text string) v1alpha1.AdmittedAction { return changed(instant(t, text)) }
	but := func(change func(*v1alpha1.AdmittedAction)) v1alpha1.AdmittedAction {
		return changed(instant(t, "2026-11-24T05:30:00.5+01:00"), change)
	}
	created := but(func(e *v1alpha1.AdmittedAction) { e.Operation = v1alpha1.OperationCreate })
	deletion := func(a *action.Action) { a.Operation, a.Delete = v1alpha1.OperationDelete, &action.DeleteOptions{} }
	for name, tc := range map[string]struct {
		spec   string
		more   map[string]string
		now    string // 06:05 where it is empty
		action func(*action.Action)
		did    []v1alpha1.AdmittedAction

		want []string // reasons of what is in the way
	}{
		"what was changed inside":               {did: []v1alpha1.AdmittedAction{inside}},
		"up to the last instant":                {now: "2026-11-24T06:14:59.999999999+01:00", did: []v1alpha1.AdmittedAction{inside}},
		"and not at the end":                    {now: "2026-11-24T06:15:00+01:00", did: []v1alpha1.AdmittedAction{inside}, want: closed},
		"from the first instant":                {now: "2026-11-24T06:00:00+01:00", did: []v1alpha1.AdmittedAction{inside}},
		"nothing was changed":                   {want: closed},
		"something else was":                    {did: []v1alpha1.AdmittedAction{but(func(e *v1alpha1.AdmittedAction) { e.UID = "u2" })}, want: closed},
		"what has no identity":                  {action: func(a *action.Action) { a.UID = "" }, did: []v1alpha1.AdmittedAction{but(func(e *v1alpha1.AdmittedAction) { e.UID = "" })}, want: closed},
		"in the last second":                    {did: []v1alpha1.AdmittedAction{at("2026-11-24T05:59:59.999+01:00")}},
		"with an approval after it":             {did: []v1alpha1.AdmittedAction{at("2026-11-24T06:00:00.001+01:00")}, want: closed},
		"with an approval before it":            {did: []v1alpha1.AdmittedAction{at("2026-11-23T21:59:59.9+01:00")}, want: closed},
		"at the beginning of it":                {did: []v1alpha1.AdmittedAction{at("2026-11-23T22:00:00.001+01:00")}},
		"in the night before":                   {did: []v1alpha1.AdmittedAction{at("2026-11-23T05:30:00+01:00")}, want: closed},
		"the grace itself makes no further one": {now: "2026-11-24T06:16:00+01:00", did: []v1alpha1.AdmittedAction{inside, at("2026-11-24T06:10:00+01:00")}, want: closed},
		"but takes none away":                   {did: []v1alpha1.AdmittedAction{inside, at("2026-11-24T06:02:00+01:00")}},
		"by a clock that is ahead":              {now: "2026-11-24T21:59:58+01:00", did: []v1alpha1.AdmittedAction{at("2026-11-24T22:00:01+01:00")}, want: closed},
		"a session changes nothing":             {did: []v1alpha1.AdmittedAction{but(func(e *v1alpha1.AdmittedAction) { e.Operation = v1alpha1.OperationConnect })}, want: closed},
		"nor does a token": {did: []v1alpha1.AdmittedAction{but(func(e *v1alpha1.AdmittedAction) {
			e.Operation, e.Subresource = v1alpha1.OperationCreate, "token"
		})}, want: closed},
		"what was made inside may be changed": {did: []v1alpha1.AdmittedAction{created}},
		"and deleted":                         {action: deletion, did: []v1alpha1.AdmittedAction{created}},
		"what was changed may not be deleted": {action: deletion, did: []v1alpha1.AdmittedAction{inside}, want: closed},
		"nothing is made anew":                {action: func(a *action.Action) { a.Operation, a.Old = v1alpha1.OperationCreate, nil }, did: []v1alpha1.AdmittedAction{inside}, want: closed},
		"no freeze is softened":               {spec: graceful + "freezes: [{window: year-end}]\n", did: []v1alpha1.AdmittedAction{inside}, want: []string{"FreezeActive"}},
		"nor another policy":                  {more: map[string]string{"q": subjects + windows + "outOfScope: Allow\nchangeWindows: {allowed: [nights]}\n"}, did: []v1alpha1.AdmittedAction{inside}, want: closed},
		"nor windows of the task":             {spec: graceful + "  changeWindows: {allowed: [nights]}\n", did: []v1alpha1.AdmittedAction{inside}, want: closed},
		"each with its own": {
			spec: graceful + "  changeWindows: {allowed: [nights], graceAfterClose: 10m}\n", did: []v1alpha1.AdmittedAction{inside},
		},
		"the shorter one ends first": {
			spec: graceful + "  changeWindows: {allowed: [nights], graceAfterClose: 10m}\n", now: "2026-11-24T06:10:00+01:00", did: []v1alpha1.AdmittedAction{inside}, want: closed,
		},
		"of a task":                  {spec: taskGraceful, did: []v1alpha1.AdmittedAction{inside}},
		"of a task under another":    {spec: taskGraceful, did: []v1alpha1.AdmittedAction{but(func(e *v1alpha1.AdmittedAction) { e.Task = "p/other" })}, want: closed},
		"of a policy under whatever": {did: []v1alpha1.AdmittedAction{but(func(e *v1alpha1.AdmittedAction) { e.Task = "q/other" })}},
		"asks for what has no grace": {spec: strings.Replace(graceful, "nights],", "nights], whenClosed: RequireApproval,", 1), want: closed},
		"windows that adjoin are one": {
			spec: adjoining, now: "2026-11-24T07:10:00+01:00", did: []v1alpha1.AdmittedAction{inside},
		},
		"what is apart is not": {
			spec: strings.Replace(adjoining, "06:00\", end: \"07", "06:01\", end: \"07", 1), now: "2026-11-24T07:10:00+01:00",
			did: []v1alpha1.AdmittedAction{inside}, want: closed,
		},
	} {
		t.Run(name, func(t *testing.T) {
			spec, now := tc.spec, instant(t, "2026-11-24T06:05:00+01:00")
			if spec == "" {
				spec = graceful
			}
			if tc.now != "" {
				now = instant(t, tc.now)
			}
			a := with(update(imagePath), func(a *action.Action) { a.UID = "u1" })
			if tc.action != nil {
				tc.action(a)
			}
			policies := map[string]string{"p": spec}
			maps.Copy(policies, tc.more)
			set := setOf(t, policies)
			for _, p := range set.Policies() {
				if len(p.Errors) > 0 {
					t.Fatal(p.Errors)
				}
			}
			in := Input{Action: a, Now: now, History: before(a, now, tc.did...)}
			d := set.Decide(in)
			if diff := gocmp.Diff(tc.want, d.Reasons()); diff != "" {
				t.Errorf("reasons differ (-want +got):\n%s", diff)
			}
			if d.Outcome == Allow && (len(d.Waived) == 0 || set.NeedsHistory(in) != Useful) {
				t.Errorf("it passes with %+v, and the need of the history is %d", d.Waived, set.NeedsHistory(in))
			}
			in.History = nil
			if d := set.Decide(in); d.Outcome == Allow {
				t.Error("it passes where nothing is known")
			}
		})
	}
}

var closed = []string{"ChangeWindowClosed"}

// adjoining is the policy with an hour after the night.
var adjoining = strings.NewReplacer("allowed: [nights]", "allowed: [nights, days]",
	`days: [Mon, Tue, Wed, Thu, Fri], start: "09:00", end: "17:00"`, `days: [Tue], start: "06:00", end: "07:00"`).Replace(graceful)

func TestGraceInWords(t *testing.T) {
	for name, tc := range map[string]struct {
		spec, now  string
		create     bool
		unknown    bool
		did        []v1alpha1.AdmittedAction
		wantDetail string
		wantWaiver *Waiver
	}{
		"of a policy": {spec: graceful, did: []v1alpha1.AdmittedAction{changed(instant(t, "2026-11-24T05:30:00+01:00"))}, wantWaiver: &Waiver{
			Reason: ChangeWindowClosed, Policy: "p", Name: "nights", Until: instant(t, "2026-11-24T06:15:00+01:00"),
			Detail: "change window closed (policy p): grace to revert until 2026-11-24T06:15:00+01:00",
		}},
		"of a task": {spec: taskGraceful, did: []v1alpha1.AdmittedAction{changed(instant(t, "2026-11-24T05:30:00+01:00"))}, wantWaiver: &Waiver{
			Reason: ChangeWindowClosed, Policy: "p", Task: "roll-images", Name: "nights", Until: instant(t, "2026-11-24T06:15:00+01:00"),
			Detail: "change window closed (task roll-images, policy p): grace to revert until 2026-11-24T06:15:00+01:00",
		}},
		"none for others": {spec: graceful, wantDetail: "change window closed (policy p): next opens 2026-11-24T22:00:00+01:00 (nights), " +
			"with grace only for what this agent changed inside"},
		"none for what is new": {spec: graceful, create: true, unknown: true, wantDetail: "change window closed (policy p): " +
			"next opens 2026-11-24T22:00:00+01:00 (nights), with grace only for what this agent changed inside"},
		"not known": {spec: graceful, unknown: true, wantDetail: "change window closed (policy p): " +
			"next opens 2026-11-24T22:00:00+01:00 (nights), and whether this agent changed the object inside is not known"},
		"over": {spec: graceful, now: "2026-11-24T12:00:00+01:00", unknown: true, wantDetail: "change window closed (policy p): " +
			"next opens 2026-11-24T22:00:00+01:00 (nights)"},
	} {
		t.Run(name, func(t *testing.T) {
			now := instant(t, cmp.Or(tc.now, "2026-11-24T06:05:00+01:00"))
			a := with(update(imagePath), func(a *action.Action) { a.UID = "u1" })
			if tc.create {
				a.Operation, a.Old = v1alpha1.OperationCreate, nil
			}
			in := Input{Action: a, Now: now, History: before(a, now, tc.did...)}
			if tc.unknown {
				in.History = nil
			}
			d := setOf(t, map[string]string{"p": tc.spec}).Decide(in)
			switch {
			case tc.wantWaiver == nil && (len(d.Obstacles) != 1 || d.Obstacles[0].Detail != tc.wantDetail || len(d.Waived) > 0):
				t.Errorf("obstacles are %+v, want %q", d.Obstacles, tc.wantDetail)
			case tc.wantWaiver != nil:
				if diff := gocmp.Diff([]Waiver{*tc.wantWaiver}, d.Waived); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			}
		})
	}
}

// TestGraceRemedy has something else in the way while there is grace.
func TestGraceRemedy(t *testing.T) {
	fields := strings.Replace(graceful, `operations: ["*"]}]`, `operations: [UPDATE]}], fields: ["spec.template.spec.containers[*].image"]`, 1)
	now := instant(t, "2026-11-24T06:05:00+01:00")
	inside := changed(instant(t, "2026-11-24T05:30:00+01:00"))
	for name, tc := range map[string]struct {
		spec       string
		paths      []action.Path
		did        []v1alpha1.AdmittedAction
		wantNarrow bool
		wantWait   string
	}{
		"narrowing is enough":                   {fields, []action.Path{imagePath, replicasPath}, []v1alpha1.AdmittedAction{inside}, true, ""},
		"without grace it is not":               {fields, []action.Path{imagePath, replicasPath}, nil, true, "2026-11-24T22:00:00+01:00"},
		"what waits, waits for the next window": {fields + "  budget: {maxActions: 1, per: 1h}\n", []action.Path{imagePath}, []v1alpha1.AdmittedAction{inside}, false, "2026-11-24T22:00:00+01:00"},
	} {
		t.Run(name, func(t *testing.T) {
			a := with(update(tc.paths...), func(a *action.Action) { a.UID = "u1" })
			d := setOf(t, map[string]string{"p": tc.spec}).Decide(Input{Action: a, Now: now, History: before(a, now, tc.did...)})
			var want time.Time
			if tc.wantWait != "" {
				want = instant(t, tc.wantWait)
			}
			if d.Outcome != Deny || (len(d.Remedy.Narrow) > 0) != tc.wantNarrow || !d.Remedy.Wait.Equal(want) {
				t.Errorf("the remedy is %+v, want to narrow: %t, and to wait until %q", d.Remedy, tc.wantNarrow, tc.wantWait)
			}
		})
	}
}

// TestGraceAgreesWithScan compares with a reading of random windows minute by minute.
func TestGraceAgreesWithScan(t *testing.T) {
	const minutes = 600
	origin := instant(t, "2026-11-24T00:00:00Z")
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 7))
		open := make([]bool, minutes+1)
		spec, names := "timeZone: UTC\nwindows:\n", []string{}
		for i := range 1 + r.IntN(4) {
			from := r.IntN(minutes - 1)
			to := from + 1 + r.IntN(min(120, minutes-from-1)+1)
			for m := from; m < to; m++ {
				open[m] = true
			}
			names = append(names, fmt.Sprint("w", i))
			spec += fmt.Sprintf("- {name: w%d, once: {from: %q, to: %q}}\n", i,
				origin.Add(time.Duration(from)*time.Minute).Format(time.RFC3339), origin.Add(time.Duration(to)*time.Minute).Format(time.RFC3339))
		}
		grace := 1 + r.IntN(90)
		set := setOf(t, map[string]string{"p": subjects + spec + fmt.Sprintf("outOfScope: Allow\nchangeWindows: {allowed: [%s], graceAfterClose: %dm}\n", strings.Join(names, ","), grace)})
		did := make([]v1alpha1.AdmittedAction, 3)
		for range 300 {
			now := origin.Add(time.Duration(r.Int64N(int64(minutes * time.Minute))))
			for i := range did {
				did[i] = changed(origin.Add(time.Duration(r.Int64N(int64(minutes*time.Minute)))), func(e *v1alpha1.AdmittedAction) {
					e.UID = []string{"u1", "u2"}[r.IntN(2)]
				})
			}
			a := with(update(imagePath), func(a *action.Action) { a.UID = "u1" })
			want := open[int(now.Sub(origin)/time.Minute)] || slices.ContainsFunc(did, func(e v1alpha1.AdmittedAction) bool {
				at := activity.AdmittedAt(&e)
				m := int(at.Sub(origin) / time.Minute)
				if e.UID != "u1" || at.After(now) || !open[m] {
					return false
				}
				for open[m] {
					m++
				}
				return now.Before(origin.Add(time.Duration(m+grace) * time.Minute))
			})
			got := set.Decide(Input{Action: a, Now: now, History: before(a, now, did...)})
			if (got.Outcome == Allow) != want {
				t.Fatalf("seed %d: at %s after %v the outcome is %s, want to pass: %t\n%sgrace %dm", seed, now, did, got.Outcome, want, spec, grace)
			}
		}
	}
}

// TestGraceMemory says what is noted, and what is kept for as long as there is room.
func TestGraceMemory(t *testing.T) {
	p := graceful
	for name, tc := range map[string]struct {
		spec, now string
		op        v1alpha1.Operation
		wantNeed  Need
		wantNote  Need
	}{
		"a change while they are open":   {p, "2026-11-24T05:00:00+01:00", v1alpha1.OperationUpdate, Useful, Useful},
		"a creation":                     {p, "2026-11-24T05:00:00+01:00", v1alpha1.OperationCreate, Useful, Useful},
		"a deletion":                     {p, "2026-11-24T05:00:00+01:00", v1alpha1.OperationDelete, NotNeeded, NotNeeded},
		"a change in the grace":          {p, "2026-11-24T06:05:00+01:00", v1alpha1.OperationUpdate, Useful, NotNeeded},
		"a deletion in the grace":        {p, "2026-11-24T06:05:00+01:00", v1alpha1.OperationDelete, Useful, NotNeeded},
		"a creation in the grace":        {p, "2026-11-24T06:05:00+01:00", v1alpha1.OperationCreate, NotNeeded, NotNeeded},
		"a change after it":              {p, "2026-11-24T06:15:00+01:00", v1alpha1.OperationUpdate, NotNeeded, NotNeeded},
		"of a task":                      {taskGraceful, "2026-11-24T05:00:00+01:00", v1alpha1.OperationUpdate, Useful, Useful},
		"a budget must know":             {p + "  budget: {maxActions: 5, per: 1h}\n", "2026-11-24T05:00:00+01:00", v1alpha1.OperationUpdate, Required, Required},
		"of a policy that is only tried": {strings.Replace(p, "enforcement: Enforce", "enforcement: Audit", 1), "2026-11-24T05:00:00+01:00", v1alpha1.OperationUpdate, NotNeeded, NotNeeded},
	} {
		t.Run(name, func(t *testing.T) {
			a := with(update(imagePath), func(a *action.Action) { a.UID, a.Operation = "u1", tc.op })
			now := instant(t, tc.now)
			in := Input{Action: a, Now: now, History: before(a, now)}
			set := setOf(t, map[string]string{"p": tc.spec})
			d := set.Decide(in)
			if need := set.NeedsHistory(in); need != tc.wantNeed || d.Memory.Note != tc.wantNote {
				t.Errorf("the need is %d, and to note it %d, want %d and %d", need, d.Memory.Note, tc.wantNeed, tc.wantNote)
			}
		})
	}
	a, open := update(imagePath), instant(t, "2026-11-24T05:30:00+01:00")
	d := setOf(t, map[string]string{"p": p}).Decide(Input{Action: a, Now: open, History: before(a, open)})
	for now, want := range map[string]bool{
		"2026-11-24T05:00:00+01:00": true, "2026-11-24T06:14:59+01:00": true, "2026-11-24T06:15:00+01:00": false,
	} {
		entry := changed(instant(t, "2026-11-23T23:00:00+01:00"))
		if got := d.Memory.Demand(instant(t, now)).Wanted(&entry); got != want {
			t.Errorf("at %s it is wanted: %t", now, got)
		}
	}
}

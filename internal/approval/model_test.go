package approval

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

// model is what an approval should do, written another way: with sets and flags instead of a list that is read again.
type model struct {
	consents map[string]time.Duration // who, with the validity they allow
	ended    State
	granted  bool
	expires  time.Time
	denied   bool
	uses     map[string]v1alpha1.UseOutcome
}

const (
	modelUses     = 2
	modelValidity = time.Hour
	modelWait     = 4 * time.Hour
)

// people who may meet the requirements of the model: two of sre and, for the second requirement, carol. Dan and the
// requester count for nothing.
var people = []string{"alice", "bob", "carol", "dan", botName}

func modelRequest() *Request {
	r := taskRequest(modelUses)
	carol := sre(1)
	carol.Name, carol.Approvers = "security", []v1alpha1.Approver{{Kind: v1alpha1.ApproverUser, Name: "carol"}}
	r.Requirements = []v1alpha1.StampedRequirement{sre(2), carol}
	return r
}

func modelCaller(name string) Caller {
	switch name {
	case botName:
		return Caller{Actor: bot(), MayApprove: true}
	case "dan":
		c := person(name)
		c.Groups = []string{"dev"}
		return c
	default:
		return person(name)
	}
}

func (m *model) state(now time.Time) State {
	switch {
	case m.ended != "":
	case m.granted && !now.Before(m.expires):
		m.ended = Expired
	case !m.granted && !now.Before(noon.Add(modelWait)):
		m.ended = Expired
	case m.granted && m.stored() == modelUses:
		m.ended = Spent
	case m.granted:
		return Approved
	default:
		return Pending
	}
	return m.ended
}

func (m *model) count(of ...v1alpha1.UseOutcome) (n int) {
	for _, outcome := range m.uses {
		if slices.Contains(of, outcome) {
			n++
		}
	}
	return n
}

func (m *model) stored() int { return m.count(v1alpha1.UseStored) }

func (m *model) made() int { return m.count(v1alpha1.UseStored, v1alpha1.UseAdmitted) }

// decide says whether a verdict is accepted.
func (m *model) decide(who string, verdict v1alpha1.DecisionVerdict, validFor time.Duration, now time.Time) bool {
	if who == "dan" || who == botName {
		return false
	}
	state := m.state(now)
	switch {
	case verdict == v1alpha1.VerdictApprove && state == Pending:
		m.consents[who] = validFor
		_, carol := m.consents["carol"]
		if m.granted = carol && len(m.consents) >= 2; m.granted {
			m.expires = now.Truncate(time.Second)
			shortest := modelValidity
			for _, allowed := range m.consents {
				shortest = min(shortest, allowed)
			}
			m.expires = m.expires.Add(shortest)
		}
	case verdict == v1alpha1.VerdictDeny && state == Pending:
		m.ended, m.denied = Denied, true
	case verdict == v1alpha1.VerdictRevoke && state == Approved:
		m.ended = Revoked
	default:
		return false
	}
	return true
}

// spend says whether an attempt passes.
func (m *model) spend(key string, now time.Time) bool {
	if m.state(now) != Approved {
		return false
	}
	if outcome, known := m.uses[key]; known && outcome != v1alpha1.UseReturned {
		return true
	}
	if m.made() >= modelUses {
		return false
	}
	m.uses[key] = v1alpha1.UseAdmitted
	return true
}

// play is one story: the approval, what the model says of it, and what has happened.
type play struct {
	t      testing.TB
	a      *v1alpha1.ActionApproval
	m      model
	now    time.Time
	story  []string
	commit map[string]int // how often an attempt could have been stored
}

func newPlay(t testing.TB) *play {
	return &play{
		t: t, a: build(t, modelRequest()), now: noon, commit: map[string]int{},
		m: model{consents: map[string]time.Duration{}, uses: map[string]v1alpha1.UseOutcome{}},
	}
}

// step does what two bytes say.
func (p *play) step(what, how byte) {
	before := Evaluate(p.a, p.now)
	switch what % 12 {
	case 0:
		p.now = p.now.Add(time.Duration(how) * 20 * time.Second)
		p.tell("%s pass", time.Duration(how)*20*time.Second)
	case 1:
		p.now = p.now.Add(time.Duration(how) * time.Nanosecond * 10_000_000)
		p.tell("a moment passes")
	case 2, 3, 4:
		p.decide(people[int(how)%len(people)], v1alpha1.VerdictApprove, how/16)
	case 5:
		p.decide(people[int(how)%len(people)], v1alpha1.VerdictDeny, how)
	case 6:
		p.decide(people[int(how)%len(people)], v1alpha1.VerdictRevoke, how)
	case 7, 8:
		p.attempt(fmt.Sprintf("update.%d", how%4))
	case 9:
		p.settle(fmt.Sprintf("update.%d", how%4), v1alpha1.UseStored)
	case 10:
		p.settle(fmt.Sprintf("update.%d", how%4), v1alpha1.UseReturned)
	default:
		p.surroundings(how)
	}
	p.check(before)
}

func (p *play) tell(format string, args ...any) {
	p.story = append(p.story, fmt.Sprintf(format, args...))
}

func (p *play) fail(format string, args ...any) {
	p.t.Helper()
	p.t.Fatalf("%s\n%s\nnow %s, status %+v", fmt.Sprintf(format, args...), strings.Join(p.story, "\n"), p.now, p.a.Status)
}

func (p *play) decide(who string, verdict v1alpha1.DecisionVerdict, limit byte) {
	d, validFor := v1alpha1.Decision{Verdict: verdict}, modelValidity
	if limit%4 != 0 && verdict == v1alpha1.VerdictApprove {
		validFor = time.Duration(limit%4) * 10 * time.Minute
		d.Limits = &v1alpha1.DecisionLimits{ValidFor: duration(validFor)}
	}
	p.tell("%s: %s for %s", who, verdict, validFor)
	caller := modelCaller(who)
	identity := caller.identity()
	if !adds(p.a, &d, &identity, p.now) {
		if err := decide(p.a, caller, d, p.now); err != nil {
			p.fail("a verdict that repeats: %v", err)
		}
		return
	}
	full := len(p.a.Spec.Decisions) >= maxDecisions-1
	lifts := p.m.denied && verdict == v1alpha1.VerdictRevoke // judged elsewhere, and of no consequence here
	err := decide(p.a, caller, d, p.now)
	if full || lifts {
		return
	}
	if want := p.m.decide(who, verdict, validFor, p.now); (err == nil) != want {
		p.fail("accepted %t, want %t: %v", err == nil, want, err)
	}
}

func (p *play) attempt(key string) {
	p.tell("attempt %s", key)
	next, already, err := Spend(p.a, key, p.now, v1alpha1.UsedObject{}, "1")
	if want := p.m.spend(key, p.now); (err == nil) != want {
		p.fail("passes %t, want %t: %v", err == nil, want, err)
	}
	if err != nil {
		return
	}
	if !already {
		p.commit[key]++
	}
	p.a.Status = next
}

func (p *play) settle(key string, outcome v1alpha1.UseOutcome) {
	p.tell("%s is %s", key, outcome)
	next, err := Settle(p.a, key, outcome, p.now)
	if have := p.m.uses[key]; (err == nil) != (have == v1alpha1.UseAdmitted || have == outcome) {
		p.fail("settling %q as %s: %v", have, outcome, err)
	}
	if err == nil {
		p.m.state(p.now)
		p.a.Status, p.m.uses[key] = next, outcome
	}
}

// surroundings end the approval, rarely, or let the operator look at it.
func (p *play) surroundings(how byte) {
	switch how {
	case 1, 2:
		p.tell("the object has changed")
		if !p.m.state(p.now).Terminal() {
			p.m.ended = Void
		}
		p.a.Status = End(p.a, Void, "", p.now)
	case 3, 4:
		p.tell("the window has opened")
		if p.m.state(p.now) == Pending {
			p.m.ended = NoLongerNeeded
		}
		p.a.Status = End(p.a, NoLongerNeeded, "", p.now)
	default:
		p.tell("the operator looks at it")
		p.a.Status = StatusOf(p.a, p.now)
	}
}

// check holds what must always hold.
func (p *play) check(before State) {
	state := Evaluate(p.a, p.now)
	if want := p.m.state(p.now); state != want {
		p.fail("state %s, want %s", state, want)
	}
	if before.Terminal() && state != before {
		p.fail("%s has become %s", before, state)
	}
	p.a.Status = StatusOf(p.a, p.now)
	made := 0
	for _, use := range p.a.Status.Uses {
		if use.Outcome != v1alpha1.UseReturned {
			made++
		}
	}
	if made > modelUses || *p.a.Status.Remaining != int32(modelUses-made) {
		p.fail("%d uses of %d", made, modelUses)
	}
	p.checkVerdicts(state)
	if what := differs(p.a, p.now); what != "" {
		p.fail("what is kept of it answers otherwise: %s", what)
	}
}

func (p *play) checkVerdicts(state State) {
	consents := map[string]bool{}
	for _, d := range p.a.Spec.Decisions {
		if d.Approver.Username == botName || d.Approver.Username == "dan" {
			p.fail("%s has decided", d.Approver.Username)
		}
		if d.Verdict == v1alpha1.VerdictApprove {
			consents[d.Approver.Username] = true
		}
	}
	if (state == Approved || len(p.a.Status.Uses) > 0) && (!consents["carol"] || len(consents) < 2) {
		p.fail("used with the consent of %v alone", consents)
	}
}

func TestModel(t *testing.T) {
	for seed := range uint64(*runs) {
		random := rand.New(rand.NewPCG(seed, 1))
		p := newPlay(t)
		for range 60 {
			p.step(byte(random.Uint32()), byte(random.Uint32()))
		}
	}
}

func FuzzTransitions(f *testing.F) {
	f.Add([]byte{2, 0, 2, 2, 7, 0, 7, 0, 7, 1, 7, 2, 10, 1, 7, 2, 9, 0, 9, 2})
	f.Add([]byte{5, 0, 2, 1, 6, 1})
	f.Add([]byte{0, 255, 0, 255, 0, 210, 2, 0, 2, 2, 1, 99, 1, 1})
	f.Add([]byte{2, 0, 2, 2, 0, 179, 1, 100, 7, 0, 0, 1, 7, 0})
	f.Fuzz(func(t *testing.T, steps []byte) {
		p := newPlay(t)
		for i := 0; i+1 < min(len(steps), 400); i += 2 {
			p.step(steps[i], steps[i+1])
		}
	})
}

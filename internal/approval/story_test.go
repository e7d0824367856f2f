package approval

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/action"
	"github.com/countersign-dev/countersign/internal/naming"
)

// story plays what happens to one request, and writes it down as people would tell it.
type story struct {
	t   *testing.T
	a   *v1alpha1.ActionApproval
	now time.Time
	b   strings.Builder
}

func (s *story) tell(what, outcome string) {
	line := fmt.Sprintf("%s  %-62s %s", s.now.Format(time.TimeOnly), what, outcome)
	s.b.WriteString(strings.TrimRight(line, " ") + "\n")
}

func (s *story) stands() string {
	text := string(Evaluate(s.a, s.now))
	if text == string(Approved) {
		text += fmt.Sprintf(", %d left until %s", *s.a.Status.Remaining, s.a.Status.ExpiresAt.UTC().Format(time.TimeOnly))
	}
	return text
}

func (s *story) wait(d time.Duration) { s.now = s.now.Add(d) }

func (s *story) ask(r *Request) {
	s.a = build(s.t, r)
	what := "the operator opens " + s.a.Name[:len(s.a.Name)-suffixLength] + "..."
	s.tell(what, s.stands())
	for _, c := range s.a.Spec.Action.Changes {
		s.tell("  "+c.Path+": "+c.From+" -> "+c.To, "")
	}
}

func (s *story) decide(who Caller, verdict v1alpha1.DecisionVerdict, validFor v1alpha1.Duration) {
	d := v1alpha1.Decision{Verdict: verdict}
	what := naming.Short(who.Username) + ": " + string(verdict)
	if validFor != "" {
		d.Limits = &v1alpha1.DecisionLimits{ValidFor: validFor}
		what += ", for at most " + string(validFor)
	}
	if err := decide(s.a, who, d, s.now); err != nil {
		_, reason, _ := strings.Cut(err.Error(), "Forbidden: ")
		s.tell(what, "refused: "+strings.TrimSuffix(reason, "]"))
		return
	}
	s.tell(what, s.stands())
}

func (s *story) repeat(what string, at Attempt) {
	if Continuation(s.a, at.Action, s.now) {
		s.tell(what, "goes on")
		return
	}
	v := Check(s.a, at, s.now)
	switch v.Outcome {
	case Admit:
		spend(s.t, s.a, v.Key, s.now)
		s.tell(what, fmt.Sprintf("admitted, known %t, %d left", v.Known, *s.a.Status.Remaining))
	case Ends:
		s.a.Status = End(s.a, Void, v.Reason, s.now)
		s.tell(what, "Void: "+v.Reason)
	case Refuse, Foreign, Again:
		s.tell(what, "refused: "+v.Reason)
	default:
		s.t.Fatalf("%+v", v)
	}
}

func (s *story) settle(what string, outcome v1alpha1.UseOutcome) {
	settle(s.t, s.a, s.a.Status.Uses[len(s.a.Status.Uses)-1].Key, outcome, s.now)
	s.tell(what, s.stands())
}

// next is the same action from a later state of the object.
func next(resourceVersion string, generation int64) Attempt {
	act := scaleUp()
	act.Old, act.New = deployment(3, "web:1", resourceVersion, generation), deployment(5, "web:1", resourceVersion, generation+1)
	return attemptNow(act)
}

func TestStories(t *testing.T) {
	for name, tell := range map[string]func(*story){
		"two-people-and-one-use": func(s *story) {
			s.ask(request(2))
			s.wait(time.Minute)
			s.repeat("the agent repeats it", attemptNow(scaleUp()))
			s.decide(Caller{Actor: bot(), MayApprove: true}, "Approve", "")
			s.decide(person("alice"), "Approve", "30m")
			s.decide(person("alice"), "Approve", "30m")
			s.wait(time.Minute)
			s.decide(person("bob"), "Approve", "")
			s.decide(person("bob"), "Deny", "")
			s.repeat("the agent repeats it", attemptNow(scaleUp()))
			s.repeat("the API server reviews it again after a conflict", next("11", 6))
			s.settle("the change is seen in etcd", v1alpha1.UseStored)
			s.repeat("a person reverts it, and the agent tries once more", next("13", 8))
			s.decide(person("carol"), "Revoke", "")
		},
		"a-person-refuses": func(s *story) {
			s.ask(request(1))
			s.decide(person("alice"), "Deny", "")
			s.decide(person("bob"), "Approve", "")
			s.repeat("the agent repeats it", attemptNow(scaleUp()))
			s.wait(time.Hour)
			s.tell("the agent asks for the same with another number", cooling(s))
			s.decide(person("bob"), "Revoke", "")
			s.tell("the agent asks for the same with another number", cooling(s))
		},
		"a-quota-refuses-after-us": func(s *story) {
			s.ask(request(1))
			s.decide(person("alice"), "Approve", "")
			s.repeat("the agent repeats it", attemptNow(scaleUp()))
			s.settle("history shows that it was not stored", v1alpha1.UseReturned)
			s.repeat("the agent repeats it", attemptNow(scaleUp()))
			s.wait(time.Hour)
			s.repeat("the agent uses the key it has banked", attemptNow(scaleUp()))
		},
		"the-object-changes": func(s *story) {
			s.ask(requestFor(imageUpdate()))
			s.decide(person("alice"), "Approve", "")
			elsewhere := imageUpdate()
			elsewhere.Old["spec"].(map[string]any)["replicas"] = int64(9)
			at := attemptNow(imageUpdate())
			at.Base, at.Stale = BaseOf(elsewhere, hasher), true
			s.repeat("a controller scales; the agent repeats it", at)
			around := imageUpdate()
			podSpec(around.Old)["hostNetwork"] = true
			at.Base = BaseOf(around, hasher)
			s.repeat("somebody changes the template; a stale review", at)
			at.Stale = false
			s.repeat("the API server comes again with the live object", at)
			s.repeat("the template is changed back; the agent repeats it", attemptNow(imageUpdate()))
		},
		"a-delete-has-three-reviews": func(s *story) {
			s.ask(requestFor(deletion(nil)))
			s.decide(person("alice"), "Approve", "1m")
			s.wait(59 * time.Second)
			s.repeat("first review", attemptNow(deletion(nil)))
			s.repeat("second review", attemptNow(deletion(nil)))
			s.wait(time.Second)
			s.repeat("third review, the pod is being deleted", attemptNow(deletion(func(a *action.Action) {
				a.Old = with(a.Old, "deletionTimestamp", "2026-11-22T12:00:59Z")
			})))
			s.repeat("another delete", attemptNow(deletion(nil)))
		},
		"nobody-answers": func(s *story) {
			s.ask(request(1))
			s.wait(4*time.Hour - 1)
			s.tell("an instant before the end", s.stands())
			s.wait(1)
			s.tell("at the end", s.stands())
			s.decide(person("alice"), "Approve", "")
			s.repeat("the agent repeats it", attemptNow(scaleUp()))
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := &story{t: t, now: noon}
			tell(s)
			checkGolden(t, "story-"+name, s.b.String())
		})
	}
}

func requestFor(act *action.Action) *Request {
	r := request(1)
	r.Action, r.Hash, r.Base = act, hasher.Hash(act), BaseOf(act, hasher)
	return r
}

// cooling says whether scaleUp to another number may be asked for.
func cooling(s *story) string {
	r := request(1)
	r.Action.Changes[0].To.V = int64(9)
	if denied, until := Cooling([]*v1alpha1.ActionApproval{s.a}, r, s.now); denied != nil {
		return "not before " + until.Format(time.TimeOnly)
	}
	return "may be asked for"
}

package approval

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/legible"
)

// maxDecisions is how many verdicts are recorded. The last place is kept for the one that ends it.
const maxDecisions = 32

var specPath = field.NewPath("spec")

// ValidateUpdate says what is wrong with an update, after every mutating webhook: Stamp's work may have been undone or
// done by somebody else. The time of a new verdict must be within the tolerance of now.
func ValidateUpdate(old, updated *v1alpha1.ActionApproval, caller Caller, now time.Time, tolerance time.Duration) field.ErrorList {
	v := judge{old: old, updated: updated, caller: caller, now: now, tolerance: tolerance}
	v.metadata()
	v.asked()
	v.justification()
	v.decisions()
	return v.errs
}

type judge struct {
	old, updated *v1alpha1.ActionApproval
	caller       Caller
	now          time.Time
	tolerance    time.Duration
	errs         field.ErrorList
}

func (v *judge) forbid(at *field.Path, format string, args ...any) {
	v.errs = append(v.errs, field.Forbidden(at, fmt.Sprintf(format, args...)))
}

// metadata refuses what would let an approval vanish or stay by other means than a delete.
func (v *judge) metadata() {
	if v.caller.Operator {
		return
	}
	at := field.NewPath("metadata")
	if !equality.Semantic.DeepEqual(v.old.OwnerReferences, v.updated.OwnerReferences) {
		v.forbid(at.Child("ownerReferences"), "approvals have no owner")
	}
	if v.old.Annotations[BaseAnnotation] != v.updated.Annotations[BaseAnnotation] {
		v.forbid(at.Child("annotations").Key(BaseAnnotation), "written by Countersign only")
	}
	if !isSubset(v.updated.Finalizers, v.old.Finalizers) {
		v.forbid(at.Child("finalizers"), "approvals have no finalizers")
	}
}

func isSubset(some, all []string) bool {
	return !slices.ContainsFunc(some, func(s string) bool { return !slices.Contains(all, s) })
}

// asked refuses changes of what was asked. Only the operator takes the diff away, once it is no longer needed.
func (v *judge) asked() {
	before, after := *v.old.Spec.DeepCopy(), *v.updated.Spec.DeepCopy()
	for _, spec := range []*v1alpha1.ActionApprovalSpec{&before, &after} {
		spec.Justification, spec.Decision, spec.Decisions = "", nil, nil
	}
	if v.caller.Operator && after.Action != nil && after.Action.Diff == "" && before.Action != nil && Evaluate(v.old, v.now).Terminal() {
		before.Action.Diff = ""
	}
	if !equality.Semantic.DeepEqual(before, after) {
		v.forbid(specPath, "what was asked cannot be changed: only decision can, and justification by the requester")
	}
}

// justification is the requester's, until the first verdict.
func (v *judge) justification() {
	at := specPath.Child("justification")
	switch {
	case v.old.Spec.Justification == v.updated.Spec.Justification:
		return
	case !isRequester(&v.caller.Actor, v.old.Spec.Requester):
		v.forbid(at, "only the requester justifies the request")
	case len(v.old.Spec.Decisions) > 0 || len(v.updated.Spec.Decisions) > 0:
		v.forbid(at, "people have begun to decide about what was asked")
	case Evaluate(v.old, v.now) != Pending:
		v.forbid(at, "the request is not pending any more")
	}
	v.legible(v.updated.Spec.Justification, at)
}

// legible refuses characters that nobody sees and that change how the rest is shown: what people read to decide must be
// what stands there. The schema refuses control characters.
func (v *judge) legible(text string, at *field.Path) {
	for _, r := range text {
		if _, hidden := legible.Hidden(string(r)); hidden && !slices.Contains(joiners, r) {
			v.forbid(at, "no invisible characters such as %U", r)
			return
		}
	}
}

// joiners are what some scripts and emoji need: U+200C and U+200D, and U+FE0F, which makes a sign an emoji.
var joiners = []rune{'\u200c', '\u200d', '\ufe0f'}

// decisions allows one new verdict, the caller's, after those that stood there.
func (v *judge) decisions() {
	before, after := v.old.Spec.Decisions, v.updated.Spec.Decisions
	at := specPath.Child("decisions")
	if v.updated.Spec.Decision != nil {
		v.forbid(specPath.Child("decision"), "the verdict was not recorded: the mutating webhook did not answer, or another one wrote it again")
	}
	if len(after) < len(before) || !slices.EqualFunc(before, after[:len(before)], identical) {
		v.forbid(at, "recorded verdicts cannot be changed or removed")
		return
	}
	switch len(after) - len(before) {
	case 0:
	case 1:
		v.decision(&after[len(before)], at.Index(len(before)))
	default:
		v.forbid(at, "one verdict at a time")
	}
}

// identical compares byte by byte what is stored.
func identical(a, b v1alpha1.RecordedDecision) bool {
	before, err := json.Marshal(a)
	if err != nil {
		return false
	}
	after, err := json.Marshal(b)
	return err == nil && string(before) == string(after)
}

func (v *judge) decision(d *v1alpha1.RecordedDecision, at *field.Path) {
	if who := v.caller.identity(); !sameIdentity(&d.Approver, &who) {
		v.forbid(at.Child("approver"), "not who writes it: verdicts are given in spec.decision, and recorded by Countersign")
	}
	if off := v.now.Sub(d.Time.Time).Abs(); off > v.tolerance {
		v.forbid(at.Child("time"), "%s away from the time of the server", off)
	}
	for _, text := range []string{v.caller.Username, v.caller.UID, v.caller.CredentialID} {
		if r, found := legible.Hidden(text); found {
			v.forbid(at.Child("approver"), "the approver's name would be shown to others and holds characters that cannot be seen, such as %U", r)
		}
	}
	if err := v.caller.mayDecide(&v.old.Spec); err != nil {
		v.forbid(at.Child("verdict"), "%v", err)
	}
	if len(v.old.Spec.Decisions) >= maxDecisions-1 && d.Verdict == v1alpha1.VerdictApprove {
		v.forbid(at, "too many verdicts: the last place is kept to refuse or to take back")
	}
	v.legible(d.Comment, at.Child("comment"))
	v.timely(d.Verdict, at.Child("verdict"))
	v.limits(d, at.Child("limits"))
}

// sameIdentity compares all that is recorded of an approver.
func sameIdentity(a, b *v1alpha1.ApproverIdentity) bool {
	return a.Username == b.Username && a.UID == b.UID && a.CredentialID == b.CredentialID && slices.Equal(a.Groups, b.Groups)
}

// timely says whether a verdict may be given in the state in which the approval is.
func (v *judge) timely(verdict v1alpha1.DecisionVerdict, at *field.Path) {
	state := Evaluate(v.old, v.now)
	switch verdict {
	case v1alpha1.VerdictApprove, v1alpha1.VerdictDeny:
		switch state {
		case Pending:
		case Approved:
			v.forbid(at, "the request is approved already: Revoke takes that back")
		default:
			v.forbid(at, "the request has ended: %s", state)
		}
	case v1alpha1.VerdictRevoke:
		switch {
		case state == Approved || v.liftable(state):
		case state == Pending:
			v.forbid(at, "nothing is approved yet: Deny refuses")
		default:
			v.forbid(at, "the request has ended: %s", state)
		}
	default:
		v.errs = append(v.errs, field.NotSupported(at, verdict,
			[]v1alpha1.DecisionVerdict{v1alpha1.VerdictApprove, v1alpha1.VerdictDeny, v1alpha1.VerdictRevoke}))
	}
}

// liftable says whether a Revoke would take back that the same may not be asked for again.
func (v *judge) liftable(state State) bool {
	_, cooling := CoolsUntil(v.old, v.now)
	return state == Denied && cooling
}

// limits may narrow what was asked, and belong to consent alone.
func (v *judge) limits(d *v1alpha1.RecordedDecision, at *field.Path) {
	if d.Limits == nil {
		return
	}
	most := asked(&v.old.Spec)
	if d.Verdict != v1alpha1.VerdictApprove {
		v.forbid(at, "only consent has limits")
	}
	if n := d.Limits.MaxActions; n < 0 || n > most.uses {
		v.forbid(at.Child("maxActions"), "limits only narrow: asked for %d", most.uses)
	}
	if length := d.Limits.ValidFor; length != "" && (parsed(length) <= 0 || parsed(length) > most.validFor) {
		v.forbid(at.Child("validFor"), "limits only narrow, to more than zero: asked for %s", duration(most.validFor))
	}
}

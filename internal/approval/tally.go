package approval

import (
	"slices"
	"time"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

// tally is what the recorded verdicts amount to.
type tally struct {
	spec *v1alpha1.ActionApprovalSpec
	// standing are the consents that stand, by index in spec.decisions, one a person.
	standing []int
	// approvedAt, deniedAt, revokedAt and liftedAt are zero where that did not happen. A denial is lifted by a
	// Revoke: the request stays denied, but the same may be asked for again.
	approvedAt, deniedAt, revokedAt, liftedAt time.Time
	// limits are what was granted, the narrowest of what was asked and what each consent allows.
	limits limits
}

// limits are how often and how long an approval can be used.
type limits struct {
	uses     int32
	validFor time.Duration
}

func (t *tally) approved() bool { return !t.approvedAt.IsZero() }

// open says that verdicts are still awaited, leaving aside whether it is too late.
func (t *tally) open() bool { return !t.approved() && t.deniedAt.IsZero() }

// read goes through the verdicts in their order. Those that should not have been recorded do not count: the rules
// hold however an entry came to stand there.
func read(spec *v1alpha1.ActionApprovalSpec) tally {
	t := tally{spec: spec, limits: asked(spec)}
	for i := range spec.Decisions {
		d := &spec.Decisions[i]
		if eligible(&d.Approver, spec) != nil {
			continue
		}
		switch d.Verdict {
		case v1alpha1.VerdictApprove:
			t.approve(i)
		case v1alpha1.VerdictDeny:
			t.deny(d)
		case v1alpha1.VerdictRevoke:
			t.revoke(d)
		default: // nobody's consent
		}
	}
	return t
}

func (t *tally) approve(i int) {
	d := &t.spec.Decisions[i]
	if !t.open() || !before(d.Time.Time, t.spec.RequestExpiresAt) {
		return
	}
	t.standing = slices.DeleteFunc(t.standing, func(j int) bool {
		return samePerson(&t.spec.Decisions[j].Approver, &d.Approver)
	})
	t.standing = append(t.standing, i)
	if t.quorum() {
		t.approvedAt = d.Time.Time
		t.narrow()
	}
}

func (t *tally) deny(d *v1alpha1.RecordedDecision) {
	if t.open() && before(d.Time.Time, t.spec.RequestExpiresAt) {
		t.deniedAt, t.standing = d.Time.Time, nil
	}
}

func (t *tally) revoke(d *v1alpha1.RecordedDecision) {
	switch {
	case !t.deniedAt.IsZero():
		t.liftedAt = d.Time.Time
	case t.approved() && t.revokedAt.IsZero() && d.Time.Time.Before(t.approvedAt.Add(t.limits.validFor)):
		t.revokedAt = d.Time.Time
	}
}

// quorum says whether every requirement has as many people as it needs. A person counts for each that names them.
func (t *tally) quorum() bool {
	for i := range t.spec.Requirements {
		if p := t.progress(i); !p.Met() {
			return false
		}
	}
	return len(t.spec.Requirements) > 0
}

// narrow applies the limits of every consent that stands.
func (t *tally) narrow() {
	for _, i := range t.standing {
		t.limits.narrow(t.spec.Decisions[i].Limits)
	}
}

func (l *limits) narrow(by *v1alpha1.DecisionLimits) {
	if by == nil {
		return
	}
	if by.MaxActions > 0 {
		l.uses = min(l.uses, by.MaxActions)
	}
	if by.ValidFor != "" {
		l.validFor = min(l.validFor, parsed(by.ValidFor))
	}
}

// asked is what was asked for: one use of an action, or a run of a task.
func asked(spec *v1alpha1.ActionApprovalSpec) limits {
	l := limits{uses: 1, validFor: parsed(spec.ValidFor)}
	if task := spec.Task; task != nil {
		l.uses = task.MaxActions
		l.narrow(&v1alpha1.DecisionLimits{ValidFor: task.ValidFor})
	}
	return l
}

package approval

import "github.com/countersign-dev/countersign/api/v1alpha1"

// Progress is how far one requirement of a request has come.
type Progress struct {
	// Requirement is what was asked for.
	Requirement *v1alpha1.StampedRequirement
	// Consents are the verdicts that stand and count for it, one a person, in the order in which they were given.
	Consents []*v1alpha1.RecordedDecision
}

// Needed is how many people must consent.
func (p *Progress) Needed() int { return max(int(p.Requirement.MinApprovals), 1) }

// Met says whether so many have.
func (p *Progress) Met() bool { return len(p.Consents) >= p.Needed() }

// ProgressOf says how far each requirement of a request has come. After a denial none has.
func ProgressOf(spec *v1alpha1.ActionApprovalSpec) []Progress {
	t := read(spec)
	all := make([]Progress, len(spec.Requirements))
	for i := range all {
		all[i] = t.progress(i)
	}
	return all
}

// progress finds the consents that count for a requirement.
func (t *tally) progress(requirement int) Progress {
	p := Progress{Requirement: &t.spec.Requirements[requirement]}
	for _, i := range t.standing {
		if counts(&t.spec.Decisions[i].Approver, p.Requirement.Approvers) {
			p.Consents = append(p.Consents, &t.spec.Decisions[i])
		}
	}
	return p
}

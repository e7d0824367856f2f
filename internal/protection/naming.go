package protection

import (
	"slices"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
)

// Naming says which of the files of level 4 name a subject. They name subjects one by one and cannot follow policies, and the
// level of a cluster is that of the canary, which they always name: whom else they name takes asking for each.
type Naming int

const (
	// Untold is a subject about whom the answers do not tell.
	Untold Naming = iota
	// Unnamed is a subject whom no file names: such a one is at level 3, or lower.
	Unnamed
	// Named is a subject whom all files name that can be tried.
	Named
	// AuthorizationOnly is a subject that is denied impersonation, and let change admission policies.
	AuthorizationOnly
	// AdmissionOnly is the other way round.
	AdmissionOnly
)

// Trial is what the API server answers about a subject, and to it.
type Trial struct {
	// Impersonation is the answer to whether the subject may act as somebody else.
	Impersonation authorizationv1.SubjectAccessReviewStatus
	// Tried says that the subject has tried to change admission configuration, with a right to it, as a dry run; Admission
	// is the answer. A subject without such a right is not told by its answer what the files say, since RBAC refuses it first.
	Tried     bool
	Admission error
	// OfWebhooks says that it tried to change a webhook configuration, about which policies in the API are asked as well.
	OfWebhooks bool
}

// Hold is what holds a subject.
type Hold struct {
	// Level holds it whatever the files say.
	Level  Level
	Naming Naming
}

// Judge says what holds a subject where level 4 is in force. Below is what holds it without the files, as far as its own answer
// does not say so. An error says why that answer does not tell.
func (t *Trial) Judge(below Level) (Hold, error) {
	denied := t.Impersonation.Denied
	if !t.Tried {
		if denied {
			return Hold{below, Named}, nil
		}
		return Hold{below, Unnamed}, nil
	}
	by, untold := refusedBy(t.Admission)
	if untold != nil {
		h := Hold{below, Untold}
		if !denied {
			h.Naming, untold = Unnamed, nil // one file does not name it, and nothing shows that another does
		}
		return h, untold
	}
	h := Hold{Level: below}
	if t.OfWebhooks {
		h.Level = Webhooks
		if slices.ContainsFunc(by, func(p string) bool { return !strings.HasSuffix(p, StaticSuffix) }) {
			h.Level = Policy
		}
	}
	switch static := anyStatic(by); {
	case static && denied:
		h.Naming = Named
	case static:
		h.Naming = AdmissionOnly
	case denied:
		h.Naming = AuthorizationOnly
	default:
		h.Naming = Unnamed
	}
	return h, nil
}

// Full is the level of whoever is so held, from which on all is refused that this level is about.
func (h Hold) Full() Level {
	if h.Naming == Named {
		return Sealed
	}
	return h.Level
}

// Refuses says whether whoever is so held is refused what a probe of a route asks about.
func (h Hold) Refuses(r *Route, p *Probe) bool {
	from := r.ClosedFrom(p)
	switch {
	case from <= h.Level:
		return true
	case from > Sealed:
		return false
	case strings.HasPrefix(p.Verb, "impersonate"):
		return h.Naming == Named || h.Naming == AuthorizationOnly
	case p.Group == admissionGroup:
		return h.Naming == Named || h.Naming == AdmissionOnly
	default:
		return false
	}
}

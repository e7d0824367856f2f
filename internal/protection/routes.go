package protection

import "slices"

// NoLevel is in the place of a level where none closes a route: only to be without the right does.
const NoLevel = Sealed + 1

// Route is a right that leads around Countersign.
type Route struct {
	// What it is, after "the right to". For the reserved rights these are the words of internal/policy.
	What string
	// Closed is the level from which on whoever has the right is refused all the same, whatever is done with it; at level 4
	// that is whoever its files name (Hold).
	Closed Level
	// NeedsConsent says that the right alone leads nowhere: somebody else must consent to what is done with it.
	NeedsConsent bool
	// Why it leads around Countersign, and what stops it; Do what to do instead. Both are clauses, without a stop.
	Why, Do string
	// Probes are what to ask RBAC to find out who has the right: one or two of each kind, since who has one has mostly
	// been given a role with all of them. Without any, only a look at the rules of roles tells.
	Probes []Probe
}

// Probe is one question whether RBAC lets somebody do something.
type Probe struct {
	Group, Resource, Subresource, Verb string
	// Namespaced says that to have it in one's own namespace is enough.
	Namespaced bool
	// Closed is as in the route, where a lower level closes this part of it already; zero: as the route.
	Closed Level
}

// ClosedFrom is the level from which on whoever has what the probe asks about is refused all the same.
func (r *Route) ClosedFrom(p *Probe) Level {
	if p.Closed != Unknown {
		return p.Closed
	}
	return r.Closed
}

// String is the right in words, such as "create serviceaccounts/token".
func (p *Probe) String() string {
	if p.Subresource == "" {
		return p.Verb + " " + p.Resource
	}
	return p.Verb + " " + p.Resource + "/" + p.Subresource
}

// Routes are all of them: the reserved rights, and then what leads around Countersign in some cases only.
func Routes() []Route { return slices.Concat(reservedRoutes(), furtherRoutes()) }

// RouteTo finds a route by what it is.
func RouteTo(what string) (Route, bool) {
	all := Routes()
	if i := slices.IndexFunc(all, func(r Route) bool { return r.What == what }); i >= 0 {
		return all[i], true
	}
	return Route{}, false
}

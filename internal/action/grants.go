package action

import (
	"slices"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

// Grant is a changed field that a field list must name.
type Grant struct {
	// Field is the field to name, such as metadata.ownerReferences.
	Field Path
	// Path is what changes: the field itself or something under it.
	Path Path
}

// Grants are the changes that act beyond the object itself, and so are covered only when a field list names them:
// metadata.ownerReferences, through which the garbage collector deletes, metadata.finalizers, which hold a deletion or
// let it go, the service account and the priority class of pods, what a Service selects, and what pauses or suspends a
// workload. They are found also within a subtree that changes as a whole. Only an UPDATE has any.
func (a *Action) Grants() []Grant {
	if a.Operation != v1alpha1.OperationUpdate {
		return nil
	}
	grants := a.grantsAt(nil, "metadata", "ownerReferences")
	grants = a.grantsAt(grants, "metadata", "finalizers")
	if handle := handles[a.Group][a.Resource]; handle != nil {
		grants = a.grantsAt(grants, handle...)
	}
	if spec := a.podSpec(); spec != nil {
		grants = a.grantsAt(grants, slices.Concat(spec, []string{priorityField})...)
		grants = a.grantsAt(grants, slices.Concat(spec, []string{accountField})...)
		if a.accountAlias() == nil {
			grants = a.grantsAt(grants, slices.Concat(spec, []string{accountAliasField})...)
		}
	}
	return grants
}

// grantsAt appends what changes at or under a field, or the field itself where it changes with something above it.
func (a *Action) grantsAt(grants []Grant, names ...string) []Grant {
	if equalValues(at(a.Old, names...), at(a.New, names...)) {
		return grants
	}
	field := fields(names...)
	i, _ := find(a.Changes, field)
	first := i
	for ; i < len(a.Changes) && a.Changes[i].Path.hasPrefix(field); i++ {
		grants = append(grants, Grant{Field: field, Path: a.Changes[i].Path})
	}
	if i == first {
		grants = append(grants, Grant{Field: field, Path: field})
	}
	return grants
}

// NamedBy says whether the pattern names the field: it covers what changes, and spells out the field rather than
// something above it or any field there.
func (g Grant) NamedBy(p Pattern) bool {
	return len(g.Field) > 0 && p.names(g.Path, len(g.Field)-1)
}

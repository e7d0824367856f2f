// Package action turns one admission request into an Action: the normal form in which one rule covers every way of
// doing one thing. It holds the changes between old and new content, the hash that identifies an action, and the
// redaction of secret values.
//
// The package is pure. It has no client, no clock and no logger; what it must know about the cluster is passed in as
// Facts.
package action

import (
	"github.com/countersign-dev/countersign/api/v1alpha1"
)

// Action is one write or CONNECT in normal form. Callers must not change the content it holds: Old, New and Target
// share structure with each other and with what was decoded.
type Action struct {
	// Actor is who acts.
	Actor Actor
	// Operation is what is done: an eviction is a DELETE, a scale is an UPDATE.
	Operation v1alpha1.Operation
	// Group, Version, Resource, Subresource and Kind in normal form: a scale names its parent, an eviction the pods.
	// Kind is that of the resource, whatever the subresource.
	Group, Version, Resource, Subresource, Kind string
	// Namespaced says that objects of the kind live in namespaces.
	Namespaced bool
	// Namespace and Name of the target. Name is empty where it is generated.
	Namespace, Name string
	// GenerateName is the prefix of a generated name, empty where the requester chose the name.
	GenerateName string
	// UID of the target, empty for a CREATE: what exists not yet has none that anybody could know.
	UID string
	// Address is how a proxied pod or service was addressed, such as https:web:8443. Empty but for a proxy.
	Address string
	// Old and New are the content before and after, nil where there is none. For a scale both are the parent, with
	// the old and the new number. For a CONNECT New is the options object.
	Old, New map[string]any
	// Target is the live object acted upon where the request does not carry it: the pod of an eviction, a binding or
	// a CONNECT, the service of a proxy, the service account of a token, the parent of a scale.
	Target map[string]any
	// Changes are what an UPDATE changes, noise removed, sorted by path. No path covers another one.
	Changes []Change
	// Delete says how a DELETE deletes, nil for other operations.
	Delete *DeleteOptions
	// DryRun says that nothing will be stored.
	DryRun bool

	// hasStatus says that a DELETE does not delete what the status says, which changes all the time.
	hasStatus bool
}

// Empty says that the action is an UPDATE that changes nothing governed.
func (a *Action) Empty() bool {
	return a.Operation == v1alpha1.OperationUpdate && len(a.Changes) == 0
}

// writes says that the action stores content: it creates or updates.
func (a *Action) writes() bool {
	return a.Operation == v1alpha1.OperationCreate || a.Operation == v1alpha1.OperationUpdate
}

// Trial says that nothing comes of the action: it is a dry run, but not for a token, which is handed out all the same.
func (a *Action) Trial() bool {
	return a.DryRun && a.Subresource != "token"
}

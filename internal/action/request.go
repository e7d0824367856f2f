package action

import (
	"k8s.io/apimachinery/pkg/util/net"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

// Actor is who makes a request, as the API server authenticated them.
type Actor struct {
	// Username and UID identify the actor. A service account without a UID was impersonated or came by a
	// certificate.
	Username, UID string
	// Groups as the authenticator reports them.
	Groups []string
	// PodName and PodUID name the pod that a bound token belongs to, CredentialID the credential itself. They are
	// evidence, not proof: whoever may impersonate can set them.
	PodName, PodUID, CredentialID string
}

// Request is what arrived at admission, decoded no further than needed.
type Request struct {
	// ID is the UID of the review. It differs at every attempt of one HTTP request, so it is for the record only.
	ID string
	// Operation is CREATE, UPDATE, DELETE or CONNECT.
	Operation v1alpha1.Operation
	// Group, Version, Resource and Subresource are those of the review's object (request.resource and
	// request.subResource), not those the client called.
	Group, Version, Resource, Subresource string
	// Kind of the object in the review: Scale, Eviction, PodExecOptions, ...
	Kind string
	// Namespace and Name as the review gives them: both may be empty, the name also within a deletecollection.
	Namespace, Name string
	// Actor is who makes the request.
	Actor Actor
	// Object, OldObject and Options are raw JSON, or nil where the review has none. What is made of them shares their memory:
	// they must not be changed.
	Object, OldObject, Options []byte
	// Decoded are Object and OldObject where they have been decoded.
	Decoded Decoded
	// DryRun says that nothing will be stored. A TokenRequest ignores it.
	DryRun bool
}

// Facts is what the cluster says about the kind and the target of a request.
type Facts struct {
	// Kind is about the resource named by Request.Group and Request.Resource.
	Kind KindFacts
	// Target is the live object that Request.Need asks for, nil where it asks for none.
	Target map[string]any
}

// KindFacts is what discovery and the custom resource definition say about a resource.
type KindFacts struct {
	// Kind of the resource itself, not of its subresource.
	Kind string
	// Namespaced says that objects of the kind live in namespaces.
	Namespaced bool
	// PreferredVersion is the version in which paths are written.
	PreferredVersion string
	// HasStatus says that the kind has a status subresource, so that writes of the resource itself cannot change
	// its status.
	HasStatus bool
	// SpecReplicasPath is where the kind keeps the number that its scale subresource sets, such as
	// ".spec.replicas". Empty: .spec.replicas.
	SpecReplicasPath string
}

// Need says which object must be read live before a request can be normalised.
type Need struct {
	// Target says that Facts.Target is needed. The other fields are empty where it is not.
	Target bool
	// Group, Version, Resource, Namespace and Name say what to read. An empty Version means the preferred one.
	Group, Version, Resource, Namespace, Name string
}

// Need says what must be read live first: the parent of a scale; the pod of an exec, attach, portforward, proxy,
// eviction or binding; the service of a proxy; the service account of a token.
func (r Request) Need() Need {
	var name string
	switch r.form() {
	case formScale, formEviction, formToken:
		name = r.Name
	case formBinding:
		return Need{Target: true, Version: r.Version, Resource: "pods", Namespace: r.Namespace, Name: r.bound()}
	case formConnect:
		if r.Group != "" || r.Resource != "pods" && r.Resource != "services" {
			return Need{}
		}
		name, _ = r.connected()
	default:
		return Need{}
	}
	return Need{Target: true, Group: r.Group, Version: r.Version, Resource: r.Resource, Namespace: r.Namespace, Name: name}
}

// form is a way of asking that is brought to normal form.
type form int

const (
	formPlain form = iota
	formScale
	formEviction
	formBinding
	formToken
	formConnect
)

func (r Request) form() form {
	core := r.Group == ""
	create := r.Operation == v1alpha1.OperationCreate
	switch {
	case r.Operation == v1alpha1.OperationConnect:
		return formConnect
	case r.Operation == v1alpha1.OperationUpdate && r.Subresource == "scale":
		return formScale
	case core && create && r.Resource == "pods" && r.Subresource == "eviction":
		return formEviction
	case core && create && (r.Resource == "pods" && r.Subresource == "binding" || r.Resource == "bindings" && r.Subresource == ""):
		return formBinding
	case core && create && r.Resource == "serviceaccounts" && r.Subresource == "token":
		return formToken
	default:
		return formPlain
	}
}

// connected is the name of the object that a CONNECT is about, and where a proxy addresses it with a scheme or a port,
// how it does so: https:web:8443 is about web.
func (r Request) connected() (name, address string) {
	if r.Subresource != "proxy" {
		return r.Name, ""
	}
	if _, name, _, valid := net.SplitSchemeNamePort(r.Name); valid && name != r.Name {
		return name, r.Name
	}
	return r.Name, ""
}

// bound is the name of the pod that is bound: that of the Binding, where the review gives none.
func (r Request) bound() string {
	if r.Name != "" {
		return r.Name
	}
	binding, err := DecodeObject(r.Object)
	if err != nil {
		return "" // Normalise says why
	}
	return textAt(binding, "metadata", "name")
}

package policy

import (
	"strconv"
	"strings"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/action"
	"github.com/countersign-dev/countersign/internal/legible"
)

// maxDetail bounds free text within a message, in characters.
const maxDetail = 400

func itoa(n int) string { return strconv.Itoa(n) }

// illegible says why nobody could tell by its name who the agent is, or is empty. What people decide about, and what is
// kept of it, names the agent as the API server knows it, byte by byte: so it must be seen as it is.
func illegible(who *action.Actor) string {
	for _, part := range []struct{ what, text string }{
		{"user name", who.Username}, {"UID", who.UID}, {"credential's ID", who.CredentialID},
		{"pod's name", who.PodName}, {"pod's UID", who.PodUID},
	} {
		if _, found := legible.Hidden(part.text); found {
			return "the " + part.what + " of this agent holds characters that cannot be seen: " + legible.Line(part.text, maxItem)
		}
	}
	return ""
}

// Who names an actor for people: namespace/name for a service account, the user name for others.
func Who(username string) string {
	if namespace, name, ok := splitServiceAccount(username); ok {
		return legible.Line(namespace+"/"+name, maxItem)
	}
	return legible.Line(username, maxItem)
}

// what names an action without the actor: "update deployment shop/web".
func what(a *action.Action) string {
	return verb(a) + " " + thing(a)
}

// thing names the object of an action: "deployment shop/web".
func thing(a *action.Action) string { return strings.ToLower(a.Kind) + " " + target(a) }

func target(a *action.Action) string {
	name := a.Name
	if name == "" && a.GenerateName != "" {
		name = a.GenerateName + "*"
	}
	if a.Namespaced {
		name = a.Namespace + "/" + name
	}
	return legible.Line(name, 2*maxItem)
}

// connectVerbs are the words for the subresources to which clients connect.
var connectVerbs = map[string]string{
	"exec": "exec into", "attach": "attach to", "portforward": "port-forward to", "proxy": "proxy to",
}

func verb(a *action.Action) string {
	if v, ok := connectVerbs[a.Subresource]; ok && a.Operation == v1alpha1.OperationConnect {
		return v
	}
	v := strings.ToLower(string(a.Operation))
	if a.Operation == v1alpha1.OperationConnect {
		v = "connect to"
	}
	if a.Subresource != "" {
		return v + " " + legible.Line(a.Subresource, maxItem) + " of"
	}
	return v
}

// Raw names an action that has no normal form, by what arrived.
func Raw(r *action.Request) string {
	resource, name := r.Resource, r.Name
	if r.Subresource != "" {
		resource += "/" + r.Subresource
	}
	if r.Namespace != "" {
		name = r.Namespace + "/" + name
	}
	return legible.Line(strings.TrimSpace(strings.ToLower(string(r.Operation))+" "+resource+" "+name), maxDetail)
}

package policy

import (
	"strconv"
	"strings"
	"unicode"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/action"
)

// maxDetail bounds free text within a message, in characters.
const maxDetail = 400

func itoa(n int) string { return strconv.Itoa(n) }

// printable makes text safe to show on a terminal and to keep on one line: control, format and bidirectional
// characters become "?", and what is longer than most characters is cut.
func printable(s string, most int) string {
	clean := strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, s)
	if runes := []rune(clean); len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return clean
}

// Who names an actor for people: namespace/name for a service account, the user name for others.
func Who(username string) string {
	if namespace, name, ok := splitServiceAccount(username); ok {
		return printable(namespace+"/"+name, maxItem)
	}
	return printable(username, maxItem)
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
	return printable(name, 2*maxItem)
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
		return v + " " + printable(a.Subresource, maxItem) + " of"
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
	return printable(strings.TrimSpace(strings.ToLower(string(r.Operation))+" "+resource+" "+name), maxDetail)
}

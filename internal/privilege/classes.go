package privilege

import (
	"strings"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/action"
)

// sessions are the subresources that a CONNECT is about, whichever verb asks.
var sessions = map[string]bool{
	"pods/exec": true, "pods/attach": true, "pods/portforward": true, "pods/proxy": true, "services/proxy": true, "nodes/proxy": true,
}

// classOf is the class of actions that a verb on a resource comes to, in normal form. The zero value is none.
type classOf struct {
	operation                    v1alpha1.Operation
	group, resource, subresource string
	// scale says that only the number of replicas changes.
	scale bool
}

// verbsOf are the verbs by which a right grants a class.
type verbsOf struct {
	class classOf
	verbs []string
	// parts are what becomes of it.
	parts []part
}

// classify says which class of actions a verb comes to; none for reads, and for verbs with a meaning of their own.
func classify(group, name, verb string) classOf {
	resource, subresource, _ := strings.Cut(name, "/")
	var operation v1alpha1.Operation
	switch {
	case group == "" && sessions[name]:
		operation = v1alpha1.OperationConnect
	case verb == "create":
		operation = v1alpha1.OperationCreate
	case verb == "update" || verb == "patch":
		operation = v1alpha1.OperationUpdate
	case verb == "delete" || verb == "deletecollection":
		operation = v1alpha1.OperationDelete
	default:
		return classOf{}
	}
	c := classOf{group: group, scale: operation == v1alpha1.OperationUpdate && subresource == "scale"}
	c.operation, c.resource, c.subresource = action.NormalForm(operation, group, resource, subresource)
	return c
}

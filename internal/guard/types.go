package guard

import (
	apiservercel "k8s.io/apiserver/pkg/cel"
	"k8s.io/apiserver/pkg/cel/common"
	"k8s.io/apiserver/pkg/cel/openapi"
	"k8s.io/kube-openapi/pkg/validation/spec"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

// Kind is a kind of object whose fields are known.
type Kind struct {
	// Name of the kind, for messages.
	Name string
	// Schema of its objects, as the API server publishes it.
	Schema *spec.Schema
}

// Mistyped says what is wrong with the expressions of a guard if object and oldObject are of a kind, such as a field that
// the kind does not have. An expression of a guard that compiles may be wrong for one kind and right for another, so that
// these are hints for the author and no errors. What is empty is right, or is not known.
func Mistyped(g *v1alpha1.Guard, kind Kind) (expression, messageExpression string) {
	object := common.SchemaDeclType(&openapi.Schema{Schema: kind.Schema}, true)
	if object == nil {
		return "", ""
	}
	return mistyped(g.Expression, object, kind.Name), mistyped(g.MessageExpression, object, kind.Name)
}

func mistyped(expression string, object *apiservercel.DeclType, kind string) string {
	if expression == "" {
		return ""
	}
	env, err := newEnvironment(object.MaybeAssignTypeName(kind))
	if err != nil {
		return ""
	}
	if _, err := check(env, expression); err != nil {
		return err.Error()
	}
	return ""
}

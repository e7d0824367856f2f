package protection

import (
	"fmt"
	"time"

	"github.com/google/cel-go/cel"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	admissioncel "k8s.io/apiserver/pkg/admission/plugin/cel"
	"k8s.io/apiserver/pkg/cel/environment"
)

// authorizerTimeout bounds the wait for an authorizer that does not answer. A refused connection takes no time.
const authorizerTimeout = time.Second

// expression is one that is compiled as those of admission policies are.
type expression struct {
	text  string
	types []*cel.Type
}

// GetExpression implements admissioncel.ExpressionAccessor.
func (e *expression) GetExpression() string { return e.text }

// ReturnTypes implements admissioncel.ExpressionAccessor.
func (e *expression) ReturnTypes() []*cel.Type { return e.types }

// compilePolicy says whether the API server can use a policy, by compiling as it does.
func compilePolicy(policy *admissionregistrationv1.ValidatingAdmissionPolicy) error {
	base := environment.MustBaseEnvSet(environment.DefaultCompatibilityVersion())
	conditions := admissioncel.NewCompiler(base)
	validations, err := admissioncel.NewCompositedCompiler(base)
	if err != nil {
		return fmt.Errorf("making a compiler: %w", err)
	}
	options := admissioncel.OptionalVariableDeclarations{HasAuthorizer: true}
	check := func(compiler admissioncel.Compiler, where, text string, types ...*cel.Type) error {
		result := compiler.CompileCELExpression(&expression{text, types}, options, environment.StoredExpressions)
		if result.Error != nil {
			return fmt.Errorf("compiling %s of policy %s: %w", where, policy.Name, result.Error)
		}
		return nil
	}
	for _, c := range policy.Spec.MatchConditions {
		if err := check(conditions, "match condition "+c.Name, c.Expression, cel.BoolType); err != nil {
			return err
		}
	}
	for _, v := range policy.Spec.Variables {
		result := validations.CompileAndStoreVariable(&variable{expression{v.Expression, []*cel.Type{cel.AnyType, cel.DynType}}, v.Name},
			options, environment.StoredExpressions)
		if result.Error != nil {
			return fmt.Errorf("compiling variable %s of policy %s: %w", v.Name, policy.Name, result.Error)
		}
	}
	for i, v := range policy.Spec.Validations {
		if err := check(validations, fmt.Sprintf("validation %d", i+1), v.Expression, cel.BoolType); err != nil {
			return err
		}
	}
	return nil
}

type variable struct {
	expression
	name string
}

// GetName implements admissioncel.NamedExpressionAccessor.
func (v *variable) GetName() string { return v.name }

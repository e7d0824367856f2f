package guard

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/types"
)

type cause struct{ prefix, text string }

// causes are the errors of CEL, by how their text begins, in words that hold no value: the texts of CEL do.
var causes = []cause{
	{"no such overload", "the value has another type than this needs"},
	{"index out of bounds", "the list has no such element"},
	{"invalid index", "the list has no such element"},
	{"division by zero", "division by zero"},
	{"modulus by zero", "division by zero"},
	{"integer overflow", "the number is too large"},
	{"unsigned integer overflow", "the number is too large"},
	{"duration overflow", "the duration is too long"},
	{"timestamp overflow", "the time is out of range"},
	{"type conversion error", "the value cannot be converted"},
	{errInexact, "the value is " + errInexact},
	{errLabelsUnknown, errLabelsUnknown},
	{errHistoryUnknown, errHistoryUnknown},
	{"optional.none() dereference", "the optional value is absent"},
}

// explain says why an expression has no value: where, what is wrong there, and how to write it. It shows parts of the
// expression, never a value.
func (p *program) explain(err error, v *variables) string {
	if over, ok := errors.AsType[overrun](err); ok {
		return over.Error()
	}
	failed, ok := errors.AsType[*types.Err](err)
	if !ok {
		return "the expression cannot be evaluated"
	}
	where, at := p.place(failed.NodeID())
	if key, ok := strings.CutPrefix(err.Error(), "no such key: "); ok && where != nil {
		return p.missing(where, key, v) + at
	}
	text := "this cannot be done with the value"
	if i := slices.IndexFunc(causes, func(c cause) bool { return strings.HasPrefix(err.Error(), c.prefix) }); i >= 0 {
		text = causes[i].text
	}
	if where == nil {
		return text
	}
	return text + ", in " + p.written(where) + at
}

// place finds a part of the expression, and says where it is; both are empty where CEL does not say.
func (p *program) place(id int64) (ast.Expr, string) {
	var found ast.Expr
	ast.PreOrderVisit(p.tree.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if e.ID() == id {
			found = e
		}
	}))
	if found == nil {
		return nil, ""
	}
	return found, " (" + position(p.tree.SourceInfo().GetStartLocation(id)) + ")"
}

// written is a part of the expression as text.
func (p *program) written(e ast.Expr) string {
	text, err := cel.ExprToString(e, p.tree.SourceInfo())
	if err != nil {
		return "the expression"
	}
	return oneLine(text, maxShown)
}

// missing says which part of a path is not there, and how to ask for it first. The key is shown only if the expression
// itself holds it.
func (p *program) missing(e ast.Expr, key string, v *variables) string {
	steps := chain(e)
	if root := steps[0]; root.Kind() == ast.IdentKind && len(steps) > 1 {
		if value, known := v.ResolveName(root.AsIdent()); known && value == types.NullValue {
			return fmt.Sprintf("%[1]s is null for a %[2]s: write %[1]s != null && ..., or name other operations in resourceRules",
				root.AsIdent(), v.Action.Operation)
		}
	}
	at := slices.IndexFunc(steps, func(s ast.Expr) bool { return stepKey(s) == key })
	if known := p.firstMissing(steps, v); known > 0 {
		at = known
	}
	if at < 1 {
		return "a key is not there: ask with in or has() first"
	}
	step := steps[at]
	if step.Kind() == ast.SelectKind {
		return fmt.Sprintf("%[1]s is not there: write has(%[1]s) && ... where it may be absent", p.written(step))
	}
	args := step.AsCall().Args()
	return fmt.Sprintf("%[1]s has no key %[2]s: write %[2]s in %[1]s && ... where it may be absent", p.written(args[0]), p.written(args[1]))
}

// firstMissing follows a path from its variable and returns the step that leads nowhere, 0 where that is not known.
func (p *program) firstMissing(steps []ast.Expr, v *variables) int {
	root := steps[0]
	if root.Kind() != ast.IdentKind {
		return 0
	}
	value, _ := v.ResolveName(root.AsIdent())
	for i, step := range steps[1:] {
		content, ok := value.(map[string]any)
		if !ok {
			return 0
		}
		below, present := content[stepKey(step)]
		if !present {
			return i + 1
		}
		value = below
	}
	return 0
}

// chain is a path from its beginning: object, object.spec, object.spec.replicas.
func chain(e ast.Expr) []ast.Expr {
	steps := []ast.Expr{e}
	for {
		switch first := steps[0]; {
		case first.Kind() == ast.SelectKind:
			steps = slices.Insert(steps, 0, first.AsSelect().Operand())
		case isIndex(first):
			steps = slices.Insert(steps, 0, first.AsCall().Args()[0])
		default:
			return steps
		}
	}
}

func isIndex(e ast.Expr) bool {
	return e.Kind() == ast.CallKind && e.AsCall().FunctionName() == operators.Index && len(e.AsCall().Args()) == 2
}

// stepKey is the key that a step of a path names, as far as the expression holds it.
func stepKey(e ast.Expr) string {
	switch {
	case e.Kind() == ast.SelectKind:
		return e.AsSelect().FieldName()
	case isIndex(e) && e.AsCall().Args()[1].Kind() == ast.LiteralKind:
		key, _ := e.AsCall().Args()[1].AsLiteral().(types.String)
		return string(key)
	}
	return ""
}

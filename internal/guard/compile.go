package guard

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/interpreter"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/legible"
)

// How long expressions may be, in characters, as the schema has it.
const (
	maxExpression        = 4096
	maxMessageExpression = 1024
)

// maxDoubling bounds how often an expression may use the macros that double what stands before them: thirty in a row
// would take all memory.
const maxDoubling = 6

// maxNesting bounds how many loops, lists and maps stand within each other: the time to check types grows with its cube.
const maxNesting = 32

// Guard is a compiled guard. It is immutable and safe for concurrent use.
type Guard struct {
	// Name of the guard.
	Name string
	// ReadsRecent and ReadsNow say that the expression depends on the history of the agent, or on the time.
	ReadsRecent, ReadsNow bool
	// LookBack is how far into the past recent goes, zero where the expression does not read it.
	LookBack time.Duration

	condition program
	message   *program // nil: none
}

// program is one compiled expression.
type program struct {
	text string
	// tree is the expression without its types: only who explains an error reads it, and they take as much memory as all else.
	tree *ast.AST
	plan interpreter.InterpretableV2
	// names are the variables that it refers to, each once.
	names []string
}

// Compile compiles the expressions of a guard that stands at a path. All that is wrong is returned at once; the guard is
// nil then.
func Compile(g *v1alpha1.Guard, at *field.Path) (*Guard, field.ErrorList) {
	var errs field.ErrorList
	compiled := &Guard{Name: g.Name}
	condition, err := compile(g.Expression, cel.BoolType, maxExpression)
	if err != nil {
		errs = append(errs, field.Invalid(at.Child("expression"), g.Expression, err.Error()))
	}
	compiled.condition = condition
	if g.MessageExpression != "" {
		message, err := compile(g.MessageExpression, cel.StringType, maxMessageExpression)
		if err != nil {
			errs = append(errs, field.Invalid(at.Child("messageExpression"), g.MessageExpression, err.Error()))
		}
		compiled.message = &message
	}
	if len(errs) > 0 {
		return nil, errs
	}
	compiled.ReadsRecent = compiled.reads(varRecent)
	compiled.ReadsNow = compiled.reads(varNow)
	if !compiled.ReadsRecent {
		return compiled, nil
	}
	if g.LookBack == "" {
		return nil, field.ErrorList{field.Required(at.Child("lookBack"), "say how far into the past recent goes, such as 30m")}
	}
	if lookBack, err := time.ParseDuration(string(g.LookBack)); err == nil {
		compiled.LookBack = lookBack
	} // what is no duration is the caller's to refuse; without one recent has no value
	return compiled, nil
}

// reads says whether one of the expressions reads a variable.
func (g *Guard) reads(name string) bool {
	return g.condition.reads(name) || g.message != nil && g.message.reads(name)
}

func (p *program) reads(name string) bool { return slices.Contains(p.names, name) }

// namesIn are the names that a checked expression refers to.
func namesIn(tree *ast.AST) []string {
	var names []string
	for _, reference := range tree.ReferenceMap() {
		if reference.Name != "" && !slices.Contains(names, reference.Name) {
			names = append(names, reference.Name)
		}
	}
	slices.Sort(names)
	return slices.Clip(names)
}

// compile makes a program of an expression that must give a type.
func compile(expression string, want *cel.Type, most int) (program, error) {
	l, err := loadLanguage()
	if err != nil {
		return program{}, err
	}
	if n := utf8.RuneCountInString(expression); n > most {
		return program{}, fmt.Errorf("is %d characters long, and may be %d", n, most)
	}
	checked, err := check(l.env, expression)
	if err != nil {
		return program{}, err
	}
	if got := checked.OutputType(); !got.IsExactType(want) {
		return program{}, typeError(got, want)
	}
	tree := checked.NativeRep()
	plan, err := l.plan(tree)
	if err != nil {
		return program{}, err
	}
	return program{text: expression, tree: ast.NewAST(tree.Expr(), tree.SourceInfo()), plan: plan, names: namesIn(tree)}, nil
}

// check parses an expression and finds its types. What would take very long to check is refused first.
func check(env *cel.Env, expression string) (*cel.Ast, error) {
	if n := strings.Count(expression, "optMap") + strings.Count(expression, "optFlatMap"); n > maxDoubling {
		return nil, fmt.Errorf("uses optMap or optFlatMap %d times, and may do so %d times", n, maxDoubling)
	}
	parsed, issues := env.Parse(expression)
	if issues.Err() != nil {
		return nil, issuesError(issues.Errors())
	}
	if n := nesting(ast.NavigateAST(parsed.NativeRep())); n > maxNesting {
		return nil, fmt.Errorf("nests loops, lists and maps %d deep, and may do so %d deep", n, maxNesting)
	}
	checked, issues := env.Check(parsed)
	if issues.Err() != nil {
		return nil, issuesError(issues.Errors())
	}
	return checked, nil
}

// nesting is how many loops, lists and maps stand within each other.
func nesting(e ast.NavigableExpr) int {
	most := 0
	for _, child := range e.Children() {
		most = max(most, nesting(child))
	}
	switch e.Kind() { //nolint:exhaustive // the others do not nest types
	case ast.ComprehensionKind, ast.ListKind, ast.MapKind:
		most++
	}
	return most
}

// typeError says what the expression gives instead, and how to come by what it must give.
func typeError(got, want *cel.Type) error {
	hint := ""
	switch {
	case want.IsExactType(cel.StringType):
		hint = ": convert it with string(...)"
	case got.IsExactType(cel.DynType):
		hint = ": compare the value, such as object.spec.suspend == true"
	}
	name := strings.ToLower(strings.TrimPrefix(got.String(), "google.protobuf."))
	return fmt.Errorf("must give %s, but gives %s%s", want, name, hint)
}

// maxIssues bounds how many problems of one expression are told: the first ones cause the others.
const maxIssues = 4

// issuesError puts problems on one line, each with its position.
func issuesError(issues []*common.Error) error {
	var texts []string
	for _, issue := range issues[:min(len(issues), maxIssues)] {
		text := issueText(issue.Message)
		if issue.Location.Line() > 0 {
			text = position(issue.Location) + ": " + text
		}
		texts = append(texts, text)
	}
	if strings.Contains(strings.Join(texts, ""), "undeclared reference") {
		texts = append(texts, "the variables are "+variableNames)
	}
	if more := len(issues) - maxIssues; more > 0 {
		texts = append(texts, fmt.Sprintf("and %d more", more))
	}
	return fmt.Errorf("%s", strings.Join(texts, "; "))
}

// position counts lines and columns from 1.
func position(l common.Location) string {
	return fmt.Sprintf("line %d, column %d", l.Line(), l.Column()+1)
}

// maxIssue bounds the text of one problem, in characters: the parser lists every token that it would have liked.
const maxIssue = 240

func issueText(message string) string {
	message = strings.ReplaceAll(strings.Join(strings.Fields(message), " "), " (in container '')", "")
	return legible.Line(message, maxIssue)
}

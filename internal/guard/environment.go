package guard

import (
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/functions"
	"github.com/google/cel-go/interpreter"
	"k8s.io/apimachinery/pkg/util/version"
	apiservercel "k8s.io/apiserver/pkg/cel"
	"k8s.io/apiserver/pkg/cel/environment"
)

// The variables of expressions.
const (
	varObject    = "object"
	varOldObject = "oldObject"
	varRequest   = "request"
	varNamespace = "namespaceObject"
	varChanges   = "changes"
	varTask      = "task"
	varNow       = "now"
	varRecent    = "recent"

	// varMeter is not a variable: no expression can spell it. The calls of functions find the meter by it.
	varMeter = "@meter"
)

// variableNames are what an expression may use, for messages.
const variableNames = "object, oldObject, request, namespaceObject, changes, task, now and recent"

// dialect is the version of Kubernetes whose CEL libraries guards have. What it reads is the same on every cluster.
var dialect = version.MajorMinor(1, 37)

// language is what every expression is compiled in.
type language struct {
	env *cel.Env
	// operators are the implementations of functions, by overload and by name.
	operators map[string]*functions.Overload
	// planner makes checked expressions ready to run.
	planner interpreter.Interpreter
}

// loadLanguage builds the language on first use, because it takes milliseconds.
var loadLanguage = sync.OnceValues(newLanguage)

func newLanguage() (*language, error) {
	env, err := newEnvironment(nil)
	if err != nil {
		return nil, err
	}
	operators, err := operatorsOf(env)
	if err != nil {
		return nil, err
	}
	dispatcher := interpreter.NewDispatcher()
	if err := dispatcher.Add(slices.Collect(maps.Values(operators))...); err != nil {
		return nil, fmt.Errorf("building the environment of guards: %w", err)
	}
	provider, values := env.CELTypeProvider(), env.CELTypeAdapter()
	attributes := interpreter.NewAttributeFactory(env.Container, values, provider)
	planner := interpreter.NewInterpreter(dispatcher, env.Container, provider, values, attributes)
	return &language{env: env, operators: operators, planner: planner}, nil
}

// newEnvironment declares the variables. Object is the type of object and oldObject, nil for any.
func newEnvironment(object *apiservercel.DeclType) (*cel.Env, error) {
	base := environment.MustBaseEnvSet(dialect) // panics on an invalid version only, and this one is a constant
	request, namespace, change, entry := requestType(), namespaceType(), changeType(), entryType()
	declared := []*apiservercel.DeclType{request, namespace, change, entry}
	content := cel.DynType
	if object != nil {
		declared, content = append(declared, object), object.CelType()
	}
	extended, err := base.Extend(
		environment.VersionedOptions{
			IntroducedVersion: version.MajorMinor(1, 0),
			DeclTypes:         declared,
			EnvOptions: []cel.EnvOption{
				cel.Variable(varObject, content),
				cel.Variable(varOldObject, content),
				cel.Variable(varRequest, request.CelType()),
				cel.Variable(varNamespace, namespace.CelType()),
				cel.Variable(varChanges, cel.ListType(change.CelType())),
				cel.Variable(varTask, cel.StringType),
				cel.Variable(varNow, cel.TimestampType),
				cel.Variable(varRecent, cel.ListType(entry.CelType())),
			},
		},
		environment.StrictCostOpt,
	)
	if err != nil {
		return nil, fmt.Errorf("building the environment of guards: %w", err)
	}
	// Stored expressions may use everything that any version knows: a policy must go on to compile.
	env, err := extended.StoredExpressionsEnv().Extend(cel.CustomTypeAdapter(adapter{}))
	if err != nil {
		return nil, fmt.Errorf("building the environment of guards: %w", err)
	}
	return env, nil
}

func operatorsOf(env *cel.Env) (map[string]*functions.Overload, error) {
	operators := map[string]*functions.Overload{}
	for name, function := range env.Functions() {
		bindings, err := function.Bindings()
		if err != nil {
			return nil, fmt.Errorf("reading the function %s of guards: %w", name, err)
		}
		for _, b := range bindings {
			operators[b.Operator] = b
		}
	}
	return operators, nil
}

// fieldsOf declares fields by name.
func fieldsOf(types map[string]*apiservercel.DeclType) map[string]*apiservercel.DeclField {
	fields := make(map[string]*apiservercel.DeclField, len(types))
	for name, t := range types {
		fields[name] = apiservercel.NewDeclField(name, t, false, nil, nil)
	}
	return fields
}

func objectType(name string, fields map[string]*apiservercel.DeclType) *apiservercel.DeclType {
	return apiservercel.NewObjectType("countersign."+name, fieldsOf(fields))
}

// requestType declares what of an AdmissionRequest is known in normal form. The rest, such as requestKind, does not
// compile: an expression that reads it would be about something that the normal form has done away with.
func requestType() *apiservercel.DeclType {
	text := apiservercel.StringType
	return objectType("Request", map[string]*apiservercel.DeclType{
		"operation": text, "subResource": text, "name": text, "namespace": text, "dryRun": apiservercel.BoolType,
		"kind": objectType("GroupVersionKind", map[string]*apiservercel.DeclType{
			"group": text, "version": text, "kind": text,
		}),
		"resource": objectType("GroupVersionResource", map[string]*apiservercel.DeclType{
			"group": text, "version": text, "resource": text,
		}),
		"userInfo": objectType("UserInfo", map[string]*apiservercel.DeclType{
			"username": text, "uid": text, "groups": apiservercel.NewListType(text, -1),
		}),
		"options": apiservercel.DynType,
	})
}

// namespaceType declares what is known of the namespace: its name and labels.
func namespaceType() *apiservercel.DeclType {
	return objectType("Namespace", map[string]*apiservercel.DeclType{
		"metadata": objectType("NamespaceMetadata", map[string]*apiservercel.DeclType{
			"name": apiservercel.StringType, "labels": apiservercel.NewMapType(apiservercel.StringType, apiservercel.StringType, -1),
		}),
	})
}

// changeType declares an element of changes. From and to are absent where there is no value.
func changeType() *apiservercel.DeclType {
	return objectType("Change", map[string]*apiservercel.DeclType{
		"path": apiservercel.StringType, "from": apiservercel.DynType, "to": apiservercel.DynType,
	})
}

// entryType declares an element of recent.
func entryType() *apiservercel.DeclType {
	text := apiservercel.StringType
	return objectType("Entry", map[string]*apiservercel.DeclType{
		"time": apiservercel.TimestampType, "operation": text, "group": text, "resource": text, "subResource": text,
		"namespace": text, "name": text, "task": text,
	})
}

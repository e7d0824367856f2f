package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/action"
	"github.com/countersign-dev/countersign/internal/policytest"
	"github.com/countersign-dev/countersign/internal/rehearsal"
)

// question is what somebody wants to know.
type question struct {
	*canIOptions
	verb string
	// kind and name of the target, empty where files say it.
	kind, name string
	namespace  string
	manifests  []map[string]any
	notes      []string
}

// verbs are those that can be asked about, with the subresource that they are about.
var verbs = map[string]struct {
	operation   v1alpha1.Operation
	subresource string
}{
	"create": {v1alpha1.OperationCreate, ""}, "update": {v1alpha1.OperationUpdate, ""}, "patch": {v1alpha1.OperationUpdate, ""},
	"edit": {v1alpha1.OperationUpdate, ""}, "apply": {"", ""}, "delete": {v1alpha1.OperationDelete, ""},
	"evict": {v1alpha1.OperationCreate, "eviction"}, "scale": {v1alpha1.OperationUpdate, "scale"},
	"exec": {v1alpha1.OperationConnect, "exec"}, "attach": {v1alpha1.OperationConnect, "attach"},
	"port-forward": {v1alpha1.OperationConnect, "portforward"}, "proxy": {v1alpha1.OperationConnect, "proxy"},
}

func (o *canIOptions) question(args []string) (*question, error) {
	q := &question{canIOptions: o, verb: args[0]}
	if _, known := verbs[q.verb]; !known {
		return nil, usageError{fmt.Errorf("%q is none of the verbs create, update, apply, delete, evict, scale, exec, attach, "+
			"port-forward and proxy", q.verb)}
	}
	switch target := args[1:]; len(target) {
	case 1:
		kind, name, ok := strings.Cut(target[0], "/")
		if !ok || kind == "" || name == "" {
			return nil, usageError{fmt.Errorf("write the target as TYPE/NAME, such as deploy/web, not %q", target[0])}
		}
		q.kind, q.name = kind, name
	case 2:
		q.kind, q.name = target[0], target[1]
	default: // files say it
	}
	for _, file := range o.files {
		objects, err := policytest.ReadObjects(file)
		if err != nil {
			return nil, usageError{err}
		}
		q.manifests = append(q.manifests, objects...)
	}
	var err error
	if q.namespace, err = o.Namespace(); err != nil {
		return nil, err
	}
	if err := q.check(); err != nil {
		return nil, err
	}
	return q, nil
}

// check finds what is missing or too much.
func (q *question) check() error {
	edits := len(q.set)+len(q.unset) > 0
	switch {
	case q.kind == "" && len(q.manifests) == 0:
		return usageError{errors.New("say what the action is about: TYPE/NAME, or objects with -f")}
	case (q.verb == "create" || q.verb == "apply") && len(q.manifests) == 0:
		return usageError{fmt.Errorf("%s: give the objects with -f", q.verb)}
	case verbs[q.verb].operation == v1alpha1.OperationUpdate && verbs[q.verb].subresource == "" && (len(q.manifests) == 0) == !edits:
		return usageError{fmt.Errorf("%s: say what is to be, with -f or with --set and --unset", q.verb)}
	case q.verb == "scale" && q.replicas < 0:
		return usageError{errors.New("scale: give --replicas")}
	}
	return nil
}

// target is one object that the question is about.
type target struct {
	resource  schema.GroupVersionResource
	kind      schema.GroupVersionKind
	namespace string
	name      string
	manifest  map[string]any
}

// acts are what would be done, one for each object.
func (q *question) acts(ctx context.Context, j *judge) ([]*rehearsal.Act, error) {
	targets, err := q.targets(j)
	if err != nil {
		return nil, err
	}
	var acts []*rehearsal.Act
	for i := range targets {
		act, err := q.act(ctx, j, &targets[i])
		if err != nil {
			return nil, err
		}
		acts = append(acts, act)
	}
	return acts, nil
}

func (q *question) targets(j *judge) ([]target, error) {
	if q.kind == "" {
		var all []target
		for _, manifest := range q.manifests {
			u := &unstructured.Unstructured{Object: manifest}
			t := target{kind: u.GroupVersionKind(), namespace: u.GetNamespace(), name: u.GetName(), manifest: manifest}
			mapping, err := j.mapper.RESTMapping(t.kind.GroupKind(), t.kind.Version)
			if err != nil {
				return nil, fmt.Errorf("finding out what a %s is: %w", t.kind.Kind, err)
			}
			t.resource = mapping.Resource
			all = append(all, t)
		}
		return all, nil
	}
	t := target{name: q.name}
	kind := strings.ToLower(q.kind)
	resource, err := j.mapper.ResourceFor(schema.ParseGroupResource(kind).WithVersion(""))
	if err != nil {
		return nil, fmt.Errorf("the cluster has no resource %q: write it as kubectl does, such as deploy or deployments.apps", q.kind)
	}
	if t.kind, err = j.mapper.KindFor(resource); err != nil {
		return nil, fmt.Errorf("finding out what kind %s are: %w", q.kind, err)
	}
	t.resource = resource
	fits := slices.DeleteFunc(slices.Clone(q.manifests), func(o map[string]any) bool {
		u := &unstructured.Unstructured{Object: o}
		return u.GroupVersionKind().GroupKind() != t.kind.GroupKind() || u.GetName() != t.name
	})
	if len(q.manifests) > 0 && len(fits) != 1 {
		return nil, usageError{fmt.Errorf("-f: %d of %d objects are %s/%s", len(fits), len(q.manifests), q.kind, q.name)}
	}
	if len(fits) == 1 {
		t.manifest, t.namespace = fits[0], (&unstructured.Unstructured{Object: fits[0]}).GetNamespace()
	}
	return []target{t}, nil
}

// act is what would be done to one object.
func (q *question) act(ctx context.Context, j *judge, t *target) (*rehearsal.Act, error) {
	facts, err := j.cluster.Kinds.Facts(t.resource.Group, t.resource.Resource)
	if err != nil {
		return nil, err
	}
	v := verbs[q.verb]
	act := &rehearsal.Act{
		Operation: v.operation, Subresource: v.subresource, Resource: t.resource.GroupResource(), Kind: facts, Name: t.name,
		Options: map[string]any{},
	}
	if facts.Namespaced {
		if act.Namespace = t.namespace; act.Namespace == "" {
			act.Namespace = q.namespace
		}
	} else if t.resource.GroupResource() == (schema.GroupResource{Resource: "namespaces"}) {
		act.Namespace = t.name // as the API server does
	}
	if q.grace >= 0 {
		act.Options["gracePeriodSeconds"] = q.grace
	}
	if err := q.fill(ctx, j, act, t); err != nil {
		return nil, err
	}
	return act, nil
}

// fill reads the object as it is, and makes what is to be.
func (q *question) fill(ctx context.Context, j *judge, act *rehearsal.Act, t *target) (err error) {
	live := func() (map[string]any, error) { return j.live(ctx, act, t) }
	switch {
	case q.verb == "apply":
		act.Operation = v1alpha1.OperationUpdate
		if act.Old, err = live(); apierrors.IsNotFound(err) {
			act.Operation, act.New = v1alpha1.OperationCreate, t.manifest
			return nil
		}
	case act.Operation == v1alpha1.OperationUpdate:
		if act.Subresource == "scale" { // where a custom resource keeps its number, its definition says
			facts, err := j.cluster.Facts(ctx, action.Request{
				Operation: act.Operation, Group: act.Resource.Group, Version: act.Kind.PreferredVersion, Resource: act.Resource.Resource,
				Subresource: act.Subresource, Namespace: act.Namespace, Name: act.Name,
			})
			if err != nil {
				return err
			}
			act.Kind = facts.Kind
		}
		act.Old, err = live()
	case act.Operation == v1alpha1.OperationDelete:
		act.Options["propagationPolicy"] = string(metav1.DeletePropagationBackground) // as kubectl sends
		act.Old, err = live()
		return err
	case act.Operation == v1alpha1.OperationCreate && act.Subresource == "":
		act.New = t.manifest
		return nil
	default:
		return nil
	}
	if err != nil {
		return err
	}
	act.New, err = q.updated(act, t)
	return err
}

// updated is the object as it is to be.
func (q *question) updated(act *rehearsal.Act, t *target) (map[string]any, error) {
	switch {
	case act.Subresource == "scale":
		return map[string]any{"spec": map[string]any{"replicas": q.replicas}}, nil
	case len(q.set)+len(q.unset) > 0:
		set := map[string]json.RawMessage{}
		for _, s := range q.set {
			path, value, ok := cutSet(s)
			if !ok {
				return nil, usageError{fmt.Errorf("--set %s: write PATH=VALUE", s)}
			}
			set[path] = value
		}
		edited, err := policytest.Edit((&unstructured.Unstructured{Object: act.Old}).DeepCopy().Object, set, q.unset)
		if err != nil {
			return nil, usageError{err}
		}
		return edited, nil
	case q.replace:
		return t.manifest, nil
	default:
		manifest := (&unstructured.Unstructured{Object: t.manifest}).DeepCopy()
		manifest.SetNamespace(act.Namespace)
		if !act.Kind.Namespaced {
			manifest.SetNamespace("")
		}
		return rehearsal.Apply(act.Old, manifest.Object)
	}
}

// cutSet takes PATH=VALUE apart. The path may hold = within brackets.
func cutSet(text string) (path string, value json.RawMessage, ok bool) {
	depth := 0
	for i, r := range text {
		switch {
		case r == '[':
			depth++
		case r == ']':
			depth--
		case r == '=' && depth == 0:
			value = json.RawMessage(text[i+1:])
			if !json.Valid(value) { // text that is no JSON stands for itself
				quoted, err := json.Marshal(text[i+1:])
				return text[:i], quoted, err == nil
			}
			return text[:i], value, i > 0
		}
	}
	return "", nil, false
}

// live reads the object as it is.
func (j *judge) live(ctx context.Context, act *rehearsal.Act, t *target) (map[string]any, error) {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(schema.GroupVersionKind{Group: t.kind.Group, Version: act.Kind.PreferredVersion, Kind: act.Kind.Kind})
	key := client.ObjectKey{Name: act.Name}
	if act.Kind.Namespaced {
		key.Namespace = act.Namespace
	}
	if err := j.reader.Get(ctx, key, u); err != nil {
		return nil, fmt.Errorf("reading %s %s: %w", act.Resource, key, err)
	}
	return u.Object, nil
}

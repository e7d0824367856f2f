package policytest

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/internal/catalogue"
	"github.com/countersign-dev/countersign/internal/rehearsal"
)

// world is what the cluster of a case holds. It implements client.Reader, so that intake reads it as it reads a cluster.
type world struct {
	kinds   catalogue.Table
	objects map[objectKey]map[string]any
}

type objectKey struct {
	schema.GroupKind
	namespace, name string
}

// newWorld takes objects in; of two of the same kind and name the later one counts.
func newWorld(kinds catalogue.Table, objects []map[string]any) (*world, error) {
	w := &world{kinds: kinds, objects: make(map[objectKey]map[string]any, len(objects))}
	for _, object := range objects {
		if err := w.add(object); err != nil {
			return nil, err
		}
	}
	return w, nil
}

// add stores an object as the API server would: with a UID, a version, and in a namespace where its kind has them.
func (w *world) add(given map[string]any) error {
	u := &unstructured.Unstructured{Object: runtime.DeepCopyJSON(given)}
	kind := u.GroupVersionKind().GroupKind()
	if kind.Kind == "" || u.GetName() == "" {
		return errors.New("an object among objects has no kind or no name")
	}
	resource, err := w.kinds.Resource(kind.Group, kind.Kind)
	if err != nil {
		return fmt.Errorf("%s %s: %w; declare it in kinds, or give its CustomResourceDefinition", kind, u.GetName(), err)
	}
	facts, err := w.kinds.Facts(kind.Group, resource)
	if err != nil {
		return err
	}
	switch {
	case !facts.Namespaced:
		u.SetNamespace("")
	case u.GetNamespace() == "":
		u.SetNamespace(metav1.NamespaceDefault)
	}
	if kind == namespaceKind {
		labels := u.GetLabels()
		if labels == nil {
			labels = map[string]string{}
		}
		labels[nameLabel] = u.GetName()
		u.SetLabels(labels)
	}
	rehearsal.FoldSecret(u.Object)
	if u.GetUID() == "" {
		u.SetUID(stableUID(kind, u.GetNamespace(), u.GetName()))
	}
	if u.GetResourceVersion() == "" {
		u.SetResourceVersion("1")
	}
	w.objects[objectKey{kind, u.GetNamespace(), u.GetName()}] = u.Object
	return nil
}

var namespaceKind = schema.GroupKind{Kind: "Namespace"}

// nameLabel is what the API server puts on every namespace.
const nameLabel = "kubernetes.io/metadata.name"

// find is an object as it is stored, nil where there is none. A namespace is there whether it is declared or not, with
// the one label that every namespace has.
func (w *world) find(key objectKey) map[string]any {
	if object := w.objects[key]; object != nil {
		return object
	}
	if key.GroupKind == namespaceKind && key.name != "" {
		return map[string]any{
			"apiVersion": "v1", "kind": "Namespace",
			"metadata": map[string]any{
				"name": key.name, "uid": rehearsal.StableUID("Namespace", "", key.name), "labels": map[string]any{nameLabel: key.name},
			},
		}
	}
	return nil
}

// uid is that of an object as it is stored, empty where there is none.
func (w *world) uid(resource schema.GroupResource, namespace, name string) string {
	facts, err := w.kinds.Facts(resource.Group, resource.Resource)
	if err != nil {
		return "" // it was something else that is not there any more
	}
	u := unstructured.Unstructured{Object: w.find(objectKey{schema.GroupKind{Group: resource.Group, Kind: facts.Kind}, namespace, name})}
	return string(u.GetUID())
}

// Get reads an object.
func (w *world) Get(_ context.Context, key client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	kind := into.GetObjectKind().GroupVersionKind().GroupKind()
	if kind.Kind == "" { // a typed object: intake asks for definitions only
		kind = schema.GroupKind{Group: definitionsGroup, Kind: "CustomResourceDefinition"}
	}
	found := w.find(objectKey{kind, key.Namespace, key.Name})
	if found == nil {
		return notAmong(kind, key)
	}
	if u, ok := into.(*unstructured.Unstructured); ok {
		u.Object = runtime.DeepCopyJSON(found)
		return nil
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(found, into); err != nil {
		return fmt.Errorf("reading %s %s: %w", kind, key, err)
	}
	return nil
}

// List is there because a Reader has it: nothing that is judged depends on a list.
func (w *world) List(context.Context, client.ObjectList, ...client.ListOption) error {
	return errors.New("listing objects of a test: nothing does")
}

// notAmong says that an object is not there, in a way that tests for absence understand.
func notAmong(kind schema.GroupKind, key client.ObjectKey) error {
	err := apierrors.NewNotFound(schema.GroupResource{Group: kind.Group, Resource: kind.Kind}, key.String())
	err.ErrStatus.Message = fmt.Sprintf("%s %s is not among the objects of the test", kind.Kind, key)
	return err
}

// specReplicasPath is where the definition among the objects, if there is one, says that a kind keeps its number.
func (w *world) specReplicasPath(resource schema.GroupResource, version string) (string, bool) {
	crd := w.objects[objectKey{schema.GroupKind{Group: definitionsGroup, Kind: "CustomResourceDefinition"}, "", resource.String()}]
	versions, _, err := unstructured.NestedSlice(crd, "spec", "versions")
	if err != nil {
		return "", false
	}
	for _, v := range versions {
		if one, ok := v.(map[string]any); ok && one["name"] == version {
			path, found, err := unstructured.NestedString(one, "subresources", "scale", "specReplicasPath")
			return path, found && err == nil
		}
	}
	return "", false
}

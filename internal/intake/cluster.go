package intake

import (
	"context"
	"fmt"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/internal/action"
	"github.com/countersign-dev/countersign/internal/policy"
)

// Kinds knows what the API server serves. An error means that it does not serve that, or that this is not known.
type Kinds interface {
	// Facts says what is known about a resource.
	Facts(group, resource string) (action.KindFacts, error)
	// Resource says which resource a kind is.
	Resource(group, kind string) (string, error)
}

// Namespaces knows namespaces, each as it was at most a moment ago.
type Namespaces interface {
	// Labels are those of a namespace, which nobody must change, and whether it is known.
	Labels(name string) (map[string]string, bool)
}

// Cluster reads the few facts about the cluster that a decision needs.
type Cluster struct {
	// Kinds knows what the API server serves.
	Kinds Kinds
	// Live reads from the API server: targets must not be stale.
	Live client.Reader
	// Namespaces are asked before Live is. Nil: there are none in memory.
	Namespaces Namespaces
}

// Facts reads what the normal form of a request needs.
func (c *Cluster) Facts(ctx context.Context, r action.Request) (action.Facts, error) {
	kind, err := c.Kinds.Facts(r.Group, r.Resource)
	if err != nil {
		return action.Facts{}, err
	}
	facts := action.Facts{Kind: kind}
	need := r.Need()
	if !need.Target {
		return facts, nil
	}
	if facts.Target, err = c.target(ctx, need); err != nil {
		return action.Facts{}, err
	}
	if r.Subresource == "scale" {
		facts.Kind.SpecReplicasPath, err = c.specReplicasPath(ctx, r)
	}
	return facts, err
}

// target reads one object live.
func (c *Cluster) target(ctx context.Context, n action.Need) (map[string]any, error) {
	kind, err := c.Kinds.Facts(n.Group, n.Resource)
	if err != nil {
		return nil, err
	}
	version := n.Version
	if version == "" {
		version = kind.PreferredVersion
	}
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(schema.GroupVersionKind{Group: n.Group, Version: version, Kind: kind.Kind})
	if err := c.Live.Get(ctx, client.ObjectKey{Namespace: n.Namespace, Name: n.Name}, object); err != nil {
		return nil, fmt.Errorf("reading %s %s/%s: %w", n.Resource, n.Namespace, n.Name, err)
	}
	return object.Object, nil
}

// specReplicasPath reads from the custom resource definition where a kind keeps its number of replicas. Built-in
// kinds, whose groups have no definition, keep it in .spec.replicas.
func (c *Cluster) specReplicasPath(ctx context.Context, r action.Request) (string, error) {
	if builtIn(r.Group) {
		return "", nil
	}
	crd := &apiextensionsv1.CustomResourceDefinition{}
	if err := c.Live.Get(ctx, client.ObjectKey{Name: r.Resource + "." + r.Group}, crd); err != nil {
		return "", fmt.Errorf("reading the definition of %s.%s: %w", r.Resource, r.Group, err)
	}
	for i := range crd.Spec.Versions {
		v := &crd.Spec.Versions[i]
		if v.Name == r.Version && v.Subresources != nil && v.Subresources.Scale != nil {
			return v.Subresources.Scale.SpecReplicasPath, nil
		}
	}
	return "", fmt.Errorf("reading the definition of %s.%s: version %s has no scale subresource", r.Resource, r.Group, r.Version)
}

// builtIn says that a group belongs to the API server itself: the core group and those without a dot; the built-in
// groups with one end in .k8s.io and have no kind with a scale subresource.
func builtIn(group string) bool { return !strings.Contains(group, ".") }

// BoundRole is the role that an action gives somebody by a binding, nil where it gives none. That there is no such role
// so far is an error: what it will grant is not known, and RBAC itself refuses that to most.
func (c *Cluster) BoundRole(ctx context.Context, a *action.Action) (map[string]any, error) {
	ref, binds := policy.RoleOf(a)
	if !binds {
		return nil, nil
	}
	return c.target(ctx, action.Need{
		Target: true, Group: rbacv1.GroupName, Resource: ref.Resource, Namespace: ref.Namespace, Name: ref.Name,
	})
}

// NamespaceLabels are the labels of the namespace that an action is in: empty, not nil, for one without labels, and
// nil where the action is in none.
func (c *Cluster) NamespaceLabels(ctx context.Context, a *action.Action) (map[string]string, error) {
	if !a.Namespaced || a.Namespace == "" {
		return nil, nil
	}
	var labels map[string]string
	known := false
	if c.Namespaces != nil {
		labels, known = c.Namespaces.Labels(a.Namespace)
	}
	if !known {
		namespace := &metav1.PartialObjectMetadata{}
		namespace.SetGroupVersionKind(schema.GroupVersionKind{Version: "v1", Kind: "Namespace"})
		if err := c.Live.Get(ctx, client.ObjectKey{Name: a.Namespace}, namespace); err != nil {
			return nil, fmt.Errorf("reading namespace %s: %w", a.Namespace, err)
		}
		labels = namespace.Labels
	}
	if labels == nil {
		return map[string]string{}, nil
	}
	return labels, nil
}

// Scaled are the workloads that an action has a controller scale, with their labels. What kind a target is, and its
// labels, count for tasks that are about them only: where they cannot be known, these do not cover it.
func (c *Cluster) Scaled(ctx context.Context, a *action.Action) ([]policy.Workload, error) {
	var workloads []policy.Workload
	for _, t := range a.ScaleTargets() {
		w := policy.Workload{Kind: t.Kind, Name: t.Name}
		if version, err := schema.ParseGroupVersion(t.APIVersion); err == nil {
			w.Group = version.Group
		}
		resource, err := c.Kinds.Resource(w.Group, w.Kind)
		if err == nil {
			w.Resource = resource
			w.Labels, err = c.labels(ctx, action.Need{Group: w.Group, Resource: w.Resource, Namespace: a.Namespace, Name: w.Name})
			if err != nil {
				return nil, err
			}
		}
		workloads = append(workloads, w)
	}
	return workloads, nil
}

// labels reads those of an object live: nil where it is not there, or where the operator may not look.
func (c *Cluster) labels(ctx context.Context, n action.Need) (map[string]string, error) {
	live, err := c.target(ctx, n)
	switch {
	case apierrors.IsNotFound(err), apierrors.IsForbidden(err):
		return nil, nil
	case err != nil:
		return nil, err
	}
	labels := (&unstructured.Unstructured{Object: live}).GetLabels()
	if labels == nil {
		labels = map[string]string{}
	}
	return labels, nil
}

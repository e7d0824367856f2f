package rehearsal

import (
	"errors"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/countersign-dev/countersign/internal/action"
)

// scaleKind is that of every scale subresource.
var scaleKind = schema.GroupVersionKind{Group: "autoscaling", Version: "v1", Kind: "Scale"}

// ScaleOf is the Scale that the scale subresource of an object shows.
func ScaleOf(parent map[string]any, k action.KindFacts) map[string]any {
	old, metadata := metadataOf(parent), map[string]any{}
	for _, name := range []string{"name", "namespace", "uid", "resourceVersion", "creationTimestamp"} {
		take(metadata, old, name)
	}
	scale := withKind(map[string]any{"metadata": metadata, "spec": map[string]any{}}, scaleKind.GroupVersion().String(), scaleKind.Kind)
	if replicas, ok, err := unstructured.NestedInt64(parent, replicasPath(k)...); err == nil && ok && replicas != 0 {
		scale["spec"] = map[string]any{"replicas": replicas} // 0 is left out
	}
	return scale
}

func replicasPath(k action.KindFacts) []string {
	if k.SpecReplicasPath == "" {
		return []string{"spec", "replicas"}
	}
	return strings.Split(strings.TrimPrefix(k.SpecReplicasPath, "."), ".")
}

// scale has New as a Scale; Old is the parent.
func (a *Act) scale() (parts, error) {
	if a.Old == nil || a.New == nil {
		return parts{}, errors.New("an UPDATE of a scale needs the object as it is, and the number that is to be")
	}
	p, err := a.plain(a.Old)
	if err != nil {
		return parts{}, err
	}
	p.kind, p.oldObject = scaleKind, ScaleOf(a.Old, a.Kind)
	p.object = withKind(a.New, scaleKind.GroupVersion().String(), scaleKind.Kind)
	metadata := metadataOf(p.object)
	for name := range metadataOf(p.oldObject) {
		take(metadata, metadataOf(p.oldObject), name)
	}
	return p, nil
}

// connectKinds are the kinds of the options of what clients connect to.
var connectKinds = map[string]string{
	"pods/exec": "PodExecOptions", "pods/attach": "PodAttachOptions", "pods/portforward": "PodPortForwardOptions",
	"pods/proxy": "PodProxyOptions", "services/proxy": "ServiceProxyOptions", "nodes/proxy": "NodeProxyOptions",
}

func (a *Act) connect() (parts, error) {
	kind := connectKinds[a.Resource.Resource+"/"+a.Subresource]
	if kind == "" || a.Resource.Group != "" {
		return parts{}, fmt.Errorf("nothing connects to %s/%s: a CONNECT is for exec, attach, portforward and proxy of pods, "+
			"and for proxy of services and nodes", a.Resource, a.Subresource)
	}
	return parts{
		kind: schema.GroupVersionKind{Version: "v1", Kind: kind}, version: a.Kind.PreferredVersion,
		object: withKind(a.Options, "v1", kind),
	}, nil
}

// createdKinds are the kinds that are created as subresources.
var createdKinds = map[string]schema.GroupVersionKind{
	"pods/eviction":         {Group: "policy", Version: "v1", Kind: "Eviction"},
	"pods/binding":          {Version: "v1", Kind: "Binding"},
	"serviceaccounts/token": {Group: "authentication.k8s.io", Version: "v1", Kind: "TokenRequest"},
}

func (a *Act) createSubresource() (parts, error) {
	kind, known := createdKinds[a.Resource.Resource+"/"+a.Subresource]
	if !known || a.Resource.Group != "" {
		return parts{}, fmt.Errorf("nothing is created as %s/%s: that is for pods/eviction, pods/binding and serviceaccounts/token",
			a.Resource, a.Subresource)
	}
	object := withKind(a.New, kind.GroupVersion().String(), kind.Kind)
	if a.Subresource == "eviction" && len(a.Options) > 0 {
		object["deleteOptions"] = a.Options
	}
	metadata := metadataOf(object)
	a.place(metadata)
	return parts{kind: kind, version: a.Kind.PreferredVersion, object: object}, nil
}

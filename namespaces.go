package main

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
)

// namespaces implements intake.Namespaces. They are read out of an informer's memory, without the way through a client.Reader:
// almost every review asks for one.
type namespaces struct{ held toolscache.Store }

// watchNamespaces has a cache watch all namespaces, once it is started.
func watchNamespaces(ctx context.Context, from cache.Cache) (*namespaces, error) {
	namespace := &metav1.PartialObjectMetadata{}
	namespace.SetGroupVersionKind(schema.GroupVersionKind{Version: "v1", Kind: "Namespace"})
	watching, err := from.GetInformer(ctx, namespace, cache.BlockUntilSynced(false))
	if err != nil {
		return nil, fmt.Errorf("watching namespaces: %w", err)
	}
	informer, ok := watching.(toolscache.SharedIndexInformer)
	if !ok {
		return nil, fmt.Errorf("watching namespaces: %T is not an informer that can be read", watching)
	}
	return &namespaces{informer.GetStore()}, nil
}

// Labels implements intake.Namespaces.
func (n *namespaces) Labels(name string) (map[string]string, bool) {
	held, _, err := n.held.GetByKey(name)
	namespace, known := held.(*metav1.PartialObjectMetadata)
	if err != nil || !known {
		return nil, false
	}
	return namespace.Labels, true
}

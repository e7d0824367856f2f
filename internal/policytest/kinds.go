package policytest

import (
	"fmt"
	"slices"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	apiversion "k8s.io/apimachinery/pkg/version"

	"github.com/countersign-dev/countersign/internal/action"
	"github.com/countersign-dev/countersign/internal/catalogue"
)

const definitionsGroup = "apiextensions.k8s.io"

// kindsOf are the built-in kinds, those that a suite declares, and those of the definitions among the objects.
func kindsOf(declared []CustomKind, objects []map[string]any) (catalogue.Table, error) {
	table, err := catalogue.BuiltIn()
	if err != nil {
		return nil, err
	}
	for i, k := range declared {
		if k.Group == "" || k.Version == "" || k.Kind == "" || k.Resource == "" {
			return nil, fmt.Errorf("kinds[%d]: group, version, kind and resource must be given", i)
		}
		table[schema.GroupResource{Group: k.Group, Resource: k.Resource}] = action.KindFacts{
			Kind: k.Kind, Namespaced: !k.ClusterScoped, PreferredVersion: k.Version, HasStatus: k.Status,
		}
	}
	for _, object := range objects {
		if object["kind"] != "CustomResourceDefinition" {
			continue
		}
		crd := &apiextensionsv1.CustomResourceDefinition{}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object, crd); err != nil {
			return nil, fmt.Errorf("reading a CustomResourceDefinition: %w", err)
		}
		key, facts := factsOf(crd)
		table[key] = facts
	}
	return table, nil
}

// factsOf is what the API server says about the kind of a definition. It prefers the version that is the most mature.
func factsOf(crd *apiextensionsv1.CustomResourceDefinition) (schema.GroupResource, action.KindFacts) {
	facts := action.KindFacts{Kind: crd.Spec.Names.Kind, Namespaced: crd.Spec.Scope != apiextensionsv1.ClusterScoped}
	versions := slices.Clone(crd.Spec.Versions)
	slices.SortStableFunc(versions, func(a, b apiextensionsv1.CustomResourceDefinitionVersion) int {
		return apiversion.CompareKubeAwareVersionStrings(b.Name, a.Name)
	})
	for _, v := range versions {
		if v.Served {
			facts.PreferredVersion = v.Name
			facts.HasStatus = v.Subresources != nil && v.Subresources.Status != nil
			break
		}
	}
	return schema.GroupResource{Group: crd.Spec.Group, Resource: crd.Spec.Names.Plural}, facts
}

// definitionOf is what intake reads of the definition of a declared kind: where it keeps the number of its scale.
func definitionOf(k CustomKind) map[string]any {
	version := map[string]any{"name": k.Version, "served": true}
	if k.SpecReplicasPath != "" {
		version["subresources"] = map[string]any{"scale": map[string]any{"specReplicasPath": k.SpecReplicasPath}}
	}
	return map[string]any{
		"apiVersion": definitionsGroup + "/v1", "kind": "CustomResourceDefinition",
		"metadata": map[string]any{"name": k.Resource + "." + k.Group},
		"spec": map[string]any{
			"group": k.Group, "names": map[string]any{"kind": k.Kind, "plural": k.Resource}, "versions": []any{version},
		},
	}
}

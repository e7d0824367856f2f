package definitions

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// Extended says whether a live definition lets objects have fields that the one that this program was built with does not
// know: it is that of a later version. The metadata are Kubernetes' own, and the status is written by Countersign alone.
func Extended(live, want *apiextensionsv1.CustomResourceDefinition) bool {
	for i := range live.Spec.Versions {
		if i >= len(want.Spec.Versions) {
			return true
		}
		l, w := live.Spec.Versions[i].Schema, want.Spec.Versions[i].Schema
		if l == nil || w == nil || l.OpenAPIV3Schema == nil || w.OpenAPIV3Schema == nil {
			continue // one without a schema is not as it was installed, which says more
		}
		if extended(withoutStatus(l.OpenAPIV3Schema), withoutStatus(w.OpenAPIV3Schema)) {
			return true
		}
	}
	return false
}

// Later says whether a live object is a definition that is extended. Of what cannot be read, Problem says more.
func Later(object *unstructured.Unstructured, want *apiextensionsv1.CustomResourceDefinition) bool {
	if want == nil {
		return false
	}
	live, err := definitionOf(object)
	return err == nil && Extended(live, want)
}

func withoutStatus(s *apiextensionsv1.JSONSchemaProps) *apiextensionsv1.JSONSchemaProps {
	c := *s
	c.Properties = maps.Clone(s.Properties)
	delete(c.Properties, "metadata")
	delete(c.Properties, "status")
	return &c
}

func extended(live, want *apiextensionsv1.JSONSchemaProps) bool {
	for name := range live.Properties {
		w, known := want.Properties[name]
		if l := live.Properties[name]; !known || extended(&l, &w) {
			return true
		}
	}
	for _, below := range [][2]*apiextensionsv1.JSONSchemaProps{
		{itemsOf(live), itemsOf(want)}, {valuesOf(live), valuesOf(want)},
	} {
		if l, w := below[0], below[1]; l != nil && (w == nil || extended(l, w)) {
			return true
		}
	}
	return false
}

func itemsOf(s *apiextensionsv1.JSONSchemaProps) *apiextensionsv1.JSONSchemaProps {
	if s.Items == nil {
		return nil
	}
	return s.Items.Schema
}

func valuesOf(s *apiextensionsv1.JSONSchemaProps) *apiextensionsv1.JSONSchemaProps {
	if s.AdditionalProperties == nil {
		return nil
	}
	return s.AdditionalProperties.Schema
}

// Decode reads an object into one of Countersign's types, and names the fields that it has and the type does not, sorted,
// such as "spec.tasks[0].quota": whoever decodes as ever drops these without a word. Those of the metadata do not count,
// which are Kubernetes' own.
func Decode(object map[string]any, into any) (unknown []string, err error) {
	err = runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(object, into, true)
	strict, ok := runtime.AsStrictDecodingError(err)
	switch {
	case err == nil:
		return nil, nil
	case !ok:
		return nil, fmt.Errorf("decoding: %w", err)
	}
	for _, err := range strict.Errors() {
		field := strings.Trim(strings.TrimPrefix(err.Error(), "unknown field "), `"`)
		if !strings.HasPrefix(field, "metadata.") {
			unknown = append(unknown, field)
		}
	}
	return unknown, nil
}

// OutsideStatus are the fields without those of the status: it tells what other versions of Countersign have found, which
// nothing depends on. It uses the memory of the list.
func OutsideStatus(fields []string) []string {
	return slices.DeleteFunc(fields, func(f string) bool { return strings.HasPrefix(f, "status.") })
}

// Package definitions watches over what Countersign's own kinds rest on: their resource definitions, and the APIService
// that says who serves them. Whoever changes these can forge approvals and make up policies.
package definitions

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

// Difference says what of a live definition does not hold that holds of the one that this program was built with, or is
// empty. A live one may be stricter and have more fields: so it is while a new version is rolled out. How it is shown and
// described is left alone.
func Difference(live, want *apiextensionsv1.CustomResourceDefinition) string {
	l, w := &live.Spec, &want.Spec
	switch {
	case live.DeletionTimestamp != nil:
		return "it is being deleted"
	case l.Group != w.Group || l.Names.Kind != w.Names.Kind || l.Names.Plural != w.Names.Plural || l.Names.ListKind != w.Names.ListKind:
		return "its names differ"
	case l.Scope != w.Scope:
		return "its scope is " + string(l.Scope)
	case l.PreserveUnknownFields:
		return "it keeps unknown fields"
	case l.Conversion != nil && l.Conversion.Strategy != apiextensionsv1.NoneConverter:
		return "it is converted by a webhook"
	case len(l.Versions) != len(w.Versions):
		return fmt.Sprintf("it has %d versions", len(l.Versions))
	}
	for i := range w.Versions {
		if d := versionDifference(&l.Versions[i], &w.Versions[i]); d != "" {
			return "version " + w.Versions[i].Name + ": " + d
		}
	}
	if !established(live) {
		return "it is not served"
	}
	return ""
}

func established(crd *apiextensionsv1.CustomResourceDefinition) bool {
	return slices.ContainsFunc(crd.Status.Conditions, func(c apiextensionsv1.CustomResourceDefinitionCondition) bool {
		return c.Type == apiextensionsv1.Established && c.Status == apiextensionsv1.ConditionTrue
	})
}

func versionDifference(live, want *apiextensionsv1.CustomResourceDefinitionVersion) string {
	switch {
	case live.Name != want.Name:
		return "it is called " + live.Name
	case live.Served != want.Served || live.Storage != want.Storage:
		return "it is not served or not stored"
	case (live.Subresources == nil || live.Subresources.Status == nil) != (want.Subresources == nil || want.Subresources.Status == nil):
		return "the status subresource is missing"
	case live.Schema == nil || live.Schema.OpenAPIV3Schema == nil:
		return "it has no schema"
	}
	return schemaDifference("", live.Schema.OpenAPIV3Schema, want.Schema.OpenAPIV3Schema)
}

// schemaDifference compares what restricts values, and goes down into what both have.
func schemaDifference(path string, live, want *apiextensionsv1.JSONSchemaProps) string {
	at := cmp.Or(path, "the object")
	if d := ownDifference(at, live, want); d != "" {
		return d
	}
	for _, name := range slices.Sorted(maps.Keys(want.Properties)) {
		l, ok := live.Properties[name]
		if !ok {
			return path + "." + name + " is missing"
		}
		w := want.Properties[name]
		if d := schemaDifference(path+"."+name, &l, &w); d != "" {
			return d
		}
	}
	if want.Items != nil && want.Items.Schema != nil {
		if live.Items == nil || live.Items.Schema == nil {
			return at + " does not say what its items are"
		}
		if d := schemaDifference(path+"[*]", live.Items.Schema, want.Items.Schema); d != "" {
			return d
		}
	}
	if want.AdditionalProperties != nil && want.AdditionalProperties.Schema != nil {
		if live.AdditionalProperties == nil || live.AdditionalProperties.Schema == nil {
			return at + " does not say what its values are"
		}
		return schemaDifference(path+"[*]", live.AdditionalProperties.Schema, want.AdditionalProperties.Schema)
	}
	return ""
}

// ownDifference compares one level of a schema. Whatever is not named below is compared as a whole.
func ownDifference(at string, live, want *apiextensionsv1.JSONSchemaProps) string {
	for _, rule := range want.XValidations {
		same := func(r apiextensionsv1.ValidationRule) bool {
			return r.Rule == rule.Rule && reflect.DeepEqual(r.OptionalOldSelf, rule.OptionalOldSelf)
		}
		if !slices.ContainsFunc(live.XValidations, same) {
			return at + " lacks the rule " + rule.Rule
		}
	}
	for _, name := range want.Required {
		if !slices.Contains(live.Required, name) {
			return at + " does not require " + name
		}
	}
	for _, value := range want.Enum {
		if !slices.ContainsFunc(live.Enum, func(v apiextensionsv1.JSON) bool { return string(v.Raw) == string(value.Raw) }) {
			return at + " does not take " + string(value.Raw)
		}
	}
	if len(want.Enum) == 0 != (len(live.Enum) == 0) {
		return at + " takes other values"
	}
	if !reflect.DeepEqual(rest(live), rest(want)) {
		return at + " has other limits"
	}
	return ""
}

// rest is a level of a schema without what is compared otherwise or does not restrict anything.
func rest(s *apiextensionsv1.JSONSchemaProps) *apiextensionsv1.JSONSchemaProps {
	c := *s
	c.Description, c.Title, c.Example, c.ExternalDocs = "", "", nil, nil
	c.Properties, c.Items, c.AdditionalProperties = nil, nil, nil
	c.XValidations, c.Required, c.Enum = nil, nil, nil
	return &c
}

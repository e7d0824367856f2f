package action

import (
	"regexp"
)

// zone is what a place in an object is to secrecy.
type zone int

const (
	zonePlain zone = iota
	// zoneRoot is an object, zoneSecretRoot a Secret, zoneMetadata the metadata of either.
	zoneRoot
	zoneSecretRoot
	zoneMetadata
	// zoneSecretData holds the data of a Secret.
	zoneSecretData
	// zoneAnnotations holds annotations, of the object or of a template within it.
	zoneAnnotations
	// zoneEnvironment holds environment variables: a list of objects, of texts, or a map. zoneVariable is one of them.
	zoneEnvironment
	zoneVariable
	// zoneSecret is a secret value, with whatever it holds.
	zoneSecret
)

// secretAnnotation matches annotations whose values count as secret.
var secretAnnotation = regexp.MustCompile(`(?i)token|secret|password|passwd|credential|private-?key|api-?key`)

// rootZone is where the content of the action begins.
func (a *Action) rootZone() zone {
	if isSecret(a.Group, a.Resource) {
		return zoneSecretRoot
	}
	return zoneRoot
}

func isSecret(group, resource string) bool {
	return group == "" && resource == "secrets"
}

// field is the zone of a field of a map.
func (z zone) field(name string) zone {
	switch {
	case z == zoneSecret || z == zoneSecretData || z == zoneEnvironment:
		return zoneSecret
	case z == zoneSecretRoot && (name == "data" || name == "stringData"):
		return zoneSecretData
	case (z == zoneRoot || z == zoneSecretRoot) && name == "metadata":
		return zoneMetadata
	case z == zoneMetadata && name == "managedFields":
		return zoneSecret
	case z == zoneVariable && name == "value":
		return zoneSecret
	case z == zoneAnnotations:
		if name == lastAppliedKey || secretAnnotation.MatchString(name) {
			return zoneSecret
		}
		return zonePlain
	case name == "annotations":
		return zoneAnnotations
	case name == "env":
		return zoneEnvironment
	default:
		return zonePlain
	}
}

// element is the zone of an element of a list.
func (z zone) element() zone {
	switch z {
	case zoneSecret, zoneSecretData:
		return zoneSecret
	case zoneEnvironment:
		return zoneVariable
	default:
		return zonePlain
	}
}

// hides says whether a value that stands in the zone is secret as a whole.
func (z zone) hides(v any) bool {
	_, isMap := v.(map[string]any)
	switch z {
	case zoneSecret:
		return true
	case zoneSecretData, zoneVariable:
		return !isMap
	default:
		return false
	}
}

// under is the zone of what stands at a path.
func (z zone) under(path Path) zone {
	for _, segment := range path {
		if len(segment.Keys) > 0 {
			z = z.element()
		} else {
			z = z.field(segment.Field)
		}
	}
	return z
}

// holdsSecret says whether a value in the zone is secret or holds something that is.
func (z zone) holdsSecret(v any) bool {
	if z.hides(v) {
		return true
	}
	switch v := v.(type) {
	case map[string]any:
		for key, below := range v {
			if z.field(key).holdsSecret(below) {
				return true
			}
		}
	case []any:
		for _, element := range v {
			if z.element().holdsSecret(element) {
				return true
			}
		}
	}
	return false
}

// Redacted says whether the change holds values that are secret: the data of a Secret, the values of environment
// variables, annotations that are secret by their name, what was last applied, and managedFields.
func (a *Action) Redacted(c Change) bool {
	z := a.rootZone().under(c.Path)
	return c.From.Present && z.holdsSecret(c.From.V) || c.To.Present && z.holdsSecret(c.To.V)
}

// redacted is what stands for a secret value.
const redacted = "***"

// Redact returns a copy of content of the action, Old or New, in which *** stands for every secret value. What holds
// none is shared with the content.
func (a *Action) Redact(content map[string]any) map[string]any {
	if content == nil {
		return nil
	}
	object, _ := a.rootZone().redact(content).(map[string]any)
	return object
}

// RedactChange returns the change with *** for every secret value.
func (a *Action) RedactChange(c Change) Change {
	z := a.rootZone().under(c.Path)
	c.From.V, c.To.V = z.redact(c.From.V), z.redact(c.To.V)
	return c
}

func (z zone) redact(v any) any {
	if z.hides(v) {
		return redacted
	}
	switch v := v.(type) {
	case map[string]any:
		object := make(map[string]any, len(v))
		for key, below := range v {
			object[key] = z.field(key).redact(below)
		}
		return object
	case []any:
		list := make([]any, len(v))
		for i, element := range v {
			list[i] = z.element().redact(element)
		}
		return list
	default:
		return v
	}
}

// Render gives the values of a change as JSON text for people: "***" for every secret value, at most maxRendered
// characters, empty where the value is absent. What cannot be printed is escaped.
func (a *Action) Render(c Change) (from, to string) {
	z := a.rootZone().under(c.Path)
	return render(z, c.From), render(z, c.To)
}

// maxRendered bounds a rendered value in characters, as the custom resource does.
const maxRendered = 512

func render(z zone, v Value) string {
	if !v.Present {
		return ""
	}
	w := writer{limit: maxRendered, printable: true, secret: func(w *writer, _ any) { w.text(redacted) }}
	w.value(z, v.V)
	return w.cut()
}

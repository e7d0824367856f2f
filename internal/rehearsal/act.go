// Package rehearsal makes the review that the API server would send for an action that nobody has tried yet: with what the
// API server itself fills in, keeps and leaves out. What is judged of it is then the same as of the real one.
//
// Two things it does not do: values that the API server sets by default are not filled in, and other webhooks are not
// asked what they would change.
package rehearsal

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/action"
)

// Act is what somebody would do, as a client asks for it.
type Act struct {
	// Operation is CREATE, UPDATE, DELETE or CONNECT.
	Operation v1alpha1.Operation
	// Resource and Subresource as in the path of the request.
	Resource    schema.GroupResource
	Subresource string
	// Kind is what is known about the resource.
	Kind action.KindFacts
	// Namespace and Name of the object. The namespace is empty for what is in none, the name where it is generated.
	Namespace, Name string
	// Old is the object as it is. New is the object as it is to be; of a scale the Scale, of a CONNECT nil.
	Old, New map[string]any
	// Options are those of a DELETE, an eviction or a CONNECT, without kind.
	Options map[string]any
	// DryRun says that nothing would be stored.
	DryRun bool
	// Actor is who acts, At when.
	Actor authenticationv1.UserInfo
	At    time.Time
}

// Review is the request of the review that the API server would send. An error says what the act lacks.
func (a *Act) Review() (*admissionv1.AdmissionRequest, error) {
	parts, err := a.parts()
	if err != nil {
		return nil, err
	}
	r := &admissionv1.AdmissionRequest{
		UID:         stableUID("review", string(a.Operation), a.Resource.String(), a.Namespace, a.Name),
		Kind:        metav1.GroupVersionKind{Group: parts.kind.Group, Version: parts.kind.Version, Kind: parts.kind.Kind},
		Resource:    metav1.GroupVersionResource{Group: a.Resource.Group, Version: parts.version, Resource: a.Resource.Resource},
		SubResource: a.Subresource, Namespace: a.Namespace, Name: a.Name,
		Operation: admissionv1.Operation(a.Operation), UserInfo: a.Actor, DryRun: &a.DryRun,
	}
	for part, content := range map[*runtime.RawExtension]map[string]any{
		&r.Object: parts.object, &r.OldObject: parts.oldObject, &r.Options: parts.options,
	} {
		if content == nil {
			continue
		}
		if part.Raw, err = json.Marshal(content); err != nil {
			return nil, fmt.Errorf("writing the review: %w", err)
		}
	}
	return r, nil
}

// parts are those of a review that depend on what is done.
type parts struct {
	// kind of the object in the review, version of the resource.
	kind                       schema.GroupVersionKind
	version                    string
	object, oldObject, options map[string]any
}

func (a *Act) parts() (parts, error) {
	switch {
	case a.Operation == v1alpha1.OperationConnect:
		return a.connect()
	case a.Operation == v1alpha1.OperationCreate && a.Subresource == "":
		return a.create()
	case a.Operation == v1alpha1.OperationCreate:
		return a.createSubresource()
	case a.Operation == v1alpha1.OperationUpdate && a.Subresource == "scale":
		return a.scale()
	case a.Operation == v1alpha1.OperationUpdate:
		return a.update()
	case a.Operation == v1alpha1.OperationDelete:
		return a.delete()
	default:
		return parts{}, fmt.Errorf("the operation is CREATE, UPDATE, DELETE or CONNECT, not %q", string(a.Operation))
	}
}

func (a *Act) create() (parts, error) {
	if a.New == nil {
		return parts{}, errors.New("a CREATE needs the object that is to be")
	}
	p, err := a.plain(a.New)
	if err != nil {
		return parts{}, err
	}
	object := deepCopy(a.New)
	FoldSecret(object)
	metadata := metadataOf(object)
	for _, name := range []string{"resourceVersion", "selfLink", "deletionTimestamp", "managedFields"} {
		delete(metadata, name)
	}
	if prefix, _ := metadata["generateName"].(string); prefix != "" && a.Name == "" {
		a.Name = prefix + "h2x9k"
	}
	a.place(metadata)
	metadata["uid"] = string(stableUID("create", a.Resource.String(), a.Namespace, a.Name))
	metadata["creationTimestamp"] = a.At.UTC().Format(time.RFC3339)
	if a.Kind.HasStatus {
		delete(object, "status")
	}
	p.object = object
	return p, nil
}

// keptByServer are fields of metadata that no update changes.
var keptByServer = []string{
	"uid", "creationTimestamp", "resourceVersion", "generation", "managedFields", "deletionTimestamp", "generateName",
}

func (a *Act) update() (parts, error) {
	if a.Old == nil || a.New == nil {
		return parts{}, errors.New("an UPDATE needs the object as it is, and as it is to be")
	}
	p, err := a.plain(a.New)
	if err != nil {
		return parts{}, err
	}
	updated, old := deepCopy(a.New), metadataOf(a.Old)
	FoldSecret(updated)
	metadata := metadataOf(updated)
	a.place(metadata)
	for _, name := range keptByServer {
		take(metadata, old, name)
	}
	switch {
	case a.Subresource == "status":
		status, has := updated["status"]
		updated = deepCopy(a.Old)
		delete(updated, "status")
		if has {
			updated["status"] = status
		}
	case a.Kind.HasStatus && a.Subresource == "":
		take(updated, a.Old, "status")
	}
	p.object, p.oldObject = updated, a.Old
	return p, nil
}

// take makes a field what it is in another object.
func take(to, from map[string]any, name string) {
	if v, has := from[name]; has {
		to[name] = v
	} else {
		delete(to, name)
	}
}

func (a *Act) delete() (parts, error) {
	if a.Old == nil {
		return parts{}, errors.New("a DELETE needs the object that goes")
	}
	p, err := a.plain(a.Old)
	if err != nil {
		return parts{}, err
	}
	p.oldObject = a.Old
	p.options = withKind(a.Options, "meta.k8s.io/v1", "DeleteOptions")
	return p, nil
}

// plain is a review in the version in which the object is written.
func (a *Act) plain(object map[string]any) (parts, error) {
	version, kind := a.Kind.PreferredVersion, a.Kind.Kind
	if text, _ := object["apiVersion"].(string); text != "" {
		written, err := schema.ParseGroupVersion(text)
		if err != nil {
			return parts{}, fmt.Errorf("reading apiVersion: %w", err)
		}
		if written.Group != a.Resource.Group {
			return parts{}, fmt.Errorf("the object is of group %q, and %s is not", written.Group, a.Resource)
		}
		version = written.Version
	}
	if text, _ := object["kind"].(string); text != kind {
		return parts{}, fmt.Errorf("the object is a %q, and %s are of kind %s", text, a.Resource, kind)
	}
	return parts{kind: schema.GroupVersionKind{Group: a.Resource.Group, Version: version, Kind: kind}, version: version}, nil
}

// FoldSecret writes the stringData of a Secret into its data, as the API server does. Other objects stay as they are.
func FoldSecret(object map[string]any) {
	text, ok := object["stringData"].(map[string]any)
	if !ok || object["kind"] != "Secret" || object["apiVersion"] != "v1" {
		return
	}
	data, ok := object["data"].(map[string]any)
	if !ok {
		data = map[string]any{}
		object["data"] = data
	}
	for key, value := range text {
		if plain, ok := value.(string); ok {
			data[key] = base64.StdEncoding.EncodeToString([]byte(plain))
		}
	}
	delete(object, "stringData")
}

// place writes name and namespace of the request.
func (a *Act) place(metadata map[string]any) {
	if a.Name != "" {
		metadata["name"] = a.Name
	}
	if a.Kind.Namespaced {
		metadata["namespace"] = a.Namespace
	} else {
		delete(metadata, "namespace")
	}
}

func deepCopy(object map[string]any) map[string]any { return runtime.DeepCopyJSON(object) }

// metadataOf is the metadata of an object, made where there is none.
func metadataOf(object map[string]any) map[string]any {
	metadata, ok := object["metadata"].(map[string]any)
	if !ok {
		metadata = map[string]any{}
		object["metadata"] = metadata
	}
	return metadata
}

func withKind(content map[string]any, apiVersion, kind string) map[string]any {
	object := deepCopy(content)
	if object == nil {
		object = map[string]any{}
	}
	object["apiVersion"], object["kind"] = apiVersion, kind
	return object
}

// stableUID is the same UID for the same words.
func stableUID(words ...string) types.UID { return types.UID(StableUID(words...)) }

package intake

import (
	"strings"

	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/countersign-dev/countersign/internal/action"
)

// ReadReview reads the request of an AdmissionReview of v1 in the form in which API servers send it. It takes one pass,
// where a codec takes several through objects of which it keeps the text only; what it returns is what a codec would.
//
// Of any other form it returns false, and says nothing about it: a member that it does not know, or one of another type, a
// key twice, no JSON at all. Then a codec must read the review, or say what is wrong with it. The objects of the request
// share memory with the body. They come decoded as well, where they can be.
func ReadReview(body []byte) (*admissionv1.AdmissionRequest, action.Decoded, bool) {
	review, err := action.DecodeReview(body)
	if err != nil || len(review) != 3 || review["apiVersion"] != "admission.k8s.io/v1" || review["kind"] != "AdmissionReview" {
		return nil, action.Decoded{}, false
	}
	members, isObject := review["request"].(map[string]any)
	if !isObject {
		return nil, action.Decoded{}, false
	}
	f := form{known: true}
	request := f.request(members)
	return request, f.decoded, f.known
}

// form reads parts of a review. What it returns counts only while known is true.
type form struct {
	known   bool
	decoded action.Decoded
}

// as returns a value of the type that it should have.
func as[T any](f *form, v any) T {
	typed, ok := v.(T)
	f.known = f.known && ok
	return typed
}

// text returns a copy: the part of the body that others keep must not keep all of it in memory.
func (f *form) text(v any) string { return strings.Clone(as[string](f, v)) }

func (f *form) request(members map[string]any) *admissionv1.AdmissionRequest {
	r := &admissionv1.AdmissionRequest{}
	for key, v := range members {
		switch key {
		case "uid":
			r.UID = types.UID(f.text(v))
		case "kind":
			r.Kind = f.kind(v)
		case "resource":
			r.Resource = f.resource(v)
		case "subResource":
			r.SubResource = f.text(v)
		case "requestKind":
			r.RequestKind = new(f.kind(v))
		case "requestResource":
			r.RequestResource = new(f.resource(v))
		case "requestSubResource":
			r.RequestSubResource = f.text(v)
		case "name":
			r.Name = f.text(v)
		case "namespace":
			r.Namespace = f.text(v)
		case "operation":
			r.Operation = admissionv1.Operation(f.text(v))
		case "userInfo":
			r.UserInfo = f.user(v)
		case "object":
			r.Object, f.decoded.Object = f.carried(v)
		case "oldObject":
			r.OldObject, f.decoded.OldObject = f.carried(v)
		case "dryRun":
			r.DryRun = new(as[bool](f, v))
		case "options":
			r.Options, _ = f.carried(v)
		default:
			f.known = false
		}
	}
	return r
}

func (f *form) carried(v any) (runtime.RawExtension, map[string]any) {
	carried := as[action.Carried](f, v)
	if string(carried.Raw) == "null" {
		return runtime.RawExtension{}, nil
	}
	return runtime.RawExtension{Raw: carried.Raw}, carried.Object
}

func (f *form) kind(v any) metav1.GroupVersionKind {
	group, version, kind := f.coordinates(v, "kind")
	return metav1.GroupVersionKind{Group: group, Version: version, Kind: kind}
}

func (f *form) resource(v any) metav1.GroupVersionResource {
	group, version, resource := f.coordinates(v, "resource")
	return metav1.GroupVersionResource{Group: group, Version: version, Resource: resource}
}

// coordinates reads a group, a version, and what of them is called by the key.
func (f *form) coordinates(v any, key string) (group, version, what string) {
	for member, v := range as[map[string]any](f, v) {
		switch member {
		case "group":
			group = f.text(v)
		case "version":
			version = f.text(v)
		case key:
			what = f.text(v)
		default:
			f.known = false
		}
	}
	return group, version, what
}

func (f *form) user(v any) (user authenticationv1.UserInfo) {
	for key, v := range as[map[string]any](f, v) {
		switch key {
		case "username":
			user.Username = f.text(v)
		case "uid":
			user.UID = f.text(v)
		case "groups":
			user.Groups = f.texts(v)
		case "extra":
			extra := as[map[string]any](f, v)
			user.Extra = make(map[string]authenticationv1.ExtraValue, len(extra))
			for name, values := range extra {
				user.Extra[strings.Clone(name)] = f.texts(values)
			}
		default:
			f.known = false
		}
	}
	return user
}

func (f *form) texts(v any) []string {
	list := as[[]any](f, v)
	texts := make([]string, len(list))
	for i := range list {
		texts[i] = f.text(list[i])
	}
	return texts
}

package policytest

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/policy"
	"github.com/countersign-dev/countersign/internal/rehearsal"
)

func stableUID(kind schema.GroupKind, namespace, name string) types.UID {
	return types.UID(rehearsal.StableUID("object", kind.String(), namespace, name))
}

// user is the actor as the API server would authenticate them.
func (a *Actor) user() (authenticationv1.UserInfo, error) {
	if a == nil {
		return authenticationv1.UserInfo{}, errors.New("actor: say who acts, in the case or for all of them")
	}
	username := a.Username
	if a.ServiceAccount != "" {
		namespace, name, ok := strings.Cut(a.ServiceAccount, "/")
		if !ok || namespace == "" || name == "" || a.Username != "" {
			return authenticationv1.UserInfo{}, errors.New("actor: write serviceAccount as namespace/name, or username, not both")
		}
		username = policy.ServiceAccountUsername(namespace, name)
	}
	if username == "" {
		return authenticationv1.UserInfo{}, errors.New("actor: write serviceAccount or username")
	}
	uid := a.UID
	if uid == "" {
		uid = rehearsal.StableUID("user", username)
	}
	u := rehearsal.User(username, uid, a.Groups...)
	u.Extra = map[string]authenticationv1.ExtraValue{}
	for key, value := range map[string]string{
		"authentication.kubernetes.io/pod-name": a.PodName, "authentication.kubernetes.io/pod-uid": a.PodUID,
		"authentication.kubernetes.io/credential-id": a.CredentialID,
	} {
		if value != "" {
			u.Extra[key] = authenticationv1.ExtraValue{value}
		}
	}
	return u, nil
}

// review is what arrives at admission in a case.
func (c *Case) review(in folder, w *world, actor *Actor, now time.Time) (*admissionv1.AdmissionRequest, error) {
	if c.Review != nil {
		return recorded(in, c.Review, actor)
	}
	user, err := actor.user()
	if err != nil {
		return nil, err
	}
	act, err := c.Action.act(in, w)
	if err != nil {
		return nil, err
	}
	act.Actor, act.At = user, now
	return act.Review()
}

// recorded reads an AdmissionReview. Who acts stands there, unless the case says somebody else.
func recorded(in folder, m *Manifest, actor *Actor) (*admissionv1.AdmissionRequest, error) {
	object, err := in.one(m, func(map[string]any) bool { return true })
	if err != nil {
		return nil, fmt.Errorf("review: %w", err)
	}
	text, err := json.Marshal(object)
	if err != nil {
		return nil, fmt.Errorf("review: %w", err)
	}
	review := admissionv1.AdmissionReview{}
	if err := json.Unmarshal(text, &review); err != nil {
		return nil, fmt.Errorf("review: %w", clearer(err))
	}
	if review.Kind != "AdmissionReview" || review.Request == nil {
		return nil, errors.New("review: not an AdmissionReview with a request")
	}
	if actor != nil {
		if review.Request.UserInfo, err = actor.user(); err != nil {
			return nil, err
		}
	}
	return review.Request, nil
}

// act is the action with what the test leaves to be found out.
func (a *Action) act(in folder, w *world) (*rehearsal.Act, error) {
	act := &rehearsal.Act{Operation: a.Operation, Namespace: a.Namespace, Name: a.Name, Options: a.Options, DryRun: a.DryRun}
	object, err := in.one(a.Object, a.fits(w))
	if err != nil {
		return nil, fmt.Errorf("object: %w", err)
	}
	act.New = object
	if err := a.identify(act, w); err != nil {
		return nil, err
	}
	switch a.Operation {
	case v1alpha1.OperationUpdate, v1alpha1.OperationDelete:
		if act.Old, err = a.old(in, w, act); err != nil {
			return nil, err
		}
	default: // what is wrong about others, Review says
	}
	if len(a.Set)+len(a.Unset) > 0 {
		if act.New, err = a.edited(act); err != nil {
			return nil, err
		}
	}
	return act, nil
}

// fits says whether an object of a file with several may be meant.
func (a *Action) fits(w *world) func(map[string]any) bool {
	return func(object map[string]any) bool {
		group, kind := groupKindOf(object)
		resource, err := w.kinds.Resource(group, kind)
		wanted, _ := parseResource(a.Resource)
		return (a.Resource == "" || err == nil && wanted == schema.GroupResource{Group: group, Resource: resource}) &&
			(a.Name == "" || a.Name == textAt(object, "metadata", "name"))
	}
}

// identify finds resource, namespace and name where the test leaves them to the object.
func (a *Action) identify(act *rehearsal.Act, w *world) (err error) {
	act.Resource, act.Subresource = parseResource(a.Resource)
	if a.Resource == "" {
		if act.New == nil {
			return errors.New("resource: say what the action is about, such as deployments.apps")
		}
		group, kind := groupKindOf(act.New)
		act.Resource.Group = group
		if act.Resource.Resource, err = w.kinds.Resource(group, kind); err != nil {
			return fmt.Errorf("object: %w; declare it in kinds", err)
		}
	}
	if act.Kind, err = w.kinds.Facts(act.Resource.Group, act.Resource.Resource); err != nil {
		return fmt.Errorf("resource: %w; write it as plural.group, and declare custom ones in kinds", err)
	}
	if crd, ok := w.specReplicasPath(act.Resource, act.Kind.PreferredVersion); ok {
		act.Kind.SpecReplicasPath = crd
	}
	if act.Name == "" && act.Subresource == "" {
		act.Name = textAt(act.New, "metadata", "name")
	}
	if act.Namespace == "" {
		act.Namespace = textAt(act.New, "metadata", "namespace")
	}
	switch {
	case !act.Kind.Namespaced:
		act.Namespace = ""
		if act.Resource == (schema.GroupResource{Resource: "namespaces"}) {
			act.Namespace = act.Name // as the API server does
		}
	case act.Namespace == "":
		act.Namespace = metav1.NamespaceDefault
	}
	if act.Name == "" && act.Operation != v1alpha1.OperationCreate {
		return errors.New("name: say what the object is called")
	}
	return nil
}

// old is the object as it is.
func (a *Action) old(in folder, w *world, act *rehearsal.Act) (map[string]any, error) {
	key := objectKey{schema.GroupKind{Group: act.Resource.Group, Kind: act.Kind.Kind}, act.Namespace, act.Name}
	if !act.Kind.Namespaced {
		key.namespace = ""
	}
	if a.OldObject != nil {
		given, err := in.one(a.OldObject, a.fits(w))
		if err != nil {
			return nil, fmt.Errorf("oldObject: %w", err)
		}
		placed := deepCopy(given)
		if metadata, ok := placed["metadata"].(map[string]any); ok && act.Kind.Namespaced {
			metadata["namespace"] = act.Namespace
		}
		if err := w.add(placed); err != nil {
			return nil, fmt.Errorf("oldObject: %w", err)
		}
	}
	old := w.find(key)
	if old == nil {
		return nil, fmt.Errorf("%s %s/%s is not among the objects: add it there, or write oldObject", act.Kind.Kind, act.Namespace, act.Name)
	}
	return old, nil
}

// edited is the old object with the edits: for a scale that is the Scale.
func (a *Action) edited(act *rehearsal.Act) (map[string]any, error) {
	switch {
	case a.Operation != v1alpha1.OperationUpdate:
		return nil, errors.New("set and unset are for an UPDATE")
	case a.Object != nil:
		return nil, errors.New("write object, or set and unset, not both")
	}
	object := deepCopy(act.Old)
	if act.Subresource == "scale" {
		object = rehearsal.ScaleOf(deepCopy(act.Old), act.Kind)
	}
	return Edit(object, a.Set, a.Unset)
}

package webhooks

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/action"
	"github.com/countersign-dev/countersign/internal/approval"
)

// possible says whether the API server can have sent the review of an action, by what it tells of the agent and of the
// object. It is asked before anything is spent, opened, ended or noted for a review. Whoever can reach the operator and may
// not read these cannot know what a review must show; whoever may read them can forge one all the same, unless the API
// server has to prove who it is (Server.Clients). A new object cannot be looked up, nor one that the operator may not read.
func possible(ctx context.Context, live client.Reader, act *action.Action) (bool, error) {
	var account, object bool
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		account, err = possibleAccount(ctx, live, act.Actor)
		return err
	})
	group.Go(func() (err error) {
		object, err = possibleObject(ctx, live, act)
		return err
	})
	err := group.Wait()
	return account && object, err
}

// possibleAccount looks up whether a service account has the UID that a review says. The API server sends none with what
// somebody does who impersonates one.
func possibleAccount(ctx context.Context, live client.Reader, who action.Actor) (bool, error) {
	namespace, name, err := serviceaccount.SplitUsername(who.Username)
	if err != nil || who.UID == "" {
		return true, nil //nolint:nilerr // not a service account
	}
	stored := &metav1.PartialObjectMetadata{}
	stored.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("ServiceAccount"))
	switch err := live.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, stored); {
	case apierrors.IsNotFound(err):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("reading service account %s/%s: %w", namespace, name, err)
	}
	return string(stored.UID) == who.UID, nil
}

func possibleObject(ctx context.Context, live client.Reader, act *action.Action) (bool, error) {
	if !showsObject(act) {
		return true, nil
	}
	stored, err := storedObject(ctx, live, act)
	if apierrors.IsForbidden(err) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	return approval.Possible(act, stored), nil
}

// showsObject says whether a review shows the object of an action as it was stored, and nobody has read that otherwise.
func showsObject(act *action.Action) bool {
	return (act.Operation == v1alpha1.OperationUpdate || act.Operation == v1alpha1.OperationDelete) && act.Target == nil
}

// storedObject reads the object of an action from the API server, nil where it is not there.
func storedObject(ctx context.Context, live client.Reader, a *action.Action) (map[string]any, error) {
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(schema.GroupVersionKind{Group: a.Group, Version: a.Version, Kind: a.Kind})
	switch err := live.Get(ctx, client.ObjectKey{Namespace: a.Namespace, Name: a.Name}, object); {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("reading %s %s/%s: %w", a.Resource, a.Namespace, a.Name, err)
	}
	return object.Object, nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/hack/measure"
)

// named finds the approval that a refusal names.
var named = regexp.MustCompile(`approval=([a-z0-9-]+)/([a-z0-9.-]+)`)

// ask has an agent do what needs consent, until the refusal names the request that has been opened for it.
func ask(ctx context.Context, do func(context.Context) error) (client.ObjectKey, error) {
	var key client.ObjectKey
	err := measure.Wait(ctx, "consent is asked for", 2*time.Minute, func(ctx context.Context) error {
		err := do(ctx)
		if err == nil {
			return errors.New("it has been admitted")
		}
		found := named.FindStringSubmatch(err.Error())
		if found == nil {
			return fmt.Errorf("the answer names no approval: %w", err)
		}
		key = client.ObjectKey{Namespace: found[1], Name: found[2]}
		return nil
	})
	return key, err
}

// approve has a person consent. Where the API server is slow, it may have to be said twice.
func approve(ctx context.Context, person client.Client, key client.ObjectKey) error {
	return measure.Wait(ctx, "a person has approved", 2*time.Minute, func(ctx context.Context) error {
		request := &v1alpha1.ActionApproval{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}}
		return person.Patch(ctx, request, client.RawPatch(types.MergePatchType, []byte(`{"spec":{"decision":{"verdict":"Approve"}}}`)))
	})
}

// generate creates a ConfigMap whose name the API server makes up: each time is another object, and the same action.
func generate(ctx context.Context, c client.Client, namespace, prefix string) error {
	return c.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, GenerateName: prefix}})
}

// patient repeats a call that the API server could not answer in time.
func patient(ctx context.Context, what string, call func(context.Context) error) error {
	return measure.Wait(ctx, what, 2*time.Minute, func(ctx context.Context) error {
		if err := call(ctx); err != nil && !apierrors.IsAlreadyExists(err) {
			return err
		}
		return nil
	})
}

package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

const (
	approvalsResource = "actionapprovals"
	// pageSize is how many objects are read at a time: a person sees the first rows while the others are read.
	pageSize = 500
)

// approvals reads and writes ActionApprovals. Their group, version and resource are known, so that nothing has to be
// discovered first.
type approvals struct {
	rest   rest.Interface
	params runtime.ParameterCodec
}

// newScheme knows the kinds of Countersign.
func newScheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return nil, fmt.Errorf("registering the kinds: %w", err)
	}
	return scheme, nil
}

// approvals connects to nothing yet.
func (e *Environment) approvals() (*approvals, error) {
	config, err := e.RESTConfig()
	if err != nil {
		return nil, err
	}
	scheme, err := newScheme()
	if err != nil {
		return nil, err
	}
	config.GroupVersion, config.APIPath = &v1alpha1.GroupVersion, "/apis"
	config.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	client, err := rest.RESTClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("connecting: %w", err)
	}
	return &approvals{rest: client, params: runtime.NewParameterCodec(scheme)}, nil
}

// list reads the approvals of a namespace, or with "" of all, and hands over one page at a time.
func (a *approvals) list(
	ctx context.Context, namespace string, selector fields.Selector, page func(*v1alpha1.ActionApprovalList) error,
) error {
	options := metav1.ListOptions{Limit: pageSize, FieldSelector: selector.String()}
	for {
		var list v1alpha1.ActionApprovalList
		err := a.rest.Get().NamespaceIfScoped(namespace, namespace != "").Resource(approvalsResource).
			VersionedParams(&options, a.params).Do(ctx).Into(&list)
		if err != nil {
			return fmt.Errorf("listing approvals: %w", err)
		}
		options.Continue = list.Continue
		if err := page(&list); err != nil || options.Continue == "" {
			return err
		}
	}
}

// all reads all approvals of a namespace, or with "" of all, and the resourceVersion at which they were so.
func (a *approvals) all(ctx context.Context, namespace string, selector fields.Selector) ([]v1alpha1.ActionApproval, string, error) {
	var (
		all     []v1alpha1.ActionApproval
		version string
	)
	err := a.list(ctx, namespace, selector, func(page *v1alpha1.ActionApprovalList) error {
		all, version = append(all, page.Items...), page.ResourceVersion
		return nil
	})
	return all, version, err
}

func (a *approvals) get(ctx context.Context, namespace, name string) (*v1alpha1.ActionApproval, error) {
	found := &v1alpha1.ActionApproval{}
	err := a.rest.Get().Namespace(namespace).Resource(approvalsResource).Name(name).Do(ctx).Into(found)
	if err != nil {
		return nil, fmt.Errorf("reading approval %s/%s: %w", namespace, name, err)
	}
	identify(found)
	return found, nil
}

// watch tells what changes after a resourceVersion.
func (a *approvals) watch(ctx context.Context, namespace string, selector fields.Selector, version string) (watch.Interface, error) {
	options := metav1.ListOptions{
		Watch: true, ResourceVersion: version, FieldSelector: selector.String(), AllowWatchBookmarks: true,
	}
	w, err := a.rest.Get().NamespaceIfScoped(namespace, namespace != "").Resource(approvalsResource).
		VersionedParams(&options, a.params).Watch(ctx)
	if err != nil {
		return nil, fmt.Errorf("watching approvals: %w", err)
	}
	return w, nil
}

// create creates an approval of which only what the requester may say is set.
func (a *approvals) create(ctx context.Context, asked map[string]any, namespace string) (*v1alpha1.ActionApproval, error) {
	body, err := json.Marshal(asked)
	if err != nil {
		return nil, fmt.Errorf("writing the request: %w", err)
	}
	created := &v1alpha1.ActionApproval{}
	options := metav1.CreateOptions{FieldValidation: metav1.FieldValidationStrict}
	err = a.rest.Post().Namespace(namespace).Resource(approvalsResource).VersionedParams(&options, a.params).
		SetHeader("Content-Type", runtime.ContentTypeJSON).Body(body).Do(ctx).Into(created)
	if err != nil {
		return nil, fmt.Errorf("asking: %w", err)
	}
	identify(created)
	return created, nil
}

// patch merges fields into one approval: where of has a resourceVersion, into that state of it and no other. It fails with a
// conflict where the state, or the object, is another one by now.
func (a *approvals) patch(
	ctx context.Context, of *v1alpha1.ActionApproval, spec map[string]any, dryRun bool,
) (*v1alpha1.ActionApproval, error) {
	if of.UID == "" {
		return nil, errors.New("patching an approval that was not read before")
	}
	metadata := map[string]any{"uid": of.UID}
	if of.ResourceVersion != "" {
		metadata["resourceVersion"] = of.ResourceVersion
	}
	body, err := json.Marshal(map[string]any{"metadata": metadata, "spec": spec})
	if err != nil {
		return nil, fmt.Errorf("writing the patch: %w", err)
	}
	patched := &v1alpha1.ActionApproval{}
	options := metav1.PatchOptions{FieldValidation: metav1.FieldValidationStrict}
	if dryRun {
		options.DryRun = []string{metav1.DryRunAll}
	}
	err = a.rest.Patch(types.MergePatchType).Namespace(of.Namespace).Resource(approvalsResource).Name(of.Name).
		VersionedParams(&options, a.params).Body(body).Do(ctx).Into(patched)
	if err != nil {
		return nil, fmt.Errorf("patching approval %s/%s: %w", of.Namespace, of.Name, err)
	}
	identify(patched)
	return patched, nil
}

// identify puts back kind and version, which decoding drops, for those who print the object.
func identify(a *v1alpha1.ActionApproval) {
	a.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("ActionApproval"))
}

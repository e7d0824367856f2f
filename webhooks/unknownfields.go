package webhooks

import (
	"context"
	"fmt"
	"reflect"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/definitions"
)

// While a new version is rolled out, its definitions are there before its replicas. So objects may have fields that this
// replica does not know, and whatever decodes them as ever drops these: what restricts would be left out.

// read reads an approval live, and names the fields that it has and this version does not.
func (a *Approvals) read(ctx context.Context, key client.ObjectKey) (*v1alpha1.ActionApproval, []string, error) {
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("ActionApproval"))
	if err := a.Live.Get(ctx, key, object); err != nil {
		return nil, nil, err // unwrapped: whether there is none, the caller asks
	}
	live := &v1alpha1.ActionApproval{}
	unknown, err := definitions.Decode(object.Object, live)
	if err != nil {
		return nil, nil, fmt.Errorf("reading approval %s: %w", key, err)
	}
	return live, unknown, nil
}

// decodeStrictly reads an object of a review, and names the fields that it has and the type does not.
func decodeStrictly(raw []byte, into any) (unknown []string, err error) {
	var object map[string]any
	if err := json.Unmarshal(raw, &object); err != nil {
		return nil, fmt.Errorf("decoding: %w", err)
	}
	return definitions.Decode(object, into)
}

// unknownField says what is wrong with a field of an approval.
func unknownField(path string) *field.Error {
	return &field.Error{Type: field.ErrorTypeForbidden, Field: path, Detail: "this version of Countersign does not know the field: " +
		"try again when all replicas are of the version that does, or leave it out"}
}

// unknownFields are those of the policy under review that this version does not have.
func unknownFields(ctx context.Context) ([]string, error) {
	r, err := admission.RequestFromContext(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the policy as it is written: %w", err)
	}
	unknown, err := decodeStrictly(r.Object.Raw, &v1alpha1.AgentActionPolicy{})
	if err != nil {
		return nil, fmt.Errorf("reading the policy as it is written: %w", err)
	}
	return definitions.OutsideStatus(unknown), nil
}

// sameUnknownFields says whether an update of a policy leaves the fields alone that this version does not have: there are
// none, or the whole spec stays as it was.
func sameUnknownFields(ctx context.Context) (bool, error) {
	unknown, err := unknownFields(ctx)
	if err != nil || len(unknown) == 0 {
		return err == nil, err
	}
	r, err := admission.RequestFromContext(ctx)
	if err != nil {
		return false, fmt.Errorf("reading the policy as it is written: %w", err)
	}
	before, err := specIn(r.OldObject.Raw)
	if err != nil {
		return false, err
	}
	after, err := specIn(r.Object.Raw)
	return reflect.DeepEqual(before, after), err
}

func specIn(raw []byte) (any, error) {
	var object map[string]any
	if err := json.Unmarshal(raw, &object); err != nil {
		return nil, fmt.Errorf("decoding a policy: %w", err)
	}
	return object["spec"], nil
}

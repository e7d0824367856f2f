package webhooks

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/approval"
	"github.com/countersign-dev/countersign/internal/intake"
	"github.com/countersign-dev/countersign/internal/policy"
)

// clockTolerance is how far the stamp of a verdict may be from the time at which another replica looks at it.
const clockTolerance = 10 * time.Second

// ApprovalWebhook guards approvals: as the mutating webhook it records verdicts with the identity of whoever gives
// them, and as the validating one it sees to it that nothing else changes.
type ApprovalWebhook struct {
	// Approvals asks whether somebody may approve.
	Approvals *Approvals
	// Cluster tells the labels of the namespaces for which runs of tasks are asked for.
	Cluster *intake.Cluster
	// Self is whom the operator acts as.
	Self policy.Identity
}

// StampHandler is the mutating webhook.
func (w *ApprovalWebhook) StampHandler() admission.Handler { return admission.HandlerFunc(w.stamp) }

// ValidateHandler is the validating webhook.
func (w *ApprovalWebhook) ValidateHandler() admission.Handler {
	return admission.HandlerFunc(w.validate)
}

func (w *ApprovalWebhook) stamp(ctx context.Context, r admission.Request) admission.Response {
	old, updated, unknown, err := decodeBoth(&r)
	if err != nil {
		return admission.Errored(http.StatusBadRequest, err)
	}
	switch caller := w.caller(&r); {
	case r.SubResource == "" && !caller.Operator && len(unknown) > 0:
		return answer(unknown, updated.Name) // what is written below would lack them
	case r.Operation == admissionv1.Create && !caller.Operator:
		errs, err := w.stampCreate(ctx, &r, updated, caller)
		if err != nil {
			return admission.Errored(http.StatusInternalServerError, err)
		}
		if len(errs) > 0 {
			return answer(errs, updated.Name)
		}
	case r.Operation != admissionv1.Update || !approval.Stamp(old, updated, caller, w.Approvals.Clock.Now()):
		return admission.Allowed("")
	}
	stamped, err := json.Marshal(updated)
	if err != nil {
		return admission.Errored(http.StatusInternalServerError, err)
	}
	return admission.PatchResponseFromRaw(r.Object.Raw, stamped)
}

func (w *ApprovalWebhook) validate(ctx context.Context, r admission.Request) admission.Response {
	old, updated, unknown, err := decodeBoth(&r)
	if err != nil {
		return admission.Errored(http.StatusBadRequest, err)
	}
	caller := w.caller(&r)
	if r.SubResource == "" && !caller.Operator && len(unknown) > 0 {
		return answer(unknown, updated.Name)
	}
	// Only who gives a verdict is asked for the right to.
	if len(updated.Spec.Decisions) > len(old.Spec.Decisions) {
		if caller.MayApprove, err = w.Approvals.mayApprove(ctx, r.Namespace, caller.Actor); err != nil {
			return admission.Errored(http.StatusInternalServerError, err)
		}
	}
	errs, err := w.problems(ctx, &r, old, updated, caller)
	if err != nil {
		return admission.Errored(http.StatusInternalServerError, err)
	}
	return answer(errs, updated.Name)
}

// caller is who writes, without the answer to whether they may approve.
func (w *ApprovalWebhook) caller(r *admission.Request) approval.Caller {
	caller := approval.Caller{Actor: intake.ActorOf(r.UserInfo), Operator: r.UserInfo.Username == w.Self.Username}
	if set := w.Approvals.Registry.Set(); set != nil {
		caller.Governed = set.Governs(caller.Actor)
	}
	return caller
}

// problems are what is wrong with a write of an approval.
func (w *ApprovalWebhook) problems(
	ctx context.Context, r *admission.Request, old, updated *v1alpha1.ActionApproval, caller approval.Caller,
) (field.ErrorList, error) {
	switch {
	case r.SubResource != "" && caller.Operator, r.Operation == admissionv1.Create && caller.Operator:
		return nil, nil
	case r.SubResource != "":
		return field.ErrorList{field.Forbidden(field.NewPath("status"), "only Countersign writes the status of approvals")}, nil
	case r.Operation == admissionv1.Create:
		return w.validateCreate(ctx, r, updated, caller)
	default:
		return approval.ValidateUpdate(old, updated, caller, w.Approvals.Clock.Now(), clockTolerance), nil
	}
}

func answer(errs field.ErrorList, name string) admission.Response {
	if len(errs) == 0 {
		return admission.Allowed("")
	}
	slices.SortFunc(errs, func(a, b *field.Error) int { return slices.Compare([]string{a.Field}, []string{b.Field}) })
	status := apierrors.NewInvalid(v1alpha1.GroupVersion.WithKind("ActionApproval").GroupKind(), name, errs).Status()
	return admission.Response{AdmissionResponse: admissionv1.AdmissionResponse{Result: &status}}
}

// decodeBoth reads the approval before and after; on a CREATE the one before is empty. Unknown are the fields of the one
// after that this version does not have: what a later one means by them, nobody here can hold to.
func decodeBoth(r *admission.Request) (old, updated *v1alpha1.ActionApproval, unknown field.ErrorList, err error) {
	old, updated = &v1alpha1.ActionApproval{}, &v1alpha1.ActionApproval{}
	fields, err := decodeStrictly(r.Object.Raw, updated)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("reading the approval: %w", err)
	}
	for _, f := range fields {
		unknown = append(unknown, unknownField(f))
	}
	if len(r.OldObject.Raw) == 0 {
		return old, updated, unknown, nil
	}
	if err := json.Unmarshal(r.OldObject.Raw, old); err != nil {
		return nil, nil, nil, fmt.Errorf("decoding the approval as it was: %w", err)
	}
	return old, updated, unknown, nil
}

package webhooks

import (
	"context"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/policy"
)

// PolicyWebhook validates AgentActionPolicies when they are applied: everything that the schema cannot say, all
// problems at once. It compiles with the code that decides, so what it accepts is what will be enforced.
type PolicyWebhook struct {
	// Self is whom the operator acts as.
	Self policy.Identity
	// Schemas, where they are known, tell what guards read of kinds that do not have it.
	Schemas *Schemas
	// Clock tells whether a window lies in the past.
	Clock clock.PassiveClock
}

var _ admission.Validator[*v1alpha1.AgentActionPolicy] = (*PolicyWebhook)(nil)

// ValidateCreate implements admission.Validator.
func (w *PolicyWebhook) ValidateCreate(ctx context.Context, p *v1alpha1.AgentActionPolicy) (admission.Warnings, error) {
	return w.validate(ctx, p)
}

// ValidateUpdate implements admission.Validator. A spec that stays the same is not judged again, so that a policy
// which an older version accepted can still be labelled.
func (w *PolicyWebhook) ValidateUpdate(ctx context.Context, before, after *v1alpha1.AgentActionPolicy) (admission.Warnings, error) {
	same, err := sameUnknownFields(ctx)
	if err != nil {
		return nil, err
	}
	if same && equality.Semantic.DeepEqual(before.Spec, after.Spec) {
		return nil, nil
	}
	return w.validate(ctx, after)
}

// ValidateDelete implements admission.Validator. Who may delete a policy is for RBAC and the reserved actions.
func (w *PolicyWebhook) ValidateDelete(context.Context, *v1alpha1.AgentActionPolicy) (admission.Warnings, error) {
	return nil, nil
}

func (w *PolicyWebhook) validate(ctx context.Context, p *v1alpha1.AgentActionPolicy) (admission.Warnings, error) {
	unknown, err := unknownFields(ctx)
	if err != nil {
		return nil, err
	}
	compiled := policy.CompileStored(p, unknown, w.Self)
	if len(compiled.Errors) > 0 {
		return nil, apierrors.NewInvalid(v1alpha1.GroupVersion.WithKind("AgentActionPolicy").GroupKind(), p.Name, compiled.Errors)
	}
	warnings := admission.Warnings(compiled.Warnings)
	warnings = append(warnings, pastWindows(p, compiled, w.Clock)...)
	if w.Schemas != nil {
		warnings = append(warnings, w.Schemas.Hints(ctx, p)...)
	}
	return warnings, nil
}

func pastWindows(p *v1alpha1.AgentActionPolicy, compiled *policy.Policy, c clock.PassiveClock) []string {
	var warnings []string
	for i, w := range p.Spec.Windows {
		if compiled.PastWindow(w.Name, c.Now()) {
			at := field.NewPath("spec", "windows").Index(i)
			warnings = append(warnings, at.String()+": window "+string(w.Name)+" lies in the past and never opens again")
		}
	}
	return warnings
}

package webhooks

import (
	"net/http"
	"path"
	"strings"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/intake"
	"github.com/countersign-dev/countersign/internal/legible"
	"github.com/countersign-dev/countersign/internal/policy"
)

// maxAnnotation bounds one audit annotation, in bytes: audit logs are kept for long.
const maxAnnotation = 1024

// respond says the verdict. A refusal is always 403: clients repeat what is refused with 429 or 5xx many times.
func respond(v *verdict) admission.Response {
	response := admission.Response{AdmissionResponse: admissionv1.AdmissionResponse{
		Allowed:          v.decision.Outcome == policy.Allow,
		AuditAnnotations: auditAnnotations(v),
		Warnings:         warnings(&v.decision),
	}}
	if !response.Allowed {
		response.Result = &metav1.Status{
			Status:  metav1.StatusFailure,
			Code:    http.StatusForbidden,
			Reason:  metav1.StatusReasonForbidden,
			Message: policy.Refusal(intake.Headline(&v.request, v.action), &v.decision, v.hash),
			Details: &metav1.StatusDetails{
				Name: v.request.Name, Group: v.request.Group, Kind: v.request.Resource, Causes: causes(&v.decision),
			},
		}
	}
	return response
}

// causes are the obstacles for programs.
func causes(d *policy.Decision) []metav1.StatusCause {
	list := make([]metav1.StatusCause, len(d.Obstacles))
	for i := range d.Obstacles {
		o := &d.Obstacles[i]
		list[i] = metav1.StatusCause{
			Type: metav1.CauseType(o.Reason), Message: legible.Escape(o.Detail), Field: legible.Escape(strings.Join(o.Fields, ",")),
		}
	}
	return list
}

// warnings are what Warn policies tell the caller, and that an action passes in grace.
func warnings(d *policy.Decision) []string {
	var list []string
	if d.Outcome == policy.Allow {
		for i := range d.Waived {
			list = append(list, d.Waived[i].Warning())
		}
	}
	for i := range d.Shadows {
		if d.Shadows[i].Enforcement == v1alpha1.Warn {
			list = append(list, d.Shadows[i].Warnings()...)
		}
	}
	return list
}

// auditAnnotations put the decision into the API server's audit log, where the keys get the webhook's name as
// prefix.
func auditAnnotations(v *verdict) map[string]string {
	d := &v.decision
	annotations := map[string]string{"decision": string(d.Outcome)}
	add := func(key, value string) {
		if value != "" {
			annotations[key] = value[:min(len(value), maxAnnotation)]
		}
	}
	add("reasons", strings.Join(d.Reasons(), ","))
	add("policy", writtenPolicies.texts(d).hashes)
	add("task", d.TaskName())
	add("approval", d.Approval)
	add("grace", grace(d))
	if !d.Remedy.Wait.IsZero() {
		add("opens-at", d.Remedy.Wait.UTC().Format(time.RFC3339))
	}
	add("action-hash", v.hash)
	add("observed", observed(d))
	return annotations
}

// grace says until when there is some, and by the windows of which policy or task: name=instant.
func grace(d *policy.Decision) string {
	until := make([]string, len(d.Waived))
	for i := range d.Waived {
		w := &d.Waived[i]
		until[i] = path.Join(w.Policy, w.Task) + "=" + w.Until.UTC().Format(time.RFC3339)
	}
	return strings.Join(until, ",")
}

// observed names the Warn and Audit policies that would have decided otherwise: name=outcome.
func observed(d *policy.Decision) string {
	names := make([]string, len(d.Shadows))
	for i := range d.Shadows {
		names[i] = d.Shadows[i].Policy + "=" + string(d.Shadows[i].Decision.Outcome)
	}
	return strings.Join(names, ",")
}

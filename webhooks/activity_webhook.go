package webhooks

import (
	"context"
	"encoding/json"
	"net/http"

	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

// ActivityHandler refuses whatever anybody else than the operator writes of what agents did: the API server does not send
// what the operator writes. Labels and annotations are free, and so is a write that changes nothing.
func ActivityHandler() admission.Handler {
	return admission.HandlerFunc(func(_ context.Context, r admission.Request) admission.Response {
		if r.Operation == admissionv1.Update {
			var old, updated v1alpha1.AgentActivity
			for object, raw := range map[*v1alpha1.AgentActivity][]byte{&old: r.OldObject.Raw, &updated: r.Object.Raw} {
				if err := json.Unmarshal(raw, object); err != nil {
					return admission.Errored(http.StatusBadRequest, err)
				}
			}
			if equality.Semantic.DeepEqual(old.Status, updated.Status) {
				return admission.Allowed("")
			}
		}
		return admission.Denied("only Countersign writes what agents did; delete the object to begin anew")
	})
}

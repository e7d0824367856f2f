package webhooks

import (
	"bytes"
	"encoding/json"
	"net/http"

	"github.com/go-logr/logr"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/countersign-dev/countersign/internal/intake"
)

// Reviews serves a handler of reviews as controller-runtime does, with the same answers. It goes behind LimitSize. A review
// in the form in which API servers send it is read in one pass (intake.ReadReview); controller-runtime takes several, which
// was where most of the time of a decision went, and reads the others.
func Reviews(handler admission.Handler) http.Handler {
	hook := &admission.Webhook{Handler: handler, LogConstructor: withoutReview}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, isRead := r.Body.(readBody)
		if !isRead || r.Header.Get("Content-Type") != "application/json" {
			hook.ServeHTTP(w, r)
			return
		}
		request, isKnown := intake.ReadReview(body.content)
		if !isKnown {
			hook.ServeHTTP(w, r)
			return
		}
		response := hook.Handle(r.Context(), admission.Request{AdmissionRequest: *request})
		review := admissionv1.AdmissionReview{
			TypeMeta: metav1.TypeMeta{APIVersion: admissionv1.SchemeGroupVersion.String(), Kind: "AdmissionReview"},
			Response: &response.AdmissionResponse,
		}
		if err := json.NewEncoder(w).Encode(review); err != nil {
			ctrl.LoggerFrom(r.Context()).Error(err, "An answer cannot be written", "review", request.UID)
		}
	})
}

// withoutReview keeps the logger as it is. controller-runtime would encode six values for it at each review, which takes longer
// than most decisions do. What logs something about a review says about which.
func withoutReview(logger logr.Logger, _ *admission.Request) logr.Logger { return logger }

// readBody is a body that LimitSize has read.
type readBody struct {
	*bytes.Reader
	content []byte
}

// Close implements io.Closer.
func (readBody) Close() error { return nil }

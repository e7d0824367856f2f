package webhooks

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	"github.com/go-logr/logr"
	admissionv1 "k8s.io/api/admission/v1"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
	admissionmetrics "sigs.k8s.io/controller-runtime/pkg/webhook/admission/metrics"

	"github.com/countersign-dev/countersign/internal/action"
	"github.com/countersign-dev/countersign/internal/intake"
)

// Reviewer is a handler of reviews that has something left to do which no answer waits for.
type Reviewer interface {
	admission.Handler
	// Review answers a review, the objects of which may have been decoded, as Handle does, and returns what is to be done when
	// the answer is on its way.
	Review(ctx context.Context, r admission.Request, objects action.Decoded) (admission.Response, func())
}

// Reviews serves a reviewer as controller-runtime does a handler, with the same answers. It goes behind LimitSize. A review
// in the form in which API servers send it is read in one pass (intake.ReadReview); controller-runtime takes several, which
// was where most of the time of a decision went, and reads the others.
func Reviews(reviewer Reviewer) http.Handler {
	hook := &admission.Webhook{Handler: reviewer, LogConstructor: withoutReview}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, isRead := r.Body.(*readBody)
		if !isRead || !slices.Equal(r.Header["Content-Type"], jsonType) {
			hook.ServeHTTP(w, r)
			return
		}
		request, objects, isKnown := intake.ReadReview(body.content)
		if !isKnown && body.complete() == nil { // it may not have ended with a newline
			request, objects, isKnown = intake.ReadReview(body.content)
		}
		if !isKnown {
			unusual.Inc()
			hook.ServeHTTP(w, r)
			return
		}
		response, then := review(attended{r.Context(), body}, reviewer, request, objects)
		if err := body.answer(w, &response); err != nil {
			ctrl.LoggerFrom(r.Context()).Error(err, "An answer cannot be written", "review", request.UID)
		}
		then()
	})
}

// review has a reviewer answer. A panic is an answer that refuses, as in controller-runtime.
func review(
	ctx context.Context, reviewer Reviewer, r *admissionv1.AdmissionRequest, objects action.Decoded,
) (response admission.Response, then func()) {
	defer func() {
		if cause := recover(); cause != nil {
			admissionmetrics.WebhookPanics.WithLabelValues().Inc()
			for _, report := range utilruntime.PanicHandlers {
				report(ctx, cause)
			}
			response, then = admission.Errored(http.StatusInternalServerError, fmt.Errorf("panic: %v [recovered]", cause)), func() {}
			response.UID = r.UID
		}
	}()
	request := admission.Request{AdmissionRequest: *r}
	response, then = reviewer.Review(ctx, request, objects)
	if err := response.Complete(request); err != nil {
		response = admission.Errored(http.StatusInternalServerError, fmt.Errorf("completing the answer: %w", err))
		response.UID = r.UID
	}
	return response, then
}

// withoutReview keeps the logger as it is. controller-runtime would encode six values for it at each review, which takes longer
// than most decisions do. What logs something about a review says about which.
func withoutReview(logger logr.Logger, _ *admission.Request) logr.Logger { return logger }

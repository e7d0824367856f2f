package webhooks

import (
	"net/http"
	"strconv"

	admissionv1 "k8s.io/api/admission/v1"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/countersign-dev/countersign/internal/jsontext"
)

// jsonType is the value of the header Content-Type of reviews and answers.
var jsonType = []string{"application/json"}

// writeAnswer sends what a handler says of a review. It is on its way when this returns: what is counted afterwards keeps
// nobody waiting.
func writeAnswer(w http.ResponseWriter, r *admission.Response) error {
	buf := takeBuffer()
	defer buffers.Put(buf)
	text, err := appendAnswer((*buf)[:0], &r.AdmissionResponse)
	if err != nil {
		return err
	}
	*buf = text
	header := w.Header() // the names of which are canonical as they are
	header["Content-Type"], header["Content-Length"] = jsonType, []string{strconv.Itoa(len(text))}
	if _, err := w.Write(text); err != nil {
		return err
	}
	return http.NewResponseController(w).Flush()
}

// appendAnswer appends an AdmissionReview with a response. It means what encoding/json makes of it, which is asked only about
// the status of a refusal. There are no patches in it: who judges actions changes none.
func appendAnswer(text []byte, r *admissionv1.AdmissionResponse) ([]byte, error) {
	w := jsontext.Append(append(text, `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1"`...))
	w.Object("response", func() {
		w.Text("uid", string(r.UID))
		w.Bool("allowed", r.Allowed)
		if r.Result != nil {
			writeStatus(&w, r)
		}
		if len(r.AuditAnnotations) > 0 {
			w.Object("auditAnnotations", func() {
				for key, value := range r.AuditAnnotations {
					w.Text(key, value)
				}
			})
		}
		w.Texts("warnings", r.Warnings)
	})
	w.Raw("}\n")
	return w.Bytes()
}

// writeStatus writes the status of a response. That of what is allowed says nothing but its code.
func writeStatus(w *jsontext.Writer, r *admissionv1.AdmissionResponse) {
	if !r.Allowed {
		w.Encoded("status", r.Result)
		return
	}
	w.Object("status", func() { w.Integer("code", int64(r.Result.Code)) })
}

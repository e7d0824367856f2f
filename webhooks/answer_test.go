package webhooks

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestAppendAnswer(t *testing.T) {
	for name, response := range map[string]admissionv1.AdmissionResponse{
		"nothing": {},
		"allowed": {
			UID: "e163977b-fe4b-462e-860b-402de986b9b1", Allowed: true, Result: &metav1.Status{Code: http.StatusOK},
			AuditAnnotations: map[string]string{"decision": "Allow", "policy": "a@1,b@2", "task": "<&>\u202e\"\\\n"},
			Warnings:         []string{"one", "and \u00e9 another\u2028"},
		},
		"refused": {
			UID: "u", Result: &metav1.Status{
				Status: metav1.StatusFailure, Code: http.StatusForbidden, Reason: metav1.StatusReasonForbidden, Message: "no\n\twhy: \u202e",
				Details: &metav1.StatusDetails{Name: "web", Causes: []metav1.StatusCause{{Type: "FreezeActive", Message: "<frozen>"}}},
			},
			AuditAnnotations: map[string]string{"decision": "Deny"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			text, err := appendAnswer([]byte(`[0,`), &response)
			if err != nil {
				t.Fatal(err)
			}
			var review []json.RawMessage
			var got admissionv1.AdmissionReview
			if err := json.Unmarshal(append(text, ']'), &review); err != nil || len(review) != 2 {
				t.Fatalf("%v: %s", err, text)
			}
			if err := json.Unmarshal(review[1], &got); err != nil {
				t.Fatal(err)
			}
			want := admissionv1.AdmissionReview{
				TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"}, Response: &response,
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("the answer says something else (-want +got):\n%s", diff)
			}
		})
	}
}

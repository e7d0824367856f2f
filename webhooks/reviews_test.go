package webhooks

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/countersign-dev/countersign/internal/action"
	"github.com/countersign-dev/countersign/internal/intake"
	"github.com/countersign-dev/countersign/internal/reviewtest"
)

// FuzzReviews posts bodies to a handler behind Reviews and to the same one behind controller-runtime. Both hand on the same
// request or none, and give the same answer.
func FuzzReviews(f *testing.F) {
	var bodies [][]byte
	for _, r := range reviewtest.All(f) {
		bodies = append(bodies, r.Body)
	}
	for _, body := range append(bodies, reviewtest.Mutants(f, bodies, 2000)...) {
		f.Add(body, "application/json")
	}
	for _, body := range hostileReviews() {
		f.Add([]byte(body), "application/json")
	}
	f.Add(bodies[0], "application/json; charset=utf-8")
	f.Add(bodies[0], "")
	f.Fuzz(func(t *testing.T, body []byte, contentType string) {
		var requests []admission.Request
		handler := admission.HandlerFunc(func(_ context.Context, r admission.Request) admission.Response {
			requests = append(requests, r)
			return admission.Denied("no").WithWarnings(string(r.Operation))
		})
		send := func(to http.Handler) *httptest.ResponseRecorder {
			request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/enforce", bytes.NewReader(body))
			request.Header.Set("Content-Type", contentType)
			answer := httptest.NewRecorder()
			LimitSize(to).ServeHTTP(duplex{answer}, request)
			return answer
		}
		if isAnsweredFirst(body) {
			return
		}
		want, wantRequests := send(&admission.Webhook{Handler: handler}), requests
		requests = nil
		got := send(Reviews(uncounted{handler}))
		if diff := cmp.Diff(wantRequests, requests); diff != "" {
			t.Errorf("the request differs (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(readAnswer(t, want.Body), readAnswer(t, got.Body)); diff != "" || want.Code != got.Code {
			t.Errorf("the answer is %d, want %d; they differ (-want +got):\n%s", got.Code, want.Code, diff)
		}
	})
}

// duplex is a recorder of answers that come before a body is read whole, as a connection can carry them.
type duplex struct{ *httptest.ResponseRecorder }

func (duplex) EnableFullDuplex() error { return nil }

// isAnsweredFirst says whether a body is a review and one byte more that should not be there: it is seen only after the answer.
func isAnsweredFirst(body []byte) bool {
	last := len(body) - 1
	if last < 0 || bytes.IndexByte([]byte(" \t\r\n"), body[last]) >= 0 {
		return false
	}
	_, _, isKnown := intake.ReadReview(body[:last])
	return isKnown
}

// uncounted is a handler with nothing left to do.
type uncounted struct{ admission.Handler }

func (u uncounted) Review(ctx context.Context, r admission.Request, _ action.Decoded) (admission.Response, func()) {
	return u.Handle(ctx, r), func() {}
}

// readAnswer reads an AdmissionReview, or what else is said to a caller who sends none.
func readAnswer(t *testing.T, body *bytes.Buffer) (answer any) {
	t.Helper()
	if err := json.Unmarshal(body.Bytes(), &answer); err != nil {
		return body.String()
	}
	return answer
}

// hostileReviews are forms of a review that no API server sends.
func hostileReviews() []string {
	review := func(request string) string {
		return `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":` + request + `}`
	}
	deep := func(n int) string { return strings.Repeat(`{"a":`, n) + `1` + strings.Repeat(`}`, n) }
	bodies := []string{
		``, ` `, `{}`, `null`, `[]`, `{"request":{}}`, "kind: AdmissionReview\napiVersion: admission.k8s.io/v1\nrequest: {uid: a}\n",
		`{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1"}`,
		`{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1beta1","request":{"uid":"a"}}`,
		`{"kind":"Pod","apiVersion":"v1","request":{"uid":"a"}}`, `{"KIND":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"a"}}`,
		review(`{"uid":"a"}`) + ` {}`, review(`{"uid":"a"}`) + " \n", "\ufeff" + review(`{"uid":"a"}`), review(`{"uid":"a"},"response":{"uid":"b"}`),
		review(`{"uid":"a"},"request":{"name":"b"}`), review(`{"uid":"a"},"Request":{"name":"b"}`),
	}
	for _, request := range []string{
		`null`, `{}`, `[]`, `{"uid":"a","uid":"b"}`, `{"uid":null}`, `{"uid":1}`, `{"UID":"a"}`, `{"u\u0069d":"a"}`, `{"uid":"\ud800"}`, "{\"uid\":\"\xff\"}",
		`{"dryRun":null}`, `{"dryRun":true}`, `{"dryRun":"true"}`, `{"userInfo":null}`, `{"userInfo":{"groups":null}}`, `{"userInfo":{"groups":[]}}`,
		`{"userInfo":{"groups":[null]}}`, `{"userInfo":{"extra":{}}}`, `{"userInfo":{"extra":null}}`, `{"userInfo":{"extra":{"a":null}}}`,
		`{"userInfo":{"extra":{"a":["b",""],"a\n":[]}}}`, `{"kind":null}`, `{"kind":{}}`, `{"requestKind":null}`, `{"requestKind":{}}`,
		`{"requestResource":{"group":"a","version":"b","resource":"c","x":1}}`, `{"later":1}`,
		`{"object":null}`, `{"object": {"a":1,"a":2} }`, `{"object":[1,1e400,-0,0.10]}`, `{"object":"text\ud800"}`, `{"object":1.}`, `{"object":{"a":01}}`,
		`{"object":{"object":null}}`, "{\"object\":{\"a\":\"\xff\"}}", "{\"object\":{\"a\":\"\x01\"}}", `{"object":{"a":"\x"}}`, `{"object":{,}}`,
		`{"object":` + deep(9_997) + `}`, `{"object":` + deep(9_998) + `}`, `{"object":` + deep(9_999) + `}`, `{"object":` + deep(10_001) + `}`,
		`{"object":{"a":{"object":{"b":1}}},"oldObject":true,"options":"x"}`, `{"kind":{"object":{"b":1}}}`,
	} {
		bodies = append(bodies, review(request))
	}
	return bodies
}

// TestReviewsAreKnown sees to it that what API servers send is read in one pass.
func TestReviewsAreKnown(t *testing.T) {
	for _, r := range reviewtest.All(t) {
		if _, _, known := intake.ReadReview(r.Body); !known {
			t.Errorf("%s is of another form", r.Name)
		}
	}
}

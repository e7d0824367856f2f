package webhooks

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/countersign-dev/countersign/internal/policy"
)

// MaxReview is the largest review that is judged, in bytes. It is controller-runtime's own limit, beyond which that
// would answer without the review's UID and so without a reason that reaches the caller.
const MaxReview = 7 * 1024 * 1024

// Most reviews are of some kilobytes. To judge a large one takes many times its size, so only few are in memory at once:
// the others wait for their turn with no more read of them than smallReview, and small ones never wait.
const (
	smallReview = 256 * 1024
	// largeReviews is how many are read and judged at once, in the whole process. One of 5 MiB with 100,000 changes takes some
	// 150 MiB.
	largeReviews = 1
)

// largeTurns holds a token for each large review that is read or judged.
var largeTurns = make(chan struct{}, largeReviews)

// LimitSize refuses reviews that are too large to judge, with the reason, before they are read into memory, and has large
// ones wait for each other.
func LimitSize(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := readSmall(r)
		if err == nil && len(body) == smallReview {
			select {
			case largeTurns <- struct{}{}:
				defer func() { <-largeTurns }()
			case <-time.After(readTimeout):
				http.Error(w, "too many large reviews at once", http.StatusServiceUnavailable)
				return
			}
			body, err = readLarge(body, r)
		}
		switch {
		case err != nil:
			http.Error(w, "the review cannot be read", http.StatusBadRequest)
		case len(body) > MaxReview:
			refuseLarge(w, body)
		default:
			r.Body = &readBody{content: body, rest: r.Body}
			next.ServeHTTP(w, r)
		}
	})
}

// readSmall reads up to smallReview bytes, into memory of the size that the caller announces. The last byte of what is shorter,
// and announced, is left (readBody).
func readSmall(r *http.Request) ([]byte, error) {
	if n := r.ContentLength; n > 0 && n < smallReview {
		body := make([]byte, n-1, n)
		_, err := io.ReadFull(r.Body, body)
		return body, err
	}
	body := bytes.NewBuffer(make([]byte, 0, min(max(r.ContentLength, 0), smallReview)+bytes.MinRead))
	_, err := io.Copy(body, io.LimitReader(r.Body, smallReview))
	return body.Bytes(), err
}

// readLarge reads the rest of a large review, into memory of the size that the caller announces.
func readLarge(beginning []byte, r *http.Request) ([]byte, error) {
	body := bytes.NewBuffer(make([]byte, 0, max(smallReview, min(r.ContentLength, MaxReview)+bytes.MinRead)))
	body.Write(beginning)
	_, err := io.Copy(body, io.LimitReader(r.Body, MaxReview+1-smallReview))
	return body.Bytes(), err
}

// refuseLarge answers a review of which only the beginning was read. The API server writes the UID first.
func refuseLarge(w http.ResponseWriter, beginning []byte) {
	uid, err := reviewUID(beginning)
	if err != nil {
		http.Error(w, "the review is too large and has no UID: "+err.Error(), http.StatusRequestEntityTooLarge)
		return
	}
	d := policy.Failure(policy.RequestUnreadable,
		fmt.Sprintf("the object is too large to judge: its review is larger than %d MiB", MaxReview>>20))
	review := admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: admissionv1.SchemeGroupVersion.String(), Kind: "AdmissionReview"},
		Response: &admissionv1.AdmissionResponse{UID: uid, Result: &metav1.Status{
			Status: metav1.StatusFailure, Code: http.StatusForbidden, Reason: metav1.StatusReasonForbidden,
			Message: policy.Refusal("agents may not write objects of this size", &d, ""),
			Details: &metav1.StatusDetails{Causes: causes(&d)},
		}},
	}
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(review); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

// reviewUID finds request.uid without reading further.
func reviewUID(beginning []byte) (types.UID, error) {
	d := json.NewDecoder(bytes.NewReader(beginning))
	for _, key := range []string{"request", "uid"} {
		if err := enter(d, key); err != nil {
			return "", err
		}
	}
	var uid types.UID
	if err := d.Decode(&uid); err != nil {
		return "", err
	}
	return uid, nil
}

// enter reads an object up to the value of a key.
func enter(d *json.Decoder, key string) error {
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return errors.Join(errors.New("expecting an object"), err)
	}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return err
		}
		if t == key {
			return nil
		}
		var skipped json.RawMessage
		if err := d.Decode(&skipped); err != nil {
			return err
		}
	}
	return fmt.Errorf("finding %s: absent", key)
}

package canary

import (
	"errors"
	"net/http"
	"strings"
	"unicode/utf8"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Outcome is what became of an attempt. The values are published: they are labels of a metric.
type Outcome string

const (
	// Refused means that Countersign refused it, as it must.
	Refused Outcome = "Refused"
	// Passed means that nobody did: agents may do what they like.
	Passed Outcome = "Passed"
	// Unanswered means that the API server asked Countersign and got no answer: agents are refused everything.
	Unanswered Outcome = "Unanswered"
	// Forbidden means that somebody else refused it first, such as RBAC: nobody knows what Countersign would have done.
	Forbidden Outcome = "Forbidden"
	// Unreachable means that the API server did not answer, or not sensibly.
	Unreachable Outcome = "Unreachable"
)

// Outcomes are all of them.
var Outcomes = []Outcome{Refused, Passed, Unanswered, Forbidden, Unreachable}

// Entry is the entry of the webhook configuration through which agents' actions come, and so the canary's.
const Entry = "enforce.countersign.dev"

// Result is an outcome with the answer of the API server, in words.
type Result struct {
	Outcome Outcome
	Detail  string
}

// maxDetail bounds the answer that is kept, in bytes.
const maxDetail = 512

// Classify says what the answer of the API server means. That an attempt was refused is not enough: by whom decides.
func Classify(err error) Result {
	if err == nil {
		return Result{Passed, "the API server accepted what Countersign must refuse"}
	}
	r := Result{Unreachable, short(err.Error())}
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return r
	}
	answer := status.Status()
	switch {
	case answer.Code == http.StatusForbidden && strings.HasPrefix(answer.Message, `admission webhook "`+Entry+`" denied the request`):
		r.Outcome = Refused
	case answer.Code == http.StatusInternalServerError && strings.Contains(answer.Message, `failed calling webhook "`+Entry+`"`):
		r.Outcome = Unanswered
	case answer.Reason == metav1.StatusReasonForbidden:
		r.Outcome = Forbidden
	}
	return r
}

// short cuts a text, between characters.
func short(text string) string {
	if len(text) <= maxDetail {
		return text
	}
	text = text[:maxDetail]
	for !utf8.ValidString(text) {
		text = text[:len(text)-1]
	}
	return text + "..."
}

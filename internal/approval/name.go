package approval

import (
	"regexp"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/naming"
)

const (
	// suffixLength is how many characters of the hash stand in a name: 100 bits.
	suffixLength = 20
	// prefixLength bounds the readable part, so that a name is a label value too and a table of them fits on a screen.
	prefixLength = 20
)

var reservedName = regexp.MustCompile(`^[a-z0-9.-]+-[0-9a-hjkmnp-tv-z]{20}$`)

// IsReserved says whether a name has the shape of those that the operator gives: nobody else may use it.
func IsReserved(name string) bool {
	return reservedName.MatchString(name)
}

// name is the name of a request: a word for people, and a hash of who asks, for what, and after which request. The
// same request has the same name, whoever computes it.
func name(r v1alpha1.Requester, bindTo v1alpha1.Binding, subject, follows, word string) string {
	return readable(word) + "-" +
		naming.Suffix(suffixLength, "approval v1", r.Username, r.UID, bound(r, bindTo), subject, follows)
}

// bound is what an approval is bound to besides the user; "" where it is bound to nothing more.
func bound(r v1alpha1.Requester, bindTo v1alpha1.Binding) string {
	switch bindTo {
	case v1alpha1.BindToPod:
		return "pod:" + r.PodUID
	case v1alpha1.BindToCredential:
		return "credential:" + r.CredentialID
	case v1alpha1.BindToUser:
		return ""
	default:
		return ""
	}
}

// readable makes the beginning of a DNS name of a word.
func readable(word string) string {
	if prefix := naming.Readable(word, prefixLength); prefix != "" {
		return prefix
	}
	return "request"
}

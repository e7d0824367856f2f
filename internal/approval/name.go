package approval

import (
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"regexp"
	"strings"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

const (
	// suffixLength is how many characters of the hash stand in a name: 100 bits.
	suffixLength = 20
	// prefixLength bounds the readable part, so that a name is a label value too and a table of them fits on a screen.
	prefixLength = 20
)

// suffixEncoding leaves out the letters that are taken for digits or for each other: i, l, o and u.
var suffixEncoding = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

var reservedName = regexp.MustCompile(`^[a-z0-9.-]+-[0-9a-hjkmnp-tv-z]{20}$`)

// IsReserved says whether a name has the shape of those that the operator gives: nobody else may use it.
func IsReserved(name string) bool {
	return reservedName.MatchString(name)
}

// name is the name of a request: a word for people, and a hash of who asks, for what, and after which request. The
// same request has the same name, whoever computes it.
func name(r v1alpha1.Requester, bindTo v1alpha1.Binding, subject, follows, word string) string {
	h := sha256.New()
	for _, text := range []string{"approval v1", r.Username, r.UID, bound(r, bindTo), subject, follows} {
		fmt.Fprintf(h, "%d:%s,", len(text), text) // no text can pose as two
	}
	return readable(word) + "-" + suffixEncoding.EncodeToString(h.Sum(nil))[:suffixLength]
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
	if prefix := sanitise(word, prefixLength); prefix != "" {
		return prefix
	}
	return "request"
}

// sanitise keeps lower-case letters and digits, puts one dash for everything else, and cuts.
func sanitise(word string, most int) string {
	var b strings.Builder
	for _, r := range strings.ToLower(word) {
		switch {
		case b.Len() >= most:
			return strings.TrimRight(b.String(), "-")
		case 'a' <= r && r <= 'z' || '0' <= r && r <= '9':
			b.WriteRune(r)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
	}
	return strings.TrimRight(b.String(), "-")
}

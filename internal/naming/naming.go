// Package naming makes names of objects that people can read and nobody can mistake: a word and a hash.
package naming

import (
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"strings"
)

// encoding leaves out the letters that are taken for digits or for each other: i, l, o and u.
var encoding = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// Suffix is so many characters, of 5 bits each, of a hash of texts. No text can pose as two.
func Suffix(length int, texts ...string) string {
	h := sha256.New()
	for _, text := range texts {
		fmt.Fprintf(h, "%d:%s,", len(text), text)
	}
	return encoding.EncodeToString(h.Sum(nil))[:length]
}

// Readable makes the beginning of a DNS name of a word: it keeps lower-case letters and digits, puts one dash for
// everything else, and cuts. Of a word without either it gives "".
func Readable(word string, most int) string {
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

// Short is namespace/name of a service account, and any other user name as it is.
func Short(username string) string {
	if rest, isAccount := strings.CutPrefix(username, "system:serviceaccount:"); isAccount {
		if namespace, account, whole := strings.Cut(rest, ":"); whole {
			return namespace + "/" + account
		}
	}
	return username
}

// Deed says in short what is done to what, for tables: update deployments/web, exec pods/web-0. A connection is called by
// its subresource; name is empty where it is not known yet.
func Deed(operation, resource, subresource, name string) (action, target string) {
	action, target = strings.ToLower(operation), resource
	switch {
	case subresource == "":
	case operation == "CONNECT":
		action = subresource
	default:
		target += "/" + subresource
	}
	if name != "" {
		target += "/" + name
	}
	return action, target
}

// Cut shortens a text to so many characters, of which the last then says that there was more.
func Cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return text
}

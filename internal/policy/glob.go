package policy

import (
	"errors"
	"path"
	"strings"
)

// maxNamespaceName is the longest name a namespace can have (RFC 1123 label).
const maxNamespaceName = 63

// validateGlob says why a namespace pattern could never match, or nil. Patterns know "*" for any run of
// characters and "?" for one.
func validateGlob(pattern string) error {
	fixed := strings.ReplaceAll(pattern, "*", "")
	switch {
	case pattern == "":
		return errors.New("is empty; leave namespaces out to mean every namespace")
	case len(fixed) > maxNamespaceName:
		return errors.New("cannot match: it is longer than any namespace name")
	case strings.HasPrefix(pattern, "-") || strings.HasSuffix(pattern, "-"):
		return errors.New("cannot match: names of namespaces neither begin nor end with a hyphen")
	case strings.Trim(fixed, "abcdefghijklmnopqrstuvwxyz0123456789-?") != "":
		return errors.New("cannot match: names of namespaces hold lower case letters, digits and hyphens; use * and ? as wildcards")
	}
	return nil
}

// globMatches says whether a name matches a pattern that validateGlob accepts. Such a pattern holds none of the
// characters for which path.Match can fail, so an error means that nobody validated it: no match.
func globMatches(pattern, name string) bool {
	ok, err := path.Match(pattern, name)
	return err == nil && ok
}

package rehearsal

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
)

// StableUID is a UID that is the same for the same words, and another one for others.
func StableUID(words ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(words, "\x00")))
	return fmt.Sprintf("%x-%x-%x-%x-%x", sum[0:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
}

// authenticated is the group of everybody who is somebody.
const authenticated = "system:authenticated"

// User is somebody as the API server authenticates them: service accounts get the groups that follow from their name, and
// everybody that of those who are authenticated.
func User(username, uid string, groups ...string) authenticationv1.UserInfo {
	u := authenticationv1.UserInfo{Username: username, UID: uid}
	if rest, ok := strings.CutPrefix(username, "system:serviceaccount:"); ok {
		namespace, _, _ := strings.Cut(rest, ":")
		u.Groups = append(u.Groups, "system:serviceaccounts", "system:serviceaccounts:"+namespace)
	}
	for _, g := range append(groups, authenticated) {
		if !slices.Contains(u.Groups, g) {
			u.Groups = append(u.Groups, g)
		}
	}
	return u
}

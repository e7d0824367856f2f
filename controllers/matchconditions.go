package controllers

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/protection"
)

// maxExpression bounds a match condition, in code points. The API server compiles and stores 100,000 (its CEL
// environment's limit on the size of expressions) and refuses the whole configuration beyond that.
const maxExpression = 90_000

// fit says whether the API server accepts the expressions of both in one entry.
func fit(enforce, observe *protection.Subjects) bool {
	return utf8.RuneCountInString(enforce.Expression())+utf8.RuneCountInString(observe.Expression()) <= maxExpression
}

// scaffold has an expression of all that stands around names, with the canary's name in it, of which the longest is as long.
var scaffold = protection.Subjects{
	Users:  []string{strings.Repeat("x", 400), "system:serviceaccount:x:x"},
	Groups: []string{"x"}, Namespaces: []string{"x"},
}

// room is how many code points are left for names. Adding policy after policy to expressions, to see whether they fit,
// would take seconds where there are thousands.
type room struct {
	left  int
	known [2]map[string]bool // of Enforce policies, and of the others
}

// take says whether the subjects of a policy fit, and takes the room that they need beyond those that are there.
func (r *room) take(enforced bool, subjects []v1alpha1.Subject) bool {
	known := &r.known[boolRank(!enforced)]
	if *known == nil {
		*known = map[string]bool{}
	}
	var more protection.Subjects
	more.Add(subjects)
	more.Tidy()
	need, fresh := 0, []string{}
	for kind, list := range [][]string{more.Users, more.Namespaces, more.Groups} {
		for _, name := range list {
			if key := fmt.Sprint(kind, " ", name); !(*known)[key] {
				need += len(strconv.QuoteToASCII(strings.TrimPrefix(name, protection.ServiceAccount))) + len(", ")
				fresh = append(fresh, key)
			}
		}
	}
	if need > r.left {
		return false
	}
	r.left -= need
	for _, key := range fresh {
		(*known)[key] = true
	}
	return true
}

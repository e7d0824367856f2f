package controllers

import (
	"unicode/utf8"

	"github.com/countersign-dev/countersign/internal/protection"
)

// maxExpression bounds a match condition, in code points. The API server compiles and stores 100,000 (its CEL
// environment's limit on the size of expressions) and refuses the whole configuration beyond that.
const maxExpression = 90_000

// fit says whether the API server accepts the expressions of both in one entry.
func fit(enforce, observe *protection.Subjects) bool {
	return utf8.RuneCountInString(enforce.Expression())+utf8.RuneCountInString(observe.Expression()) <= maxExpression
}

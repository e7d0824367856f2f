package terminal

import (
	"fmt"
	"strconv"
	"strings"
)

// Clean makes a text safe to show in one line: what cannot be seen, moves the cursor, or turns the direction of text is
// written as an escape, such as \u001b.
func Clean(text string) string {
	return clean(text, func(rune) bool { return false })
}

// CleanLines does so for a text of several lines: line breaks stay, and a tab becomes spaces.
func CleanLines(text string) string {
	return clean(strings.ReplaceAll(text, "\t", "    "), func(r rune) bool { return r == '\n' })
}

func clean(text string, keep func(rune) bool) string {
	var b strings.Builder
	for _, r := range text {
		if strconv.IsPrint(r) || keep(r) {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

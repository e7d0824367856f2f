package terminal

import (
	"strings"

	"github.com/countersign-dev/countersign/internal/legible"
)

// Clean makes a text safe to show in one line: what cannot be seen, moves the cursor, or turns the direction of text is
// written as an escape, such as \u001b.
func Clean(text string) string {
	return legible.Escape(text)
}

// CleanLines does so for a text of several lines: line breaks stay, and a tab becomes spaces.
func CleanLines(text string) string {
	lines := strings.Split(strings.ReplaceAll(text, "\t", "    "), "\n")
	for i := range lines {
		lines[i] = Clean(lines[i])
	}
	return strings.Join(lines, "\n")
}

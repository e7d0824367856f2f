package command

import (
	"strings"
	"unicode/utf8"

	"github.com/countersign-dev/countersign/cmd/kubectl-countersign/terminal"
)

// hang writes a text of one or several lines after a prefix. On a terminal that is too narrow for a line it goes on below,
// after another prefix; a word that is too long by itself is left to the terminal. Both prefixes are as wide as they look:
// styles within them do not count, so their width is given.
func (e *Environment) hang(first, next string, width int, text string) {
	for line := range strings.SplitSeq(terminal.CleanLines(text), "\n") {
		for _, part := range wrapWords(line, e.Screen.Width-width) {
			e.Printf("%s%s\n", first, part)
			first = next
		}
	}
}

// wrapWords breaks a line at spaces, so that the parts have at most so many characters. What begins with spaces goes on as
// far in. With no width, or one that is too small to be of use, the line stays.
func wrapWords(line string, width int) []string {
	const useful = 24
	if width < useful || utf8.RuneCountInString(line) <= width {
		return []string{line}
	}
	indent := line[:leading(line)]
	if strings.HasPrefix(line[len(indent):], "- ") {
		indent += "  "
	}
	var parts []string
	current := ""
	for i, word := range strings.Split(strings.TrimRight(line[leading(line):], " "), " ") {
		switch {
		case i == 0:
			current = line[:leading(line)] + word
		case utf8.RuneCountInString(current)+1+utf8.RuneCountInString(word) > width:
			parts, current = append(parts, current), indent+word
		default:
			current += " " + word
		}
	}
	return append(parts, current)
}

// leading is how many spaces a line begins with.
func leading(line string) int { return len(line) - len(strings.TrimLeft(line, " ")) }

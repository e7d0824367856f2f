package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"unicode/utf8"
)

// screen is where the story is shown.
type screen struct {
	out    io.Writer
	colour bool
	width  int
}

// maxWidth is how wide the story is at most: that of most terminals and pages.
const maxWidth = 100

// newScreen uses colours on a terminal only, and never where NO_COLOR is set.
func newScreen(f *os.File) *screen {
	s := &screen{out: f, width: maxWidth}
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return s
	}
	s.colour = os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	s.width = usableWidth(os.Getenv("COLUMNS"), terminalSize(f))
	return s
}

// terminalSize asks the terminal for its rows and columns: "50 120".
func terminalSize(f *os.File) string {
	stty := exec.Command("stty", "size")
	stty.Stdin = f
	answer, err := stty.Output()
	if err != nil {
		return ""
	}
	return string(answer)
}

// usableWidth is $COLUMNS, or else what the terminal says, within reason.
func usableWidth(columns, size string) int {
	if columns == "" {
		_, columns, _ = strings.Cut(strings.TrimSpace(size), " ")
	}
	n, err := strconv.Atoi(columns)
	if err != nil {
		return maxWidth
	}
	return min(max(n, 60), maxWidth)
}

// style is how text stands out, as a parameter of the terminal's escape sequence.
type style string

const (
	plain  style = ""
	bold   style = "1"
	faint  style = "2"
	red    style = "31"
	green  style = "32"
	blue   style = "34"
	purple style = "35"
)

func (s *screen) paint(with style, text string) string {
	if !s.colour || with == plain || text == "" {
		return text
	}
	return "\x1b[" + string(with) + "m" + text + "\x1b[0m"
}

// print writes text that may have several lines, and ends the last one.
func (s *screen) print(text string) {
	if text = strings.TrimRight(text, "\n"); text != "" {
		fmt.Fprintln(s.out, text)
	}
}

// note is a remark of the demo itself.
func (s *screen) note(format string, args ...any) {
	s.print(s.paint(faint, "-- "+fmt.Sprintf(format, args...)))
}

// heading opens an act.
func (s *screen) heading(text string) {
	fmt.Fprintf(s.out, "\n%s\n%s\n", s.paint(bold, text), s.paint(faint, strings.Repeat("─", s.width)))
}

// fit shortens text to so many characters, or pads it.
func fit(text string, width int) string {
	n := utf8.RuneCountInString(text)
	if n > width {
		return string([]rune(text)[:width-1]) + "…"
	}
	return text + strings.Repeat(" ", width-n)
}

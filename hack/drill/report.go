package main

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// report is what came of a drill.
type report struct {
	drill   drill
	setting string
	claims  []claim
	figures []figure
	took    time.Duration
	err     error
}

// claim is something that must hold.
type claim struct {
	what, seen string
	holds      bool
}

// figure is something measured, of which nothing is claimed.
type figure struct{ what, value string }

// claim says what was seen of something that must hold.
func (r *report) claim(holds bool, what, seen string, args ...any) {
	r.claims = append(r.claims, claim{what: what, seen: fmt.Sprintf(seen, args...), holds: holds})
}

// none claims that there were writes, and that none of them failed.
func (r *report) none(what string, s series) {
	r.claim(len(s.failures) == 0 && s.n() > 0, what, "%d of %d%s", len(s.failures), s.n(), s.failure())
}

func (r *report) figure(what, value string, args ...any) {
	r.figures = append(r.figures, figure{what: what, value: fmt.Sprintf(value, args...)})
}

// settingf says under what load the drill was carried out.
func (r *report) settingf(format string, args ...any) { r.setting = fmt.Sprintf(format, args...) }

// holds says that the drill was carried out and that everything it claims was seen.
func (r *report) holds() bool {
	for _, c := range r.claims {
		if !c.holds {
			return false
		}
	}
	return r.err == nil && len(r.claims) > 0
}

// Widths of what is printed, within 80 columns.
const lineWidth, whatWidth = 80, 38

// print shows the report within 80 columns.
func (r *report) print(out io.Writer) {
	for _, c := range r.claims {
		mark := "ok  "
		if !c.holds {
			mark = "FAIL"
		}
		row(out, mark, c.what, c.seen)
	}
	for _, f := range r.figures {
		row(out, "    ", f.what, f.value)
	}
	if r.err != nil {
		fmt.Fprintf(out, "FAIL it could not be carried out: %v\n", r.err)
	}
}

// row sets two texts side by side, each wrapped within its column.
func row(out io.Writer, mark, left, right string) {
	lefts, rights := wrap(left, whatWidth), wrap(right, lineWidth-len(mark)-whatWidth-3)
	for i := range max(len(lefts), len(rights)) {
		line := fmt.Sprintf("%-4s %-*s  %s", mark, whatWidth, at(lefts, i), at(rights, i))
		fmt.Fprintln(out, strings.TrimRight(line, " "))
		mark = ""
	}
}

func at(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return ""
}

// wrap breaks a text between words.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines, line = append(lines, line), ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}

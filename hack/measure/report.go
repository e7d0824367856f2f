package measure

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// Report is what came of an experiment.
type Report struct {
	Name, title string
	setting     string
	claims      []claim
	figures     []figure
	tables      []table
	took        time.Duration
	err         error
}

// claim is something that must hold or, as a target, is to be reached.
type claim struct {
	what, seen    string
	holds, target bool
}

// figure is something measured, of which nothing is claimed.
type figure struct{ what, value string }

// Claim says what was seen of something that must hold.
func (r *Report) Claim(holds bool, what, seen string, args ...any) {
	r.claims = append(r.claims, claim{what: what, seen: fmt.Sprintf(seen, args...), holds: holds})
}

// Target says what was seen of something that is to be reached. Where it is not, the report says so and holds all the same.
func (r *Report) Target(reached bool, what, seen string, args ...any) {
	if seen = fmt.Sprintf(seen, args...); !reached {
		seen += "; not reached"
	}
	r.claims = append(r.claims, claim{what: what, seen: seen, holds: reached, target: true})
}

// None claims that there were writes, and that none of them failed.
func (r *Report) None(what string, s Series) {
	r.Claim(len(s.Failures) == 0 && s.N() > 0, what, "%d of %d%s", len(s.Failures), s.N(), s.Failure())
}

// Figure says something that was measured, of which nothing is claimed.
func (r *Report) Figure(what, value string, args ...any) {
	r.figures = append(r.figures, figure{what: what, value: fmt.Sprintf(value, args...)})
}

// Settingf says under what load the experiment was carried out.
func (r *Report) Settingf(format string, args ...any) { r.setting = fmt.Sprintf(format, args...) }

// holds says that the experiment was carried out and that everything it claims was seen.
func (r *Report) holds() bool {
	for _, c := range r.claims {
		if !c.holds && !c.target {
			return false
		}
	}
	return r.err == nil && len(r.claims) > 0
}

// Widths of what is printed, within 80 columns.
const lineWidth, whatWidth = 80, 38

// print shows the report within 80 columns.
func (r *Report) print(out io.Writer) {
	for _, c := range r.claims {
		mark := "ok  "
		switch {
		case !c.holds && c.target:
			mark = "miss"
		case !c.holds:
			mark = "FAIL"
		}
		row(out, mark, c.what, c.seen)
	}
	for _, f := range r.figures {
		row(out, "    ", f.what, f.value)
	}
	for i := range r.tables {
		r.tables[i].print(out)
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

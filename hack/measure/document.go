package measure

import (
	"fmt"
	"os"
	"strings"
	"time"
)

// WriteDocument puts what was measured between the markers of a document, a pair for each experiment.
// What was not measured now stays as it is.
func WriteDocument(path, machine string, reports []*Report) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("reading the document: %w", err)
	}
	text := string(content)
	for _, r := range reports {
		if text, err = replaceBetween(text, r.Name, r.markdown(machine)); err != nil {
			return err
		}
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		return fmt.Errorf("writing the document: %w", err)
	}
	return nil
}

// replaceBetween replaces what stands between the two markers of an experiment.
func replaceBetween(text, name, with string) (string, error) {
	begin, end := fmt.Sprintf("<!-- figures of %s -->\n", name), fmt.Sprintf("<!-- end of %s -->\n", name)
	before, rest, found := strings.Cut(text, begin)
	_, after, closed := strings.Cut(rest, end)
	if !found || !closed {
		return "", fmt.Errorf("the document has no place for %s: a line %q and later a line %q", name,
			strings.TrimSpace(begin), strings.TrimSpace(end))
	}
	return before + begin + with + end + after, nil
}

// markdown is the report as a table.
func (r *Report) markdown(machine string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s: %s. %s.\n\n", time.Now().UTC().Format(time.DateOnly), r.setting, upperFirst(machine))
	b.WriteString("| Claimed | Seen |\n| --- | --- |\n")
	for _, c := range r.claims {
		fmt.Fprintf(&b, "| %s | %s |\n", cell(c.what), cell(c.seen))
	}
	b.WriteString("\n")
	if len(r.figures) > 0 {
		b.WriteString("| Measured | |\n| --- | --- |\n")
	}
	for _, f := range r.figures {
		fmt.Fprintf(&b, "| %s | %s |\n", cell(f.what), cell(f.value))
	}
	if len(r.figures) > 0 {
		b.WriteString("\n")
	}
	for i := range r.tables {
		b.WriteString(r.tables[i].markdown() + "\n")
	}
	return b.String()
}

// cell keeps a text within one cell of a table.
func cell(text string) string {
	return strings.Join(strings.Fields(strings.ReplaceAll(text, "|", `\|`)), " ")
}

func upperFirst(text string) string { return strings.ToUpper(text[:1]) + text[1:] }

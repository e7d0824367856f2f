package approval

import (
	"fmt"
	"strings"

	"github.com/pmezard/go-difflib/difflib"
	"sigs.k8s.io/yaml"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/action"
	"github.com/countersign-dev/countersign/internal/legible"
)

const (
	// maxDiff bounds a diff in bytes, and maxLine one of its lines in characters.
	maxDiff, maxLine = 8 << 10, 400
	// maxCompared bounds the lines of each side that are compared: the time it takes grows with the square.
	maxCompared = 2000
	// contextLines is how many unchanged lines are shown around a change.
	contextLines = 3
)

// Diff shows people what an action does, as a unified diff of the object in YAML: without what the server writes, with
// *** for every secret value, and printable throughout. Where a secret changes, both sides say so. It is at most 8 KiB
// long; the last line then says how many more there are.
func Diff(a *action.Action) string {
	before, after := shownContent(a)
	lines := []string{"--- " + title(a, before != nil), "+++ " + title(a, after != nil)}
	switch old, updated := yamlLines(before), yamlLines(after); {
	case before == nil:
		lines = append(lines, prefixed("+", updated)...)
	case after == nil:
		lines = append(lines, prefixed("-", old)...)
	case len(old) > maxCompared || len(updated) > maxCompared:
		lines = append(lines, summary(a)...)
	default:
		lines = append(lines, unified(old, updated)...)
	}
	if more := len(a.Changes) - maxChanges; more > 0 {
		lines = append(lines, fmt.Sprintf("# %d more fields change than are listed", more))
	}
	return bounded(lines)
}

// title says what a side is.
func title(a *action.Action, present bool) string {
	what := strings.ToLower(a.Kind) + " " + targetName(a)
	if a.Namespaced {
		what = strings.ToLower(a.Kind) + " " + a.Namespace + "/" + targetName(a)
	}
	switch {
	case a.Operation == v1alpha1.OperationDelete && !present:
		return "deleted" + deleteOptions(a.Delete)
	case !present:
		return "nothing"
	case a.Operation == v1alpha1.OperationConnect:
		return a.Subresource + " of " + what
	case a.Subresource != "":
		return what + ", " + a.Subresource
	default:
		return what
	}
}

func deleteOptions(d *action.DeleteOptions) string {
	if d == nil {
		return ""
	}
	var text string
	switch {
	case d.Forced():
		text = ", at once"
	case d.GracePeriodSeconds != nil:
		text = fmt.Sprintf(", with %d s to end", *d.GracePeriodSeconds)
	}
	if d.PropagationPolicy != "" {
		text += ", dependents: " + d.PropagationPolicy
	}
	return text
}

// notShown stands for content that YAML cannot hold.
const notShown = "(cannot be shown)"

// yamlLines writes content as YAML, sorted by key.
func yamlLines(content map[string]any) []string {
	if content == nil {
		return nil
	}
	text, err := yaml.Marshal(showable(content))
	if err != nil {
		return []string{notShown}
	}
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
}

func prefixed(prefix string, lines []string) []string {
	all := make([]string, len(lines))
	for i, line := range lines {
		all[i] = prefix + line
	}
	return all
}

// unified are the hunks of a unified diff.
func unified(before, after []string) []string {
	text, err := difflib.GetUnifiedDiffString(difflib.UnifiedDiff{
		A: terminated(before), B: terminated(after), Context: contextLines,
	})
	if err != nil || text == "" {
		return []string{"(no visible difference)"}
	}
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
}

func terminated(lines []string) []string {
	all := make([]string, len(lines))
	for i, line := range lines {
		all[i] = line + "\n"
	}
	return all
}

// summary stands for the diff of an object that is too large to be compared line by line.
func summary(a *action.Action) []string {
	var lines []string
	for _, c := range a.Changes {
		from, to := a.Render(c)
		lines = append(lines, "@@ "+shown(c.Path)+" @@")
		if c.From.Present {
			lines = append(lines, "-"+from)
		}
		if c.To.Present {
			lines = append(lines, "+"+to)
		}
		if len(lines) > maxCompared {
			break
		}
	}
	return lines
}

// bounded joins lines, and cuts at the end of one what is too much.
func bounded(lines []string) string {
	const note = "# %d more lines"
	var b strings.Builder
	for i, line := range lines {
		line = legible.Line(line, maxLine)
		last := fmt.Sprintf(note, len(lines)-i)
		if b.Len()+len(line)+1+len(last)+1 > maxDiff {
			b.WriteString(last + "\n")
			break
		}
		b.WriteString(line + "\n")
	}
	return b.String()
}

package command

import (
	"strconv"
	"strings"

	"github.com/countersign-dev/countersign/cmd/kubectl-countersign/terminal"
	"github.com/countersign-dev/countersign/internal/privilege"
)

// table writes a row for each subject.
func (o *reviewOptions) table(review *privilege.Review, reports []*privilege.Report) error {
	if len(reports) == 0 {
		o.Printf("No Enforce policy governs anybody: there is nobody to review.\n")
		o.notKnown(review.NotKnown)
		return nil
	}
	t := &terminal.Table{Columns: []terminal.Column{
		{Title: "SUBJECT"}, {Title: "ROUTES"}, {Title: "TOO MUCH"}, {Title: "UNBOUNDED"}, {Title: "UNUSED"}, {Title: "OTHER"},
		{Title: "BINDINGS", Spare: 2}, {Title: "POLICIES", Least: 12, Spare: 1},
	}}
	unknown := false
	for _, r := range reports {
		unused, style := strconv.Itoa(r.Count(privilege.UnusedGrant)), terminal.Plain
		if !r.KnowsUses() {
			unused, style, unknown = "?", terminal.Faint, true
		}
		bindings := 0
		for i := range r.Grants {
			if !r.Grants[i].Everybody {
				bindings++
			}
		}
		t.Rows = append(t.Rows, []terminal.Cell{
			{Text: r.Subject.String()}, number(r.Count(privilege.RouteAroundGate), terminal.Red),
			number(r.Count(privilege.OverPrivilege), terminal.Yellow), number(r.Count(privilege.NotBounded), terminal.Yellow),
			{Text: unused, Style: style}, number(r.Other(), terminal.Plain), {Text: strconv.Itoa(bindings)}, {Text: policiesOf(r)},
		})
	}
	if err := t.Write(o.Out, o.Screen); err != nil {
		return err
	}
	if unknown {
		o.Printf("\n? Nothing records what it did, or not for a day yet.\n")
	}
	o.notKnown(review.NotKnown)
	return nil
}

// number is a count, in a style where it is not 0.
func number(n int, style terminal.Style) terminal.Cell {
	if n == 0 {
		style = terminal.Plain
	}
	return terminal.Cell{Text: strconv.Itoa(n), Style: style}
}

func policiesOf(r *privilege.Report) string {
	names := make([]string, len(r.Policies))
	for i := range r.Policies {
		names[i] = r.Policies[i].Name
	}
	if len(names) == 0 {
		return "-"
	}
	return strings.Join(names, ",")
}

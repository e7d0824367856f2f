package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/cmd/kubectl-countersign/terminal"
	"github.com/countersign-dev/countersign/internal/approval"
)

const watchHelp = `Watch requests and approvals. On a terminal it is a table that is always current: what waits for people comes first, then
what can be used, then what has ended, as far as there is room. Elsewhere a row is written for everything that is there,
and then for every change.

Ctrl-C ends it. A connection that breaks is made anew.`

const watchExamples = `  # Everything that waits for people, in all namespaces
  kubectl countersign watch --pending -A

  # Every change as a line, for a program
  kubectl countersign watch -n shop | while read -r line; do notify "$line"; done`

// redrawEvery is how often the times in a live table are brought up to date.
const redrawEvery = time.Second

func newWatch(e *Environment) *cobra.Command {
	var f filter
	c := &cobra.Command{
		Use: "watch", Short: "Watch requests and approvals in a live table", Long: watchHelp, Example: watchExamples,
		Args: cobra.NoArgs, ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, _ []string) error { return e.watch(c.Context(), f) },
	}
	f.bind(c)
	return c
}

func (e *Environment) watch(ctx context.Context, f filter) error {
	client, err := e.approvals()
	if err != nil {
		return err
	}
	namespace, selector, err := e.scope(ctx, f)
	if err != nil {
		return err
	}
	follow := follower{e: e, client: client, namespace: namespace, selector: selector}
	if e.Screen.Interactive {
		live := &liveTable{e: e, filter: f, namespace: namespace}
		follow.changed, follow.tick = live.draw, redrawEvery
		live.begin()
		defer live.end()
	} else {
		follow.changed = (&rows{e: e, filter: f, last: map[string]string{}}).write
	}
	if err = follow.run(ctx); errors.Is(err, context.Canceled) {
		return nil // somebody has seen enough
	}
	return err
}

// liveTable is redrawn in place, on the terminal's second screen: what stood there before is back when it ends.
type liveTable struct {
	e         *Environment
	filter    filter
	namespace string
}

// Sequences of the terminal: https://invisible-island.net/xterm/ctlseqs/ctlseqs.html.
const (
	secondScreen, firstScreen = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
	home, clearLine, clearEnd = "\x1b[H", "\x1b[K", "\x1b[J"
)

func (l *liveTable) begin() { l.e.Printf(secondScreen) }
func (l *liveTable) end()   { l.e.Printf(firstScreen) }

func (l *liveTable) draw(now view, _ *v1alpha1.ActionApproval) error {
	l.e.Screen = terminal.Of(l.e.Out) // it may have been resized
	items := l.e.visible(now, l.filter)
	var text strings.Builder
	where := "all namespaces"
	if l.namespace != "" {
		where = "namespace " + l.namespace
	}
	fmt.Fprintf(&text, "Approvals in %s, %s - Ctrl-C ends\n\n", where, l.e.Now().UTC().Format(stampFormat))
	room := max(l.e.Screen.Height-4, 1) // the title, an empty line, the names of columns, and what is left out
	more := len(items) - room
	if l.e.Screen.Height > 0 && more > 0 {
		items = items[:room]
	}
	if len(items) == 0 {
		text.WriteString(nothingFound(l.namespace, l.filter) + "\n")
	} else if err := l.e.approvalTable(items, l.filter.everywhere, &output{}).Write(&text, l.e.Screen); err != nil {
		return enough{err}
	}
	if l.e.Screen.Height > 0 && more > 0 {
		fmt.Fprintf(&text, "and %d more", more)
	}
	// Lines are overwritten rather than cleared first, so that nothing flickers.
	l.e.Printf("%s", home+strings.ReplaceAll(text.String(), "\n", clearLine+"\r\n")+clearEnd)
	return nil
}

// visible are the approvals that a filter means: what waits first, then what can be used, then what ended last.
func (e *Environment) visible(now view, f filter) []v1alpha1.ActionApproval {
	var items []v1alpha1.ActionApproval
	for _, a := range now {
		items = append(items, *a)
	}
	rank := func(s approval.State) int {
		switch s {
		case approval.Pending:
			return 0
		case approval.Approved:
			return 1
		default:
			return 2
		}
	}
	slices.SortFunc(items, func(x, y v1alpha1.ActionApproval) int {
		return cmp.Or(
			cmp.Compare(rank(e.stateOf(&x)), rank(e.stateOf(&y))), e.expiryOf(&x).Compare(e.expiryOf(&y)),
			y.CreationTimestamp.Compare(x.CreationTimestamp.Time), cmp.Compare(keyOf(&x), keyOf(&y)))
	})
	return e.arrange(items, f)
}

// rows writes a row for every approval, and for every change of a row, where no terminal is.
type rows struct {
	e      *Environment
	filter filter
	// last is the row that was written of each, without its times.
	last   map[string]string
	titled bool
	// widths are those of the columns so far: what comes later stands below.
	widths []int
}

func (r *rows) write(now view, what *v1alpha1.ActionApproval) error {
	items := []v1alpha1.ActionApproval{}
	switch {
	case what == nil:
		items = r.e.visible(now, r.filter)
	case now[keyOf(what)] == nil:
		r.e.Printf("%s deleted\n", terminal.Clean(keyOf(what)))
		delete(r.last, keyOf(what))
	case !r.filter.pending || r.e.stateOf(what) == approval.Pending || r.last[keyOf(what)] != "":
		items = append(items, *what)
	}
	items = slices.DeleteFunc(items, func(a v1alpha1.ActionApproval) bool { return !r.news(&a) })
	if len(items) == 0 {
		return nil
	}
	table := r.e.approvalTable(items, r.filter.everywhere, &output{form: outputWide, noHeaders: r.titled})
	r.titled = true
	for i := range r.widths {
		table.Columns[i].Most = r.widths[i]
	}
	if err := table.Write(r.e.Out, terminal.Screen{}); err != nil {
		return enough{err}
	}
	r.widths = r.widths[:0]
	for i := range table.Columns {
		r.widths = append(r.widths, table.Columns[i].Most)
	}
	return nil
}

// news says whether an approval looks otherwise than when it was last written.
func (r *rows) news(a *v1alpha1.ActionApproval) bool {
	row := string(r.e.stateOf(a)) + " " + consentsOf(&a.Spec) + " " + usesOf(a)
	if r.last[keyOf(a)] == row {
		return false
	}
	r.last[keyOf(a)] = row
	return true
}

package command

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/duration"
	authenticationclient "k8s.io/client-go/kubernetes/typed/authentication/v1"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/cmd/kubectl-countersign/terminal"
	"github.com/countersign-dev/countersign/internal/approval"
	"github.com/countersign-dev/countersign/internal/naming"
)

const listHelp = `List requests and approvals of the namespace, or with -A of all namespaces.

With --pending only what waits for people is listed, what expires first at the top. On a terminal that is too narrow for
all columns the less important ones are left out; -o wide shows all, and who is still needed.`

const listExamples = `  # What waits for somebody's decision, anywhere
  kubectl countersign list --pending -A

  # What I have asked for, and what became of it
  kubectl countersign list --mine -A

  # All names, for a script
  kubectl countersign list -n shop -o name`

// filter says which approvals are shown.
type filter struct {
	pending, mine, everywhere bool
}

func (f *filter) bind(c *cobra.Command) {
	c.Flags().BoolVar(&f.pending, "pending", false, "Only what waits for people; what expires first comes first")
	c.Flags().BoolVar(&f.mine, "mine", false, "Only what the current user has asked for")
	c.Flags().BoolVarP(&f.everywhere, "all-namespaces", "A", false, "In all namespaces")
}

func newList(e *Environment) *cobra.Command {
	var f filter
	c := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List requests and approvals", Long: listHelp, Example: listExamples,
		Args: cobra.NoArgs, ValidArgsFunction: cobra.NoFileCompletions,
	}
	f.bind(c)
	o := addOutput(c, outputTable, outputWide)
	c.Flags().BoolVar(&o.noHeaders, "no-headers", false, "Leave out the line with the names of the columns")
	c.RunE = func(c *cobra.Command, _ []string) error { return e.list(c.Context(), f, o) }
	return c
}

func (e *Environment) list(ctx context.Context, f filter, o *output) error {
	if !o.isTable() {
		if _, err := o.printer(); err != nil { // before anything is asked
			return err
		}
	}
	client, err := e.approvals()
	if err != nil {
		return err
	}
	namespace, selector, err := e.scope(ctx, f)
	if err != nil {
		return err
	}
	if o.isTable() && !f.pending {
		return e.listPages(ctx, client, namespace, selector, f, o)
	}
	items, version, err := client.all(ctx, namespace, selector)
	if err != nil {
		return err
	}
	items = e.arrange(items, f)
	switch {
	case !o.isTable():
		return o.printList(e, items, version)
	case len(items) == 0:
		e.Warnf("%s", nothingFound(namespace, f))
		return nil
	default:
		return e.approvalTable(items, f.everywhere, o).Write(e.Out, o.screen(e))
	}
}

// listPages writes a page while the next ones are not read yet: where there are thousands, the first answer comes at once.
func (e *Environment) listPages(
	ctx context.Context, client *approvals, namespace string, selector fields.Selector, f filter, o *output,
) error {
	table := e.approvalTable(nil, f.everywhere, o)
	err := client.list(ctx, namespace, selector, func(page *v1alpha1.ActionApprovalList) error {
		if len(page.Items) == 0 {
			return nil
		}
		table.Rows = e.approvalTable(page.Items, f.everywhere, o).Rows
		if err := table.Write(e.Out, o.screen(e)); err != nil {
			return fmt.Errorf("writing the table: %w", err)
		}
		table.NoHeaders = true
		return nil
	})
	if err == nil && len(table.Rows) == 0 {
		e.Warnf("%s", nothingFound(namespace, f))
	}
	return err
}

// scope is the namespace and the selector that a filter means.
func (e *Environment) scope(ctx context.Context, f filter) (namespace string, selector fields.Selector, err error) {
	if !f.everywhere {
		if namespace, err = e.Namespace(); err != nil {
			return "", nil, err
		}
	}
	if !f.mine {
		return namespace, fields.Everything(), nil
	}
	me, err := e.whoAmI(ctx)
	if err != nil {
		return "", nil, err
	}
	return namespace, fields.OneTermEqualSelector("spec.requester.username", me), nil
}

// whoAmI asks the API server for the name of the current user.
func (e *Environment) whoAmI(ctx context.Context) (string, error) {
	config, err := e.RESTConfig()
	if err != nil {
		return "", err
	}
	client, err := authenticationclient.NewForConfig(config)
	if err != nil {
		return "", fmt.Errorf("connecting: %w", err)
	}
	review, err := client.SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		return "", fmt.Errorf("asking the API server who you are: %w", err)
	}
	return review.Status.UserInfo.Username, nil
}

// arrange leaves out what the filter does not mean, and sorts what waits by how soon it expires.
func (e *Environment) arrange(items []v1alpha1.ActionApproval, f filter) []v1alpha1.ActionApproval {
	if !f.pending {
		return items
	}
	items = slices.DeleteFunc(items, func(a v1alpha1.ActionApproval) bool { return e.stateOf(&a) != approval.Pending })
	slices.SortStableFunc(items, func(x, y v1alpha1.ActionApproval) int {
		return cmp.Or(e.expiryOf(&x).Compare(e.expiryOf(&y)), cmp.Compare(x.Namespace, y.Namespace), cmp.Compare(x.Name, y.Name))
	})
	return items
}

func nothingFound(namespace string, f filter) string {
	what := "No requests or approvals"
	if f.pending {
		what = "Nothing waits for a decision"
	}
	if f.mine {
		what += " that you have asked for"
	}
	if namespace == "" {
		return what + " in any namespace."
	}
	return what + " in namespace " + namespace + "."
}

// screen is what a table may count on: one that is asked to be wide is never narrowed.
func (o *output) screen(e *Environment) terminal.Screen {
	s := e.Screen
	if o.form == outputWide {
		s.Width = 0
	}
	return s
}

// approvalTable has the columns of kubectl get, and more where it is asked to be wide.
func (e *Environment) approvalTable(items []v1alpha1.ActionApproval, namespaces bool, o *output) *terminal.Table {
	t := &terminal.Table{NoHeaders: o.noHeaders, Columns: []terminal.Column{
		{Title: "NAME"}, {Title: "STATE"}, {Title: "REQUESTER", Least: 8, Spare: 1}, {Title: "ACTION", Least: 8},
		{Title: "REASONS", Spare: 2}, {Title: "EXPIRES"}, {Title: "AGE", Spare: 3},
	}}
	if namespaces {
		t.Columns = append([]terminal.Column{{Title: "NAMESPACE"}}, t.Columns...)
	}
	if o.form == outputWide {
		t.Columns = append(t.Columns, terminal.Column{Title: "CONSENTS"}, terminal.Column{Title: "USES"})
	}
	for i := range items {
		t.Rows = append(t.Rows, e.approvalRow(&items[i], namespaces, o.form == outputWide))
	}
	return t
}

func (e *Environment) approvalRow(a *v1alpha1.ActionApproval, namespace, wide bool) []terminal.Cell {
	state := e.stateOf(a)
	row := []terminal.Cell{
		{Text: a.Name}, {Text: string(state), Style: styleOf(state)}, {Text: naming.Short(a.Spec.Requester.Username)},
		{Text: deedOf(&a.Spec)}, {Text: reasonsOf(&a.Spec)}, {Text: e.expiryCell(a)}, {Text: e.age(a.CreationTimestamp.Time)},
	}
	if namespace {
		row = append([]terminal.Cell{{Text: a.Namespace}}, row...)
	}
	if wide {
		row = append(row, terminal.Cell{Text: consentsOf(&a.Spec)}, terminal.Cell{Text: usesOf(a)})
	}
	return row
}

func (e *Environment) age(since time.Time) string {
	if since.IsZero() {
		return "-"
	}
	return duration.HumanDuration(e.Now().Sub(since))
}

// printList prints objects as kubectl get does: a List, and names one by one.
func (o *output) printList(e *Environment, items []v1alpha1.ActionApproval, version string) error {
	p, err := o.printer()
	if err != nil {
		return err
	}
	if o.form == "name" {
		for i := range items {
			identify(&items[i])
			if err := p.PrintObj(&items[i], e.Out); err != nil {
				return fmt.Errorf("printing: %w", err)
			}
		}
		return nil
	}
	list := &metav1.List{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "List"}, ListMeta: metav1.ListMeta{ResourceVersion: version}}
	for i := range items {
		identify(&items[i])
		list.Items = append(list.Items, runtime.RawExtension{Object: &items[i]})
	}
	return o.write(p.PrintObj(list, e.Out))
}

func (o *output) write(err error) error {
	if err != nil {
		return fmt.Errorf("printing: %w", err)
	}
	return nil
}

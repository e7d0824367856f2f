package command

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/printers"
)

// The forms of output that are not the printers' of kubectl.
const (
	outputTable = "table"
	outputWide  = "wide"
)

// output is the flag -o. It has the forms of kubectl but for templates of Go: whatever executes one may call any method by its
// name, so that a program which can keeps all methods of all types that it has, a third of the binary.
type output struct {
	form      string
	forms     []string // for people: what form may be
	noHeaders bool
	jsonYAML  *genericclioptions.JSONYamlPrintFlags
	names     *genericclioptions.NamePrintFlags
	jsonPath  *genericclioptions.JSONPathPrintFlags
}

// addOutput adds -o with the forms of kubectl, and with tables where the command has one.
func addOutput(c *cobra.Command, tables ...string) *output {
	o := &output{
		jsonYAML: genericclioptions.NewJSONYamlPrintFlags(), names: genericclioptions.NewNamePrintFlags(""),
		jsonPath: genericclioptions.NewJSONPathPrintFlags("", true),
	}
	o.forms = slices.Concat(tables, []string{"json", "yaml", "name", "jsonpath=..."})
	c.Flags().StringVarP(&o.form, "output", "o", "", "Form of the output: "+strings.Join(o.forms, "|"))
	o.jsonYAML.AddFlags(c)
	completeFlag(c, "output", oneOf(slices.Concat(tables, []string{"json", "yaml", "name"})...))
	return o
}

// isTable says whether people are to read it.
func (o *output) isTable() bool {
	return o.form == "" || o.form == outputTable || o.form == outputWide
}

// printer prints objects in the form that was asked for.
func (o *output) printer() (printers.ResourcePrinter, error) {
	scheme, err := newScheme()
	if err != nil {
		return nil, err
	}
	for _, family := range []interface {
		ToPrinter(string) (printers.ResourcePrinter, error)
	}{o.jsonYAML, o.names, o.jsonPath} {
		p, err := family.ToPrinter(o.form)
		switch {
		case genericclioptions.IsNoCompatiblePrinterError(err):
			continue
		case err != nil:
			return nil, usageError{fmt.Errorf("-o: %w", err)}
		default:
			return printers.NewTypeSetter(scheme).ToPrinter(p), nil
		}
	}
	return nil, usageError{fmt.Errorf("-o %q: must be one of %s", o.form, strings.Join(o.forms, ", "))}
}

// print prints one object.
func (o *output) print(e *Environment, object runtime.Object) error {
	p, err := o.printer()
	if err != nil {
		return err
	}
	if err := p.PrintObj(object, e.Out); err != nil {
		return fmt.Errorf("printing: %w", err)
	}
	return nil
}

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

// output is the flag -o.
type output struct {
	form      string
	noHeaders bool
	flags     *genericclioptions.PrintFlags
}

// addOutput adds -o with the forms of kubectl, and with tables where the command has one.
func addOutput(c *cobra.Command, tables ...string) *output {
	o := &output{flags: genericclioptions.NewPrintFlags("")}
	o.flags.OutputFormat = &o.form
	forms := slices.Concat(tables, []string{"json", "yaml", "name", "jsonpath=...", "go-template=..."})
	c.Flags().StringVarP(&o.form, "output", "o", "", "Form of the output: "+strings.Join(forms, "|"))
	o.flags.JSONYamlPrintFlags.AddFlags(c)
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
	p, err := o.flags.WithTypeSetter(scheme).ToPrinter()
	if err != nil {
		return nil, usageError{fmt.Errorf("-o: %w", err)}
	}
	return p, nil
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

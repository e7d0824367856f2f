package command

import (
	"strings"

	"github.com/spf13/cobra"
)

const (
	// helpWidth is the width of the help where it is not written to a narrower terminal.
	helpWidth = 100
	// leastWidth is the narrowest that the help is wrapped for.
	leastWidth = 40
)

// usageTemplate is that of kubectl: the flags that every command has are a page of their own.
const usageTemplate = `{{if .HasExample}}Examples:
{{.Example}}

{{end}}{{if .HasAvailableSubCommands}}{{$commands := .Commands}}{{range $group := .Groups}}{{$has := false}}{{range $commands -}}
{{if and (eq .GroupID $group.ID) .IsAvailableCommand}}{{$has = true}}{{end}}{{end}}{{if $has}}{{.Title}}{{range $commands -}}
{{if and (eq .GroupID $group.ID) .IsAvailableCommand}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}

{{end}}{{end}}{{end}}{{if .HasAvailableLocalFlags}}{{with flags .}}Flags:
{{.}}

{{end}}{{end}}Usage:
  {{if .Runnable}}{{.UseLine}}{{else}}{{.CommandPath}} COMMAND{{end}}

{{if .HasAvailableSubCommands}}Use "{{.CommandPath}} COMMAND --help" for more about a command.
{{end}}Use "kubectl countersign options" for the flags of all commands, such as -n, --context and --kubeconfig.
`

// styleHelp sets the form of the help of all commands.
func styleHelp(root *cobra.Command, e *Environment) {
	cobra.AddTemplateFunc("flags", func(c *cobra.Command) string {
		// The flags that all commands have are shown by newOptions.
		own := c.LocalNonPersistentFlags()
		return strings.TrimRight(own.FlagUsagesWrapped(e.helpWidth()), "\n ")
	})
	root.SetUsageTemplate(usageTemplate)
	root.SetHelpTemplate("{{with (or .Long .Short)}}{{. | trimTrailingWhitespaces}}\n\n{{end}}{{.UsageString}}")
	sorted := func(c *cobra.Command) { c.Flags().SortFlags = false }
	sorted(root)
	for _, c := range root.Commands() {
		sorted(c)
	}
}

func (e *Environment) helpWidth() int {
	if e.Screen.Width >= leastWidth && e.Screen.Width < helpWidth {
		return e.Screen.Width
	}
	return helpWidth
}

// newOptions shows the flags that every command has.
func newOptions(e *Environment) *cobra.Command {
	return &cobra.Command{
		Use: "options", Short: "List the flags that all commands have", Args: cobra.NoArgs,
		Long: "List the flags that all commands have. They are those by which kubectl finds a cluster, a user and a namespace.",
		RunE: func(c *cobra.Command, _ []string) error {
			e.Printf("The following flags can be given to any command:\n\n%s", c.Root().PersistentFlags().FlagUsagesWrapped(e.helpWidth()))
			return nil
		},
	}
}

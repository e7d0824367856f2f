package command

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

const (
	// helpWidth is the width of the help where it is not written to a narrower terminal.
	helpWidth = 100
	// leastWidth is the narrowest that the help is wrapped for.
	leastWidth = 40
)

// styleHelp sets the form of the help of all commands. It is written here and not by a template: templates may call any
// method by its name, so a program that executes one keeps all methods of all types that it has.
func styleHelp(root *cobra.Command, e *Environment) {
	root.SetUsageFunc(e.showUsage)
	root.SetHelpFunc(func(c *cobra.Command, _ []string) {
		if long := strings.TrimSpace(c.Long); long != "" {
			c.Println(long + "\n")
		}
		c.Print(c.UsageString())
	})
	sorted := func(c *cobra.Command) { c.Flags().SortFlags = false }
	sorted(root)
	for _, c := range root.Commands() {
		sorted(c)
	}
}

// showUsage says how a command is used, as kubectl does: the flags that every command has are a page of their own.
func (e *Environment) showUsage(c *cobra.Command) error {
	var b strings.Builder
	if c.HasExample() {
		b.WriteString("Examples:\n" + c.Example + "\n\n")
	}
	for _, g := range c.Groups() {
		if lines := linesOf(c, g); lines != "" {
			b.WriteString(g.Title + lines + "\n\n")
		}
	}
	// The flags that all commands have are shown by newOptions.
	if flags := c.LocalNonPersistentFlags().FlagUsagesWrapped(e.helpWidth()); flags != "" {
		b.WriteString("Flags:\n" + strings.TrimRight(flags, "\n ") + "\n\n")
	}
	line := c.CommandPath() + " COMMAND"
	if c.Runnable() {
		line = c.UseLine()
	}
	b.WriteString("Usage:\n  " + line + "\n\n")
	if c.HasAvailableSubCommands() {
		fmt.Fprintf(&b, "Use \"%s COMMAND --help\" for more about a command.\n", c.CommandPath())
	}
	b.WriteString("Use \"kubectl countersign options\" for the flags of all commands, such as -n, --context and --kubeconfig.\n")
	_, err := io.WriteString(c.OutOrStderr(), b.String())
	return err
}

// linesOf has a line for each command of a group.
func linesOf(c *cobra.Command, g *cobra.Group) string {
	var b strings.Builder
	for _, sub := range c.Commands() {
		if sub.GroupID == g.ID && sub.IsAvailableCommand() {
			fmt.Fprintf(&b, "\n  %-*s %s", sub.NamePadding(), sub.Name(), sub.Short)
		}
	}
	return b.String()
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

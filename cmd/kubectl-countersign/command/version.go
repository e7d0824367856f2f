package command

import (
	"runtime"

	"github.com/spf13/cobra"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

const versionHelp = `Say which version of the plugin this is, and of which API.

It asks no cluster. "kubectl countersign doctor" compares it with what a cluster runs.`

func newVersion(e *Environment) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Say which version of the plugin this is", Long: versionHelp, Args: cobra.NoArgs,
		Example: "  kubectl countersign version",
		RunE: func(*cobra.Command, []string) error {
			e.Printf("plugin: %s (%s/%s, %s)\napi:    %s\n", e.Version, runtime.GOOS, runtime.GOARCH, runtime.Version(), v1alpha1.GroupVersion)
			return nil
		},
	}
}

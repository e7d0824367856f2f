// Command helm runs the Helm that is built with the control plane, see hack/controlplane, and builds it when it
// is missing:
//
//	go run ./hack/tools/helm lint --strict charts/countersign
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"

	"github.com/countersign-dev/countersign/hack/controlplane"
)

func main() {
	err := run(context.Background(), os.Args[1:])
	var failed *exec.ExitError
	switch {
	case err == nil:
	case errors.As(err, &failed):
		os.Exit(failed.ExitCode())
	default:
		fmt.Fprintln(os.Stderr, "helm:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	binaries, err := controlplane.Ensure(ctx, os.Stderr)
	if err != nil {
		return err
	}
	helm := exec.CommandContext(ctx, binaries.Helm, args...)
	helm.Stdin, helm.Stdout, helm.Stderr = os.Stdin, os.Stdout, os.Stderr
	return helm.Run()
}

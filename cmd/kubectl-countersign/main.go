// The kubectl plugin of Countersign: kubectl finds the binary by its name and runs it as "kubectl countersign".
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/countersign-dev/countersign/cmd/kubectl-countersign/command"
)

// version is stamped by the build.
var version = "unknown"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	streams := genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr}
	code := command.Execute(ctx, command.NewEnvironment(streams, version), os.Args[1:])
	stop()
	os.Exit(code)
}

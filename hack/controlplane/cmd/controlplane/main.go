// Command controlplane builds a Kubernetes control plane and runs it on loopback.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/countersign-dev/countersign/hack/controlplane"
)

const usage = `Usage: controlplane <command> [flags]

  build   build every binary that is missing from the cache
  up      start a control plane and run it until Ctrl-C
  pin     pin another Kubernetes version: controlplane pin 1.35.4
`

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "controlplane:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(args) == 0 {
		fmt.Fprint(os.Stderr, usage)
		return errors.New("a command is missing")
	}
	switch args[0] {
	case "build":
		return build(ctx, args[1:])
	case "up":
		return up(ctx, args[1:])
	case "pin":
		return pin(ctx, args[1:])
	case "help", "-h", "--help":
		fmt.Print(usage)
		return nil
	default:
		return fmt.Errorf("unknown command %q; help lists them", args[0])
	}
}

func kubernetesFlag(flags *flag.FlagSet) *string {
	return flags.String("kubernetes", controlplane.DefaultKubernetes(), "a pinned `version` such as 1.35.4; empty is the default one")
}

func build(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("build", flag.ExitOnError)
	kubernetes := kubernetesFlag(flags)
	_ = flags.Parse(args)
	binaries, err := controlplane.EnsureVersion(ctx, *kubernetes, os.Stdout)
	if err != nil {
		return err
	}
	fmt.Printf("Kubernetes %s is built.\n", binaries.Kubernetes)
	return nil
}

func up(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("up", flag.ExitOnError)
	opts := controlplane.Options{ControllerManager: true, Out: os.Stdout}
	kubernetes := kubernetesFlag(flags)
	flags.IntVar(&opts.Nodes, "nodes", 2, "`number` of fake nodes; 0 also leaves out the scheduler")
	flags.StringVar(&opts.WorkDir, "work-dir", "", "`directory` for data and logs, kept at the end")
	_ = flags.Parse(args)
	opts.Kubernetes = *kubernetes

	plane, err := controlplane.Start(ctx, opts)
	if err != nil {
		return err
	}
	fmt.Printf(`Kubernetes %s runs at %s

  export KUBECONFIG=%s
  export PATH=%s:$PATH
  kubectl get nodes

Logs are in %s/logs. Ctrl-C stops it.
`, plane.Binaries().Kubernetes, plane.URL(), plane.Kubeconfig("admin"), plane.BinDir(), plane.WorkDir())
	<-ctx.Done()
	fmt.Println("Stopping")
	return plane.Stop()
}

func pin(ctx context.Context, args []string) error {
	if len(args) != 1 {
		return errors.New("pin wants one version, such as 1.35.4")
	}
	dir, err := controlplane.Pin(ctx, args[0])
	if err != nil {
		return err
	}
	fmt.Println("Pinned in", dir)
	return nil
}

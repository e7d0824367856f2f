package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/countersign-dev/countersign/internal/canary"
)

const checkHelp = `Check that agents are refused.

It acts as the canary, an agent that Countersign refuses everything, and asks the API server to create a ConfigMap, as
a dry run. Only Countersign's refusal counts: the API server has then sent the request to the operator, which has
decided. It also says which Kubernetes it is, and what Countersign cannot do with this version.`

// newCheck is what the chart runs for helm test.
func newCheck() *cobra.Command {
	o := options{}
	var timeout time.Duration
	command := &cobra.Command{
		Use: "check", Short: "Check that agents are refused", Long: checkHelp,
		Args: cobra.NoArgs, SilenceUsage: true, SilenceErrors: true,
		RunE: func(c *cobra.Command, _ []string) error {
			return check(c.Context(), &o, timeout, c.OutOrStdout())
		},
	}
	flags := command.Flags()
	flags.StringVar(&o.kubeconfig, "kubeconfig", "", "kubeconfig of the cluster; empty: the pod's service account, or $KUBECONFIG")
	flags.StringVar(&o.namespace, "namespace", os.Getenv("POD_NAMESPACE"), "namespace of the release ($POD_NAMESPACE)")
	flags.StringVar(&o.canary, "canary", canary.DefaultAccount, "service account of that namespace which the operator knows as the canary")
	flags.DurationVar(&timeout, "timeout", 30*time.Second, "how long it is tried again")
	return command
}

// checkPause is between two attempts.
const checkPause = 500 * time.Millisecond

func check(ctx context.Context, o *options, timeout time.Duration, out io.Writer) error {
	config, err := restConfig(o.kubeconfig)
	if err != nil {
		return err
	}
	self, err := whoAmI(ctx, config)
	if err != nil {
		return err
	}
	write, err := canary.Writer(config, canary.AccountFor(self, o.canaryUsername(), o.canaryNamespace()))
	if err != nil {
		return err
	}
	var last canary.Result
	err = wait.PollUntilContextTimeout(ctx, checkPause, timeout, true, func(ctx context.Context) (bool, error) {
		attempt := canary.Classify(write(ctx))
		if ctx.Err() == nil || last.Outcome == "" {
			last = attempt // what the end of the time has cut off says nothing
		}
		return last.Outcome == canary.Refused, nil
	})
	if err != nil {
		return fmt.Errorf("nobody knows that agents are refused: the canary %s is %s, and must be Refused: %s",
			o.canaryUsername(), last.Outcome, last.Detail)
	}
	fmt.Fprintf(out, "Agents are refused: the canary %s was refused by Countersign.\n", o.canaryUsername())
	server, err := askServer(config)
	if err != nil {
		fmt.Fprintf(out, "Kubernetes does not say its version: %v.\n", err)
		return nil
	}
	fmt.Fprintf(out, "%s.\n", describe(server))
	return nil
}

package command

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/countersign-dev/countersign/cmd/kubectl-countersign/terminal"
	"github.com/countersign-dev/countersign/internal/approval"
	"github.com/countersign-dev/countersign/internal/naming"
)

// completionTime bounds how long somebody who has pressed the tab key waits.
const completionTime = 3 * time.Second

// stateFilter says which states a command is for.
type stateFilter func(approval.State) bool

func anyState(approval.State) bool       { return true }
func isPending(s approval.State) bool    { return s == approval.Pending }
func isUnfinished(s approval.State) bool { return !s.Terminal() }
func isRevocable(s approval.State) bool  { return s == approval.Approved || s == approval.Denied }

// completeApprovals offers the names of approvals in the states that a command is for, with who asks for what.
func (e *Environment) completeApprovals(wanted stateFilter) cobra.CompletionFunc {
	return func(c *cobra.Command, given []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		ctx, cancel := context.WithTimeout(c.Context(), completionTime)
		defer cancel()
		client, err := e.approvals()
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		namespace, err := e.Namespace()
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		items, _, err := client.all(ctx, namespace, fields.Everything())
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		typed := map[string]bool{}
		for _, name := range given {
			typed[name] = true
		}
		var names []cobra.Completion
		for i := range items {
			a := &items[i]
			if state := e.stateOf(a); wanted(state) && !typed[a.Name] {
				about := terminal.Clean(string(state) + ": " + naming.Short(a.Spec.Requester.Username) + ", " + deedOf(&a.Spec))
				names = append(names, cobra.CompletionWithDesc(a.Name, about))
			}
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

// completeFlag offers values of a flag. It panics where the command has no such flag: that is a mistake in this package.
func completeFlag(c *cobra.Command, flag string, values cobra.CompletionFunc) {
	if err := c.RegisterFlagCompletionFunc(flag, values); err != nil {
		panic(err)
	}
}

// oneOf offers fixed values.
func oneOf(values ...cobra.Completion) cobra.CompletionFunc {
	return cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)
}

// completeNamespaces offers the namespaces of the cluster.
func (e *Environment) completeNamespaces(c *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(c.Context(), completionTime)
	defer cancel()
	names, err := e.namespaces(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeContexts offers the contexts of the kubeconfig.
func (e *Environment) completeContexts(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	config, err := e.Flags.ToRawKubeConfigLoader().RawConfig()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return slices.Sorted(maps.Keys(config.Contexts)), cobra.ShellCompDirectiveNoFileComp
}

func (e *Environment) namespaces(ctx context.Context) ([]string, error) {
	config, err := e.RESTConfig()
	if err != nil {
		return nil, err
	}
	client, err := corev1client.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("connecting: %w", err)
	}
	list, err := client.Namespaces().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("listing namespaces: %w", err)
	}
	names := make([]string, len(list.Items))
	for i := range list.Items {
		names[i] = list.Items[i].Name
	}
	return names, nil
}

package command

import (
	"errors"
	"fmt"
	"time"

	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/rest"

	"github.com/countersign-dev/countersign/cmd/kubectl-countersign/terminal"
)

// Environment is what all commands work with. Nothing of it is read before a command asks for it, so that commands
// that need no cluster work without a kubeconfig.
type Environment struct {
	genericiooptions.IOStreams
	// Flags are those by which kubectl finds a cluster, a user and a namespace.
	Flags *genericclioptions.ConfigFlags
	// Screen is what Out can show.
	Screen terminal.Screen
	// Version is that of the plugin.
	Version string
	// Now is the time.
	Now func() time.Time
	// later has fields of a later version, by the policy of the cluster that has them.
	later map[string][]string
}

// NewEnvironment makes the environment of a process. Nothing is connected yet.
func NewEnvironment(streams genericiooptions.IOStreams, version string) *Environment {
	return &Environment{
		IOStreams: streams,
		Flags:     genericclioptions.NewConfigFlags(true),
		Screen:    terminal.Of(streams.Out),
		Version:   version,
		Now:       time.Now,
	}
}

// Printf writes to the standard output. What an object or the server says must be cleaned first.
func (e *Environment) Printf(format string, args ...any) {
	fmt.Fprintf(e.Out, format, args...)
}

// Warnf writes a line to the standard error.
func (e *Environment) Warnf(format string, args ...any) {
	fmt.Fprintf(e.ErrOut, format+"\n", args...)
}

// Namespace is that of -n, of the context, or default.
func (e *Environment) Namespace() (string, error) {
	namespace, _, err := e.Flags.ToRawKubeConfigLoader().Namespace()
	if err != nil {
		return "", fmt.Errorf("reading the kubeconfig: %w", err)
	}
	return namespace, nil
}

// noCluster is where kubectl looks for a cluster when nothing says where one is.
const noCluster = "http://localhost:8080"

var errNoCluster = errors.New("no cluster is configured")

// RESTConfig says how to reach the cluster. It connects to nothing.
func (e *Environment) RESTConfig() (*rest.Config, error) {
	config, err := e.Flags.ToRESTConfig()
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	if raw, err := e.Flags.ToRawKubeConfigLoader().RawConfig(); err == nil && len(raw.Clusters) == 0 && config.Host == noCluster {
		return nil, errNoCluster
	}
	config = rest.CopyConfig(config)
	config.UserAgent = "kubectl-countersign/" + e.Version
	// A person waits. The API server has limits of its own.
	config.QPS, config.Burst = -1, -1
	// Warnings are printed where a command wants them to be.
	config.WarningHandler = rest.NoWarnings{}
	return config, nil
}

package main

import (
	"fmt"
	"strings"

	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/countersign-dev/countersign/internal/support"
)

// askServer asks the API server which Kubernetes it is.
func askServer(config *rest.Config) (support.Server, error) {
	c, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return support.Server{}, fmt.Errorf("connecting: %w", err)
	}
	info, err := c.ServerVersion()
	if err != nil {
		return support.Server{}, fmt.Errorf("asking the API server for its version: %w", err)
	}
	return support.Of(info.GitVersion), nil
}

// describe says in one line which Kubernetes it is, and what this version lacks.
func describe(server support.Server) string {
	return strings.Join(append([]string{"Kubernetes is " + server.Version}, server.Notes()...), "; ")
}

// logServer says at start which Kubernetes it is. Nothing depends on it: clusters may keep their version to themselves.
func logServer(config *rest.Config) {
	server, err := askServer(config)
	if err != nil {
		ctrl.Log.Error(err, "Kubernetes does not say its version")
		return
	}
	ctrl.Log.Info("Found Kubernetes", "version", server.Version, "standing", server.Standing, "notes", server.Notes())
}

package main

import (
	"context"

	"github.com/countersign-dev/countersign/hack/controlplane"
)

// identity is one of those who type commands.
type identity struct {
	style style
	// kubeconfig writes the file by which they are known to the API server, and returns its path.
	kubeconfig func(context.Context, *controlplane.Plane) (string, error)
}

// Everybody who acts in the story.
const (
	admin       = "admin"
	theOperator = "operator"
	alice       = "alice"
	deployBot   = "deploy-bot"
	reporter    = "reporter"
	janitor     = "janitor"
)

// namespace of the release, as the chart's README has it.
const namespace = "countersign-system"

var cast = map[string]identity{
	admin:       {blue, theAdmin},
	theOperator: {blue, serviceAccount(namespace, "countersign")},
	alice:       {green, person("alice")},
	deployBot:   {purple, serviceAccount("ci", deployBot)},
	reporter:    {purple, serviceAccount("ci", reporter)},
	janitor:     {purple, serviceAccount("ci", janitor)},
}

func theAdmin(_ context.Context, p *controlplane.Plane) (string, error) {
	return p.Kubeconfig("admin"), nil
}

// person has a client certificate.
func person(name string) func(context.Context, *controlplane.Plane) (string, error) {
	return func(_ context.Context, p *controlplane.Plane) (string, error) { return p.PersonKubeconfig(name) }
}

// serviceAccount has a token.
func serviceAccount(namespace, name string) func(context.Context, *controlplane.Plane) (string, error) {
	return func(ctx context.Context, p *controlplane.Plane) (string, error) {
		return p.ServiceAccountKubeconfig(ctx, namespace, name)
	}
}

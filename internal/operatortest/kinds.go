package operatortest

import (
	"slices"
	"testing"

	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"

	"github.com/countersign-dev/countersign/internal/catalogue"
)

// LackingKinds are the built-in kinds of the newest Kubernetes that an API server does not serve, and those of which it
// does not serve the status. Of the newest version there are none.
func LackingKinds(tb testing.TB, config *rest.Config) []string {
	tb.Helper()
	client, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		tb.Fatal(err)
	}
	served, err := catalogue.Read(client)
	if err != nil {
		tb.Fatal(err)
	}
	newest, err := catalogue.BuiltIn()
	if err != nil {
		tb.Fatal(err)
	}
	var lacking []string
	for key, facts := range newest {
		switch old, ok := served[key]; {
		case !ok:
			lacking = append(lacking, key.String())
		case facts.HasStatus && !old.HasStatus:
			lacking = append(lacking, key.String()+"/status")
		}
	}
	slices.Sort(lacking)
	return lacking
}

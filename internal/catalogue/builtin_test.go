package catalogue_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"os"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"k8s.io/client-go/discovery"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/hack/controlplane"
	"github.com/countersign-dev/countersign/internal/catalogue"
	"github.com/countersign-dev/countersign/internal/operatortest"
	"github.com/countersign-dev/countersign/internal/support"
)

var update = flag.Bool("update", false, "write builtin.json from what the API server serves")

func TestMain(m *testing.M) { controlplane.Main(m, controlplane.Options{}) }

// entry is one line of builtin.json.
type entry struct {
	Group      string `json:"group,omitempty"`
	Version    string `json:"version"`
	Resource   string `json:"resource"`
	Kind       string `json:"kind"`
	Namespaced bool   `json:"namespaced,omitempty"`
	HasStatus  bool   `json:"hasStatus,omitempty"`
}

// TestBuiltIn holds what is judged without a cluster against what a real API server serves. An older one does not serve
// all of it; whatever it serves is built in.
func TestBuiltIn(t *testing.T) {
	config := controlplane.Shared(t).AdminConfig()
	operatortest.ApplyDefinitions(t, operatortest.NewClient(t, config))
	client, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	var served catalogue.Table
	operatortest.Eventually(t, "Countersign's kinds are served", func(context.Context) (err error) {
		if served, err = catalogue.Read(client); err != nil {
			return err
		}
		for _, resource := range []string{"agentactionpolicies", "actionapprovals", "agentactivities"} {
			if _, err := served.Facts(v1alpha1.GroupName, resource); err != nil {
				return err
			}
		}
		return nil
	})
	if *update {
		write(t, served)
		return
	}
	builtIn, err := catalogue.BuiltIn()
	if err != nil {
		t.Fatal(err)
	}
	if kubernetes := controlplane.Shared(t).Binaries().Kubernetes; !strings.HasPrefix(kubernetes, support.Newest+".") {
		t.Logf("Kubernetes %s does not serve %v", kubernetes, operatortest.LackingKinds(t, config))
		builtIn = known(served, builtIn)
	}
	if diff := gocmp.Diff(served, builtIn); diff != "" {
		t.Errorf("the built-in kinds are not those of the API server (-served +built-in), "+
			"write them with: go test ./internal/catalogue -run TestBuiltIn -update\n%s", diff)
	}
}

// known is what is built in of what an older API server serves: without the kinds, and the status of kinds, that came later.
func known(served, builtIn catalogue.Table) catalogue.Table {
	t := catalogue.Table{}
	for key, facts := range builtIn {
		if old, ok := served[key]; ok {
			facts.HasStatus = facts.HasStatus && old.HasStatus
			t[key] = facts
		}
	}
	return t
}

func write(t *testing.T, served catalogue.Table) {
	t.Helper()
	var lines []string
	for key, facts := range served {
		line, err := json.Marshal(entry{
			Group: key.Group, Version: facts.PreferredVersion, Resource: key.Resource, Kind: facts.Kind,
			Namespaced: facts.Namespaced, HasStatus: facts.HasStatus,
		})
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, string(line))
	}
	slices.SortFunc(lines, cmp.Compare[string])
	var text bytes.Buffer
	text.WriteString("[\n  " + strings.Join(lines, ",\n  ") + "\n]\n")
	if err := os.WriteFile("builtin.json", text.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

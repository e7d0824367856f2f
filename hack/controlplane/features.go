package controlplane

import (
	"context"
	"fmt"
	"regexp"
	"testing"

	"k8s.io/client-go/kubernetes"
)

// Feature is what an API server says about one of its feature gates.
type Feature struct {
	// Known says that this version has the gate, Enabled that it is on.
	Known, Enabled bool
}

// Feature asks the first API server about a feature gate, by its metrics. Gates
// that a version does not have any more, because all is on, are not known either.
func (p *Plane) Feature(ctx context.Context, name string) (Feature, error) {
	client, err := kubernetes.NewForConfig(p.admin)
	if err != nil {
		return Feature{}, fmt.Errorf("connecting: %w", err)
	}
	metrics, err := client.RESTClient().Get().AbsPath("/metrics").DoRaw(ctx)
	if err != nil {
		return Feature{}, fmt.Errorf("asking for feature gates: %w", err)
	}
	line := regexp.MustCompile(`(?m)^kubernetes_feature_enabled\{name="` + regexp.QuoteMeta(name) + `",[^}]*\} ([01])$`)
	found := line.FindSubmatch(metrics)
	if found == nil {
		return Feature{}, nil
	}
	return Feature{Known: true, Enabled: string(found[1]) == "1"}, nil
}

// NeedFeature skips a test where the API server does not have a feature gate on,
// and says the version and the feature. There is no other reason to skip.
func NeedFeature(tb testing.TB, p *Plane, name string) {
	tb.Helper()
	feature, err := p.Feature(tb.Context(), name)
	if err != nil {
		tb.Fatal(err)
	}
	switch {
	case !feature.Known:
		tb.Skipf("Kubernetes %s does not have the feature %s", p.binaries.Kubernetes, name)
	case !feature.Enabled:
		tb.Skipf("Kubernetes %s has the feature %s off by default", p.binaries.Kubernetes, name)
	}
}

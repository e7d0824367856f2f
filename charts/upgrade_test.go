package charts

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// wantUpgradesWithoutEffect upgrades to what is installed, in both ways that Helm has.
func wantUpgradesWithoutEffect(t *testing.T, a *connection) {
	t.Helper()
	manifest := func() string { return mustHelm(t, "get", "manifest", release, "--namespace", namespace) }
	upgrade := func(args ...string) {
		mustHelm(t, append([]string{"upgrade", release, chart, "--namespace", namespace, "--set", "replicas=2"}, args...)...)
	}
	rendered := manifest()
	eventually(t, "the API server has written the status of the FlowSchema, which it does in its own time", func(ctx context.Context) error {
		schema, err := a.FlowcontrolV1().FlowSchemas().Get(ctx, release, metav1.GetOptions{})
		if err == nil && len(schema.Status.Conditions) == 0 {
			err = errors.New("there is none yet")
		}
		return err
	})
	// Of two equal upgrades the second is compared by version: the first may change who manages which field.
	for _, way := range [][]string{{"--server-side=true"}, {"--server-side=false"}, {"--server-side=true"}} {
		before := snapshot(t, a, rendered, false)
		upgrade(way...)
		if diff := cmp.Diff(before, snapshot(t, a, rendered, false)); diff != "" {
			t.Errorf("an upgrade with %s changes objects (-before +after):\n%s", way, diff)
		}
		before = snapshot(t, a, rendered, true)
		upgrade(way...)
		if diff := cmp.Diff(before, snapshot(t, a, rendered, true)); diff != "" {
			t.Errorf("a second upgrade with %s writes objects (-before +after):\n%s", way, diff)
		}
	}
	if diff := cmp.Diff(rendered, manifest()); diff != "" {
		t.Errorf("the manifest differs (-before +after):\n%s", diff)
	}
}

// snapshot reads the objects of a manifest, and the operator's webhook configurations: their contents, or with
// versions whether anybody has written them.
func snapshot(t *testing.T, a *connection, manifest string, versions bool) map[string]any {
	t.Helper()
	objects := decode(t, manifest)
	for _, name := range []string{actionsConfig, policiesConfig} {
		o := &unstructured.Unstructured{}
		o.SetAPIVersion("admissionregistration.k8s.io/v1")
		o.SetKind("ValidatingWebhookConfiguration")
		o.SetName(name)
		objects = append(objects, o)
	}
	found := map[string]any{}
	for _, o := range objects {
		key := o.GetKind() + " " + o.GetName()
		if err := a.Get(t.Context(), client.ObjectKeyFromObject(o), o); err != nil {
			t.Fatal(err)
		}
		if versions {
			found[key] = o.GetResourceVersion()
			continue
		}
		o.SetResourceVersion("")
		o.SetManagedFields(nil)
		found[key] = o.Object
	}
	return found
}

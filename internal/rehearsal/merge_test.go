package rehearsal

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/countersign-dev/countersign/internal/action"
)

// TestApply merges manifests as "kubectl apply" does.
func TestApply(t *testing.T) {
	tests := map[string]struct{ live, manifest, want string }{
		"what is left out stays, lists go by key": {
			`{apiVersion: apps/v1, kind: Deployment, metadata: {name: a, uid: u}, spec: {replicas: 3, template: {spec: {containers: [{name: x, image: "x:1", imagePullPolicy: Always}, {name: y, image: "y:1"}]}}}, status: {replicas: 3}}`,
			`{apiVersion: apps/v1, kind: Deployment, metadata: {name: a}, spec: {template: {spec: {containers: [{name: x, image: "x:2"}]}}}, status: {replicas: 9}}`,
			`{apiVersion: apps/v1, kind: Deployment, metadata: {name: a, uid: u}, spec: {replicas: 3, template: {spec: {containers: [{name: x, image: "x:2", imagePullPolicy: Always}, {name: y, image: "y:1"}]}}}, status: {replicas: 3}}`,
		},
		"what was applied and is left out now goes": {
			`{apiVersion: v1, kind: ConfigMap, metadata: {name: a, annotations: {kubectl.kubernetes.io/last-applied-configuration: '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"x":"1"}}'}}, data: {x: "1", y: "2"}}`,
			`{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {z: "3"}}`,
			`{apiVersion: v1, kind: ConfigMap, metadata: {name: a, annotations: {kubectl.kubernetes.io/last-applied-configuration: '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"x":"1"}}'}}, data: {y: "2", z: "3"}}`,
		},
		"a list of a custom resource is one value": {
			`{apiVersion: example.com/v1, kind: Shard, metadata: {name: a}, spec: {list: [{name: x}, {name: y}], count: 1}}`,
			`{apiVersion: example.com/v1, kind: Shard, metadata: {name: a}, spec: {list: [{name: z}]}}`,
			`{apiVersion: example.com/v1, kind: Shard, metadata: {name: a}, spec: {list: [{name: z}], count: 1}}`,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := Apply(object(t, tc.live), object(t, tc.manifest))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(object(t, tc.want), got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func object(t *testing.T, text string) map[string]any {
	t.Helper()
	json, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	o, err := action.DecodeObject(json)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

package action

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParsePath(t *testing.T) {
	tests := map[string]Path{
		"spec.replicas":               fields("spec", "replicas"),
		`metadata.annotations["a/b"]`: fields("metadata", "annotations", "a/b"),
		"spec.containers[name=web].ports[containerPort=80,protocol=TCP]": {
			{Field: "spec"}, {Field: "containers"}, {Keys: []Key{{"name", "web"}}}, {Field: "ports"},
			{Keys: []Key{{"containerPort", int64(80)}, {"protocol", "TCP"}}},
		},
		`spec.list[key="80"].on`: {{Field: "spec"}, {Field: "list"}, {Keys: []Key{{"key", "80"}}}, {Field: "on"}},
	}
	for text, want := range tests {
		t.Run(text, func(t *testing.T) {
			got, err := ParsePath(text)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if got.String() != text {
				t.Errorf("it is written as %s", got)
			}
		})
	}
	for _, text := range []string{"", "spec.containers[*].image", "spec..replicas", "spec.containers[0]"} {
		if path, err := ParsePath(text); err == nil {
			t.Errorf("%q is read as %v", text, path)
		}
	}
}

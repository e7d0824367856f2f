package policytest

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-dev/countersign/internal/action"
)

func TestEdit(t *testing.T) {
	const object = `{"spec":{"replicas":2,"containers":[{"name":"web","image":"web:1","ports":[{"containerPort":80,"protocol":"TCP"}]},{"name":"log"}]}}`
	tests := map[string]struct {
		set   map[string]json.RawMessage
		unset []string
		want  string
		fails bool
	}{
		"a number": {
			set:  map[string]json.RawMessage{"spec.replicas": json.RawMessage("9007199254740993")},
			want: `{"spec":{"replicas":9007199254740993,"containers":[{"name":"web","image":"web:1","ports":[{"containerPort":80,"protocol":"TCP"}]},{"name":"log"}]}}`,
		},
		"an element by key": {
			set:  map[string]json.RawMessage{"spec.containers[name=log].image": json.RawMessage(`"log:1"`)},
			want: `{"spec":{"replicas":2,"containers":[{"name":"web","image":"web:1","ports":[{"containerPort":80,"protocol":"TCP"}]},{"name":"log","image":"log:1"}]}}`,
		},
		"a new element": {
			set:  map[string]json.RawMessage{"spec.containers[name=new].image": json.RawMessage(`"new:1"`)},
			want: `{"spec":{"replicas":2,"containers":[{"name":"web","image":"web:1","ports":[{"containerPort":80,"protocol":"TCP"}]},{"name":"log"},{"name":"new","image":"new:1"}]}}`,
		},
		"what is missing on the way": {
			set:  map[string]json.RawMessage{`metadata.annotations["a/b"]`: json.RawMessage(`"c"`)},
			want: `{"spec":{"replicas":2,"containers":[{"name":"web","image":"web:1","ports":[{"containerPort":80,"protocol":"TCP"}]},{"name":"log"}]},"metadata":{"annotations":{"a/b":"c"}}}`,
		},
		"taken away": {
			unset: []string{"spec.replicas", "spec.containers[name=web].ports[containerPort=80,protocol=TCP]", "spec.containers[name=log]"},
			want:  `{"spec":{"containers":[{"name":"web","image":"web:1","ports":[]}]}}`,
		},
		"nothing to take away":          {unset: []string{"spec.paused"}, fails: true},
		"no element to take away":       {unset: []string{"spec.containers[name=none]"}, fails: true},
		"a field of a number":           {set: map[string]json.RawMessage{"spec.replicas.x": json.RawMessage("1")}, fails: true},
		"an element of what is no list": {set: map[string]json.RawMessage{"spec[name=x].y": json.RawMessage("1")}, fails: true},
		"many places":                   {set: map[string]json.RawMessage{"spec.containers[*].image": json.RawMessage("1")}, fails: true},
		"a value that is no JSON":       {set: map[string]json.RawMessage{"spec.replicas": json.RawMessage("x")}, fails: true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := Edit(decoded(t, object), tc.set, tc.unset)
			if tc.fails {
				if err == nil {
					t.Fatalf("it is %v", got)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(decoded(t, tc.want), got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func decoded(t *testing.T, text string) map[string]any {
	t.Helper()
	object, err := action.DecodeObject([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return object
}

package catalogue

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/countersign-dev/countersign/internal/action"
)

// Table is what an API server serves, at one moment: for each resource, what is known about its kind.
type Table map[schema.GroupResource]action.KindFacts

// Facts says what is known about a resource. An error means that it is not in the table.
func (t Table) Facts(group, resource string) (action.KindFacts, error) {
	key := schema.GroupResource{Group: group, Resource: resource}
	if facts, ok := t[key]; ok {
		return facts, nil
	}
	return action.KindFacts{}, fmt.Errorf("looking up %s: no such resource is known", key)
}

// Resource says which resource a kind is. An error means that none is in the table.
func (t Table) Resource(group, kind string) (string, error) {
	if resource := t.ofKind(group, kind); resource != "" {
		return resource, nil
	}
	return "", fmt.Errorf("looking up %s: no such kind is known", schema.GroupKind{Group: group, Kind: kind})
}

func (t Table) ofKind(group, kind string) string {
	for key, facts := range t {
		if key.Group == group && facts.Kind == kind {
			return key.Resource
		}
	}
	return ""
}

// builtIn is what an API server serves that has nothing but its own kinds and Countersign's. A test holds it against one.
//
//go:embed builtin.json
var builtIn []byte

// entry is one line of builtin.json.
type entry struct {
	Group      string `json:"group,omitempty"`
	Version    string `json:"version"`
	Resource   string `json:"resource"`
	Kind       string `json:"kind"`
	Namespaced bool   `json:"namespaced,omitempty"`
	HasStatus  bool   `json:"hasStatus,omitempty"`
}

// BuiltIn is what an API server of the newest version that this release is tested with serves by itself, and Countersign's own
// kinds: for what is judged without a cluster. Every call makes a table of its own.
func BuiltIn() (Table, error) {
	decoder := json.NewDecoder(bytes.NewReader(builtIn))
	decoder.DisallowUnknownFields()
	var entries []entry
	if err := decoder.Decode(&entries); err != nil {
		return nil, fmt.Errorf("reading the built-in kinds: %w", err)
	}
	t := make(Table, len(entries))
	for _, e := range entries {
		t[schema.GroupResource{Group: e.Group, Resource: e.Resource}] = action.KindFacts{
			Kind: e.Kind, Namespaced: e.Namespaced, PreferredVersion: e.Version, HasStatus: e.HasStatus,
		}
	}
	return t, nil
}

package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

// readPolicyFiles reads the policies of files, and passes over objects of other kinds. A file without any is an error: it
// was meant to name somebody.
func readPolicyFiles(names []string, in io.Reader) ([]v1alpha1.AgentActionPolicy, error) {
	var all []v1alpha1.AgentActionPolicy
	for _, name := range names {
		var content []byte
		var err error
		if name == "-" {
			name = "standard input"
			content, err = io.ReadAll(in)
		} else {
			content, err = os.ReadFile(name)
		}
		if err != nil {
			return nil, fmt.Errorf("reading policies: %w", err)
		}
		policies, err := decodePolicies(content)
		if err == nil && len(policies) == 0 {
			err = errors.New("it holds no AgentActionPolicy")
		}
		if err != nil {
			return nil, fmt.Errorf("reading policies from %s: %w", name, err)
		}
		all = append(all, policies...)
	}
	return all, nil
}

// decodePolicies reads a stream of YAML documents: policies, and lists of them as kubectl get prints them.
func decodePolicies(content []byte) ([]v1alpha1.AgentActionPolicy, error) {
	var policies []v1alpha1.AgentActionPolicy
	documents := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(content)))
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return policies, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading YAML: %w", err)
		}
		var list struct {
			metav1.TypeMeta `json:",inline"`
			Items           []v1alpha1.AgentActionPolicy `json:"items"`
		}
		if err := yaml.Unmarshal(document, &list); err != nil {
			return nil, fmt.Errorf("reading YAML: %w", err)
		}
		switch list.Kind {
		case "AgentActionPolicy":
			var policy v1alpha1.AgentActionPolicy
			if err := yaml.Unmarshal(document, &policy); err != nil {
				return nil, fmt.Errorf("reading a policy: %w", err)
			}
			policies = append(policies, policy)
		case "List", "AgentActionPolicyList":
			for i := range list.Items {
				if list.Items[i].Kind == "AgentActionPolicy" || list.Kind == "AgentActionPolicyList" {
					policies = append(policies, list.Items[i])
				}
			}
		}
	}
}

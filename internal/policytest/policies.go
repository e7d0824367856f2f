package policytest

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/policy"
	"github.com/countersign-dev/countersign/internal/rehearsal"
)

const policyKind = "AgentActionPolicy"

// defaultOperator is what the chart installs by default.
var defaultOperator = Operator{
	Namespace: "countersign-system", ServiceAccount: "countersign", OwnerClusterRole: "countersign-anchor",
}

// compile reads the policies of a suite and compiles them as the operator does. One that is not valid is an error with all
// that is wrong about it.
func (s *Suite) compile(in folder) (*policy.Set, error) {
	objects, err := in.all(s.Policies, "policies")
	if err != nil {
		return nil, err
	}
	operator := defaultOperator
	if s.Operator != nil {
		operator = *s.Operator
	}
	self := policy.Identity{Username: policy.ServiceAccountUsername(operator.Namespace, operator.ServiceAccount)}
	self.Groups = rehearsal.User(self.Username, "").Groups
	policies, err := policiesIn(objects, "them")
	if err != nil {
		return nil, err
	}
	names := map[string]bool{}
	compiled := make([]*policy.Policy, 0, len(policies))
	for _, p := range policies {
		if names[p.Name] {
			return nil, fmt.Errorf("policies: two are named %s", p.Name)
		}
		names[p.Name] = true
		c := policy.Compile(p, self)
		if err := unusable(c); err != nil {
			return nil, err
		}
		compiled = append(compiled, c)
	}
	return policy.NewSet(compiled, policy.Operator{Namespace: operator.Namespace, OwnerClusterRole: operator.OwnerClusterRole}), nil
}

// readPolicy decodes a policy strictly, so that a field that is misspelt is not one that is left out.
func readPolicy(object map[string]any) (*v1alpha1.AgentActionPolicy, error) {
	text, err := json.Marshal(object)
	if err != nil {
		return nil, fmt.Errorf("policies: %w", err)
	}
	p := &v1alpha1.AgentActionPolicy{}
	if err := decodeStrictly(text, p); err != nil {
		return nil, fmt.Errorf("policies: %w", err)
	}
	switch {
	case p.APIVersion != v1alpha1.GroupVersion.String():
		return nil, fmt.Errorf("policies: policy %s is of %s, and this version reads %s", p.Name, p.APIVersion, v1alpha1.GroupVersion)
	case p.Name == "":
		return nil, errors.New("policies: a policy has no name")
	}
	p.UID, p.Generation = stableUID(p.GroupVersionKind().GroupKind(), "", p.Name), max(p.Generation, 1)
	p.CreationTimestamp = metav1.Time{}
	return p, nil
}

// ReadPolicies reads the policies of a file, or of the files right in a folder. Other objects are passed over.
func ReadPolicies(path string) ([]*v1alpha1.AgentActionPolicy, error) {
	objects, err := folder("").all([]Manifest{{Path: path}}, "policies")
	if err != nil {
		return nil, err
	}
	return policiesIn(objects, path)
}

// ParsePolicies reads the policies of a text.
func ParsePolicies(text []byte) ([]*v1alpha1.AgentActionPolicy, error) {
	objects, err := objectsOf(text, "the policies")
	if err != nil {
		return nil, err
	}
	return policiesIn(objects, "what was read")
}

func policiesIn(objects []map[string]any, where string) ([]*v1alpha1.AgentActionPolicy, error) {
	var all []*v1alpha1.AgentActionPolicy
	for _, object := range objects {
		if object["kind"] != policyKind {
			continue
		}
		p, err := readPolicy(object)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("policies: no %s in %s", policyKind, where)
	}
	return all, nil
}

func unusable(p *policy.Policy) error {
	var problems []string
	for _, e := range p.Errors {
		problems = append(problems, e.Error())
	}
	if len(problems) == 0 {
		return nil
	}
	return fmt.Errorf("policy %s is not valid:\n  %s", p.Name, strings.Join(problems, "\n  "))
}

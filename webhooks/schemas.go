package webhooks

import (
	"context"
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/cel/openapi/resolver"
	"k8s.io/client-go/discovery"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/catalogue"
	"github.com/countersign-dev/countersign/internal/guard"
)

// Schemas reads the schemas of kinds, as the API server publishes them.
type Schemas struct {
	// Kinds is the catalogue of what the API server serves.
	Kinds *catalogue.Catalogue
	// Discovery reads the schemas.
	Discovery discovery.DiscoveryInterface
}

const (
	// typesDeadline bounds how long an author waits for hints about types.
	typesDeadline = 3 * time.Second
	// maxTypedKinds bounds how many kinds a guard is held against.
	maxTypedKinds = 4
	// maxHint bounds a hint, in characters: the API server cuts warnings at 256.
	maxHint = 250
)

// Hints are what is wrong with the guards of a policy by the schemas of the kinds that their rules name. Where a schema
// cannot be read in time there are none: hints are not what a policy depends on.
func (s *Schemas) Hints(ctx context.Context, p *v1alpha1.AgentActionPolicy) []string {
	if len(p.Spec.Guards) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, typesDeadline)
	defer cancel()
	found := make(chan []string, 1)
	go func() {
		defer func() {
			if recover() != nil {
				found <- nil // schemas are made by whoever defines a kind
			}
		}()
		found <- s.hints(ctx, p)
	}()
	select {
	case hints := <-found:
		return hints
	case <-ctx.Done():
		return nil
	}
}

func (s *Schemas) hints(ctx context.Context, p *v1alpha1.AgentActionPolicy) []string {
	var hints []string
	known := map[schema.GroupResource]*guard.Kind{}
	for i := range p.Spec.Guards {
		g, at := &p.Spec.Guards[i], field.NewPath("spec", "guards").Index(i)
		for _, resource := range namedResources(g.ResourceRules) {
			if _, asked := known[resource]; !asked && ctx.Err() == nil {
				known[resource] = s.kind(resource)
			}
			if kind := known[resource]; kind != nil {
				expression, message := guard.Mistyped(g, *kind)
				hints = appendHint(hints, at.Child("expression"), kind.Name, expression)
				hints = appendHint(hints, at.Child("messageExpression"), kind.Name, message)
			}
		}
	}
	return hints
}

func appendHint(hints []string, at *field.Path, kind, problem string) []string {
	if problem == "" {
		return hints
	}
	hint := []rune(fmt.Sprintf("%s: of a %s: %s", at, kind, problem))
	return append(hints, string(hint[:min(len(hint), maxHint)]))
}

// kind is nil where the schema cannot be read.
func (s *Schemas) kind(resource schema.GroupResource) *guard.Kind {
	facts, err := s.Kinds.Facts(resource.Group, resource.Resource)
	if err != nil {
		return nil
	}
	found := schema.GroupVersionKind{Group: resource.Group, Version: facts.PreferredVersion, Kind: facts.Kind}
	published, err := (&resolver.ClientDiscoveryResolver{Discovery: s.Discovery}).ResolveSchema(found)
	if err != nil {
		return nil
	}
	return &guard.Kind{Name: facts.Kind, Schema: published}
}

// namedResources are the resources that rules name, without wildcards and subresources.
func namedResources(rules []v1alpha1.ResourceRule) []schema.GroupResource {
	var named []schema.GroupResource
	for i := range rules {
		for _, group := range rules[i].APIGroups {
			for _, resource := range rules[i].Resources {
				if group != "*" && !strings.ContainsAny(resource, "*/") && len(named) < maxTypedKinds {
					named = append(named, schema.GroupResource{Group: group, Resource: resource})
				}
			}
		}
	}
	return named
}

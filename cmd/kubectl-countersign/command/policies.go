package command

import (
	"context"
	"fmt"
	"io"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/policytest"
)

// policiesPage is how many policies are read at a time.
const policiesPage = 500

// policiesFrom reads policies of a file, a folder or, with "-", the standard input; of the cluster where none is named.
func (e *Environment) policiesFrom(ctx context.Context, path string) ([]*v1alpha1.AgentActionPolicy, error) {
	switch path {
	case "":
		return e.storedPolicies(ctx)
	case "-":
		text, err := io.ReadAll(e.In)
		if err != nil {
			return nil, fmt.Errorf("reading the standard input: %w", err)
		}
		return policytest.ParsePolicies(text)
	default:
		return policytest.ReadPolicies(path)
	}
}

// storedPolicies reads all policies of the cluster. Their group and version are known, so that nothing has to be
// discovered first.
func (e *Environment) storedPolicies(ctx context.Context) ([]*v1alpha1.AgentActionPolicy, error) {
	config, err := e.RESTConfig()
	if err != nil {
		return nil, err
	}
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return nil, fmt.Errorf("registering the kinds: %w", err)
	}
	config.GroupVersion, config.APIPath = &v1alpha1.GroupVersion, "/apis"
	config.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	client, err := rest.RESTClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("connecting: %w", err)
	}
	var all []*v1alpha1.AgentActionPolicy
	options := metav1.ListOptions{Limit: policiesPage}
	for {
		var list v1alpha1.AgentActionPolicyList
		err := client.Get().Resource("agentactionpolicies").
			VersionedParams(&options, runtime.NewParameterCodec(scheme)).Do(ctx).Into(&list)
		if err != nil {
			return nil, fmt.Errorf("listing policies: %w", err)
		}
		for i := range list.Items {
			all = append(all, &list.Items[i])
		}
		if options.Continue = list.Continue; options.Continue == "" {
			return all, nil
		}
	}
}

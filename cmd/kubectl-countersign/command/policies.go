package command

import (
	"context"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"
	sigsjson "sigs.k8s.io/json"

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
		answer := client.Get().Resource("agentactionpolicies").VersionedParams(&options, runtime.NewParameterCodec(scheme)).Do(ctx)
		if err := answer.Error(); err != nil { // it says more than that of Raw
			return nil, fmt.Errorf("listing policies: %w", err)
		}
		text, err := answer.Raw()
		if err != nil {
			return nil, fmt.Errorf("listing policies: %w", err)
		}
		var list v1alpha1.AgentActionPolicyList
		unknown, err := sigsjson.UnmarshalStrict(text, &list)
		if err != nil {
			return nil, fmt.Errorf("reading policies: %w", err)
		}
		e.noteLater(list.Items, unknown)
		for i := range list.Items {
			all = append(all, &list.Items[i])
		}
		if options.Continue = list.Continue; options.Continue == "" {
			return all, nil
		}
	}
}

// fieldOfItem is how a field is named that a list has and this plugin does not know.
var fieldOfItem = regexp.MustCompile(`^unknown field "items\[(\d+)\]\.(.+)"$`)

// noteLater remembers policies with fields of a later version: what they say is not known here.
func (e *Environment) noteLater(items []v1alpha1.AgentActionPolicy, unknown []error) {
	for _, err := range unknown {
		found := fieldOfItem.FindStringSubmatch(err.Error())
		if found == nil {
			continue // a field of the list itself
		}
		at, err := strconv.Atoi(found[1])
		if err != nil || at >= len(items) || strings.HasPrefix(found[2], "status.") || strings.HasPrefix(found[2], "metadata.") {
			continue // it decides nothing
		}
		if e.later == nil {
			e.later = map[string][]string{}
		}
		e.later[items[at].Name] = append(e.later[items[at].Name], found[2])
	}
}

// laterText says that a policy has fields of a later version, empty where it has none.
func (e *Environment) laterText(name string) string {
	if fields := e.later[name]; len(fields) > 0 {
		return fmt.Sprintf("policy %s has %s, which this version of the plugin does not know: what it says of the policy may be wrong",
			name, strings.Join(fields, ", "))
	}
	return ""
}

// laterNote says so of all of them, empty where there is none.
func (e *Environment) laterNote() string {
	names := slices.Sorted(maps.Keys(e.later))
	switch len(names) {
	case 0:
		return ""
	case 1:
		return e.laterText(names[0])
	default:
		return someOf("policy", "policies", names) +
			" have fields that this version of the plugin does not know: what it says of them may be wrong"
	}
}

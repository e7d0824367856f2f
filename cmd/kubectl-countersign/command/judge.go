package command

import (
	"context"
	"errors"
	"fmt"
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/restmapper"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/catalogue"
	"github.com/countersign-dev/countersign/internal/intake"
	"github.com/countersign-dev/countersign/internal/policy"
	"github.com/countersign-dev/countersign/internal/rehearsal"
)

const (
	// actionsConfiguration is the webhook configuration by which agents' actions come to the operator.
	actionsConfiguration = "countersign-actions"
	// usualNamespace is where the operator is where nothing says otherwise.
	usualNamespace = "countersign-system"
)

// judge decides on actions as the operator does, with what it may read of the cluster. It only reads.
type judge struct {
	reader  client.Reader
	cluster *intake.Cluster
	mapper  meta.RESTMapper
	// discovery is what the API server serves, read once.
	discovery discovery.DiscoveryInterface
	stored    []*v1alpha1.AgentActionPolicy
	set       *policy.Set
	operator  policy.Operator
	// notes say what could not be read, and what follows.
	notes []string
}

// newJudge reads what all decisions depend on.
func (e *Environment) newJudge(ctx context.Context) (*judge, error) {
	config, err := e.RESTConfig()
	if err != nil {
		return nil, err
	}
	raw, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("connecting: %w", err)
	}
	served := memory.NewMemCacheClient(raw)
	kinds, err := catalogue.Read(served)
	if err != nil {
		return nil, err
	}
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, apiextensionsv1.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("registering the kinds: %w", err)
		}
	}
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(served)
	reader, err := client.New(config, client.Options{Scheme: scheme, Mapper: mapper})
	if err != nil {
		return nil, fmt.Errorf("connecting: %w", err)
	}
	j := &judge{reader: reader, mapper: restmapper.NewShortcutExpander(mapper, served, nil), discovery: served}
	j.cluster = &intake.Cluster{Kinds: kinds, Live: reader}
	if j.stored, err = e.storedPolicies(ctx); err != nil {
		return nil, err
	}
	if text := e.laterNote(); text != "" {
		j.note("%s", text)
	}
	if err := j.findOperator(ctx); err != nil {
		return nil, err
	}
	compiled := make([]*policy.Policy, len(j.stored))
	for i, p := range j.stored {
		compiled[i] = policy.Compile(p, policy.Identity{}) // whether one governs the operator, the webhook of policies has seen to
	}
	j.set = policy.NewSet(compiled, j.operator)
	return j, nil
}

func (j *judge) note(format string, args ...any) {
	j.notes = append(j.notes, fmt.Sprintf(format, args...))
}

// findOperator reads what is Countersign's own from its webhook configuration.
func (j *judge) findOperator(ctx context.Context) error {
	j.operator.Namespace = usualNamespace
	configuration := &admissionregistrationv1.ValidatingWebhookConfiguration{}
	switch err := j.reader.Get(ctx, client.ObjectKey{Name: actionsConfiguration}, configuration); {
	case apierrors.IsNotFound(err):
		j.note("there is no webhook configuration %s: nothing is enforced in this cluster now", actionsConfiguration)
		return nil
	case apierrors.IsForbidden(err):
		j.note("you may not read the webhook configuration %s: %s is taken for Countersign's own namespace", actionsConfiguration, usualNamespace)
		return nil
	case err != nil:
		return fmt.Errorf("reading the webhook configuration %s: %w", actionsConfiguration, err)
	}
	for i := range configuration.Webhooks {
		if s := configuration.Webhooks[i].ClientConfig.Service; s != nil {
			j.operator.Namespace = s.Namespace
		}
	}
	for _, owner := range configuration.OwnerReferences {
		if owner.Kind == "ClusterRole" {
			j.operator.OwnerClusterRole = owner.Name
		}
	}
	return nil
}

// user is the agent, as the API server would authenticate them.
func (j *judge) user(ctx context.Context, username, uid string, groups []string) (authenticationv1.UserInfo, error) {
	rest, isAccount := strings.CutPrefix(username, "system:serviceaccount:")
	namespace, name, ok := strings.Cut(rest, ":")
	if isAccount && !ok {
		return authenticationv1.UserInfo{}, usageError{errors.New("--as: write a service account as system:serviceaccount:NAMESPACE:NAME")}
	}
	if isAccount && uid == "" {
		account := &metav1.PartialObjectMetadata{}
		account.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("ServiceAccount"))
		switch err := j.reader.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, account); {
		case apierrors.IsNotFound(err):
			j.note("there is no service account %s/%s: it is judged as if it were there", namespace, name)
		case apierrors.IsForbidden(err):
			j.note("you may not read service account %s/%s: no approval can be told to be its own", namespace, name)
		case err != nil:
			return authenticationv1.UserInfo{}, fmt.Errorf("reading service account %s/%s: %w", namespace, name, err)
		}
		uid = string(account.UID)
	}
	return rehearsal.User(username, uid, groups...), nil
}

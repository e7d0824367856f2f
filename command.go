package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/controllers"
	"github.com/countersign-dev/countersign/internal/heartbeat"
	"github.com/countersign-dev/countersign/internal/policy"
	"github.com/countersign-dev/countersign/internal/protection"
)

const longHelp = `Countersign governs what service accounts and AI agents may change in a Kubernetes cluster, and when.

The operator serves a validating admission webhook and keeps the API server's webhook configuration such that only
the subjects of AgentActionPolicies ever reach it. People and controllers never do.`

const examples = `  # Inside of a cluster, as the chart runs it
  countersign --namespace countersign-system --owner-cluster-role countersign-anchor --leader-elect

  # On your machine, against the cluster of a kubeconfig that has the definitions of config/crd
  countersign --kubeconfig ~/.kube/config --webhook-url https://127.0.0.1:9443

  # Two processes behind one address, with one certificate
  countersign --webhook-url https://10.0.0.1:9443 --webhook-port 9444 --cert-dir ./certs
  countersign --webhook-url https://10.0.0.1:9443 --webhook-port 9445 --cert-dir ./certs`

func newCommand(decisions io.Writer) *cobra.Command {
	var o options
	command := &cobra.Command{
		Use: "countersign", Short: "Govern what agents may change in a cluster, and when", Long: longHelp,
		Example: examples, Version: version, Args: cobra.NoArgs, SilenceUsage: true, SilenceErrors: true,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := o.complete(); err != nil {
				return err
			}
			return serve(c.Context(), o, decisions)
		},
	}
	o.bind(command.Flags())
	command.Flags().SortFlags = false
	command.SetUsageFunc(showUsage)
	command.CompletionOptions.DisableDefaultCmd = true
	command.AddCommand(newCleanup(), newCheck(), newSeal())
	return command
}

const cleanupHelp = `Delete the webhook configurations and the admission policy, so that nothing refuses agents any more.

An operator that still runs makes them anew, but for one that has lost their owner: with --owner-cluster-role
the owner goes first. With --secret, Secrets go that somebody made for the release, and does not take away: those of
cert-manager.`

// newCleanup is what the chart runs before a release is deleted.
func newCleanup() *cobra.Command {
	var kubeconfig, owner string
	var secrets []string
	command := &cobra.Command{
		Use: "cleanup", Short: "Delete the webhook configurations, so that nothing refuses agents any more", Long: cleanupHelp,
		Args: cobra.NoArgs, SilenceUsage: true, SilenceErrors: true,
		RunE: func(c *cobra.Command, _ []string) error {
			return cleanup(c.Context(), kubeconfig, owner, secrets, c.OutOrStdout())
		},
	}
	command.Flags().StringVar(&kubeconfig, "kubeconfig", "", "kubeconfig of the cluster; empty: the pod's service account, or $KUBECONFIG")
	command.Flags().StringVar(&owner, "owner-cluster-role", "",
		"ClusterRole of the release that owns the webhook configurations; deleted first")
	command.Flags().StringSliceVar(&secrets, "secret", nil,
		"Secret to delete as well, as NAMESPACE/NAME; may be given several times")
	return command
}

func cleanup(ctx context.Context, kubeconfig, owner string, secrets []string, out io.Writer) error {
	named, err := secretsNamed(secrets)
	if err != nil {
		return err
	}
	config, err := restConfig(kubeconfig)
	if err != nil {
		return err
	}
	c, err := client.New(config, client.Options{})
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	var objects []client.Object
	if owner != "" {
		objects = append(objects, &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: owner}})
	}
	for _, name := range []string{controllers.ActionsConfiguration, controllers.PoliciesConfiguration} {
		objects = append(objects, &admissionregistrationv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: name}})
	}
	policy := metav1.ObjectMeta{Name: protection.PolicyName}
	objects = append(objects, &admissionregistrationv1.MutatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: controllers.ApprovalsConfiguration},
	}, &admissionregistrationv1.ValidatingAdmissionPolicyBinding{ObjectMeta: policy},
		&admissionregistrationv1.ValidatingAdmissionPolicy{ObjectMeta: policy})
	for _, secret := range named {
		objects = append(objects, secret)
	}
	for _, o := range objects {
		if err := client.IgnoreNotFound(c.Delete(ctx, o)); err != nil {
			return fmt.Errorf("deleting %s: %w", o.GetName(), err)
		}
		fmt.Fprintf(out, "%s is gone\n", o.GetName())
	}
	return nil
}

// secretsNamed are the Secrets of --secret, each NAMESPACE/NAME.
func secretsNamed(values []string) ([]*corev1.Secret, error) {
	var secrets []*corev1.Secret
	for _, value := range values {
		namespace, name, _ := strings.Cut(value, "/")
		if namespace == "" || name == "" || strings.Contains(name, "/") {
			return nil, fmt.Errorf("reading --secret: %q is not NAMESPACE/NAME", value)
		}
		secrets = append(secrets, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}})
	}
	return secrets, nil
}

// restConfig connects by a kubeconfig, by $KUBECONFIG, or as the pod's service account.
func restConfig(kubeconfig string) (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = kubeconfig
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("finding the cluster: %w", err)
	}
	config.UserAgent = rest.DefaultKubernetesUserAgent() + " countersign/" + version
	// Reads on behalf of a waiting request must not wait for a client-side limit; the API server has its own.
	config.QPS, config.Burst = -1, -1
	return config, nil
}

// whoAmI asks the API server whom this process acts as, so that no policy can govern it.
func whoAmI(ctx context.Context, config *rest.Config) (policy.Identity, error) {
	c, err := kubernetes.NewForConfig(config)
	if err != nil {
		return policy.Identity{}, fmt.Errorf("connecting: %w", err)
	}
	review, err := c.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		return policy.Identity{}, fmt.Errorf("asking the API server whom this process acts as: %w", err)
	}
	return policy.Identity{Username: review.Status.UserInfo.Username, Groups: review.Status.UserInfo.Groups}, nil
}

// newManager makes a manager whose cache holds policies, webhook configurations, namespaces' metadata, and the Leases of
// replicas, and of all Secrets only the operator's own.
func newManager(config *rest.Config, o *options) (ctrl.Manager, error) {
	scheme, err := newScheme()
	if err != nil {
		return nil, err
	}
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Scheme: scheme,
		Cache: cache.Options{
			DefaultTransform: cache.TransformStripManagedFields(),
			ByObject: map[client.Object]cache.ByObject{
				&corev1.Secret{}: secretsInCache(o),
				&coordinationv1.Lease{}: {
					Namespaces: map[string]cache.Config{o.namespace: {}}, Label: labels.SelectorFromSet(heartbeat.Labels),
				},
				&v1alpha1.AgentActivity{}: {Transform: controllers.TransformActivity},
			},
		},
		Metrics:                metricsserver.Options{BindAddress: o.metricsAddress},
		HealthProbeBindAddress: o.probeAddress,
		PprofBindAddress:       o.pprofAddress,
		LeaderElection:         o.leaderElect, LeaderElectionID: "countersign.countersign.dev",
		LeaderElectionNamespace: o.namespace, LeaderElectionReleaseOnCancel: true,
	})
	if err != nil {
		return nil, fmt.Errorf("making the manager: %w", err)
	}
	return mgr, nil
}

// secretsInCache has the cache keep the operator's Secret and the one with provided certificates. A watch can name one
// Secret only: with two, the contents of the others in the namespace are dropped as they come.
func secretsInCache(o *options) cache.ByObject {
	by := cache.ByObject{Namespaces: map[string]cache.Config{o.namespace: {}}}
	if o.providedCertSecret == "" {
		by.Field = fields.OneTermEqualSelector("metadata.name", o.certSecret)
		return by
	}
	by.Transform = func(object any) (any, error) {
		if secret, ok := object.(*corev1.Secret); ok && secret.Name != o.certSecret && secret.Name != o.providedCertSecret {
			secret.Data = nil
		}
		return object, nil
	}
	return by
}

// openLog opens the decision log for appending; "-" is the standard output.
func openLog(path string, standard io.Writer) (io.Writer, func(), error) {
	if path == "-" {
		return standard, func() {}, nil
	}
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, nil, fmt.Errorf("opening the decision log: %w", err)
	}
	return file, func() {
		if err := file.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
			ctrl.Log.Error(err, "Closing the decision log")
		}
	}, nil
}

// source names this process in the decision log.
func source() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return "countersign/" + host
}

package testbed

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/hack/controlplane"
	"github.com/countersign-dev/countersign/hack/measure"
)

const (
	// Namespace is that of the release.
	Namespace = "countersign-system"
	// Release is its name.
	Release = "countersign"
	// Agents is the namespace of those whom policies are to govern.
	Agents  = "ci"
	service = "countersign-webhook"
)

// Testbed is a control plane with a release of the chart, and replicas of the operator behind a balancer.
type Testbed struct {
	Run   *measure.Run
	Plane *controlplane.Plane
	// Balancer stands for the Service of the webhooks; nil where replicas are reached directly.
	Balancer *Balancer
	// Admin may do everything.
	Admin client.Client
	// Replicas are all that were started, the dead ones included.
	Replicas []*Replica

	direct bool
	scheme *runtime.Scheme
	// operatorKubeconfig is that of the chart's service account, args are those of the chart's Deployment.
	operatorKubeconfig string
	args               []string
	launched           int
}

// Options of a Testbed.
type Options struct {
	// Plane are those of the control plane. How Services are found is not for the caller to say.
	Plane controlplane.Options
	// Direct has the API server reach one replica by its URL, with nothing between them: what takes long is then theirs.
	Direct bool
	// Namespaces are made besides those of the agents and of the release.
	Namespaces []string
}

// New starts a control plane in which the agents of the namespace ci and the person alice may do everything.
func New(ctx context.Context, b *measure.Run, options Options) (*Testbed, error) {
	options.Plane.RouteServices, options.Plane.Out = !options.Direct, b.Screen
	plane, err := controlplane.Start(ctx, options.Plane)
	if err != nil {
		return nil, err
	}
	s := &Testbed{Run: b, Plane: plane, direct: options.Direct, scheme: runtime.NewScheme()}
	if err := s.furnish(ctx, options.Namespaces); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Testbed) furnish(ctx context.Context, namespaces []string) error {
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(s.scheme); err != nil {
			return fmt.Errorf("building the scheme: %w", err)
		}
	}
	var err error
	if s.Admin, err = s.connect(s.Plane.AdminConfig()); err != nil {
		return err
	}
	if !s.direct {
		if s.Balancer, err = newBalancer(ctx); err != nil {
			return err
		}
		if err := s.Plane.RouteService(Namespace, service, s.Balancer.address()); err != nil {
			return err
		}
	}
	objects := []client.Object{&rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "everything"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
		Subjects: []rbacv1.Subject{
			{Kind: rbacv1.GroupKind, APIGroup: rbacv1.GroupName, Name: "system:serviceaccounts:" + Agents},
			{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: "alice"},
		},
	}}
	for _, name := range append([]string{Namespace, Agents}, namespaces...) {
		objects = append(objects, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
	}
	return s.Create(ctx, objects...)
}

// Create makes objects, unless they are there.
func (s *Testbed) Create(ctx context.Context, objects ...client.Object) error {
	for _, o := range objects {
		if err := s.Admin.Create(ctx, o); err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("creating %s: %w", o.GetName(), err)
		}
	}
	return nil
}

func (s *Testbed) connect(config *rest.Config) (client.Client, error) {
	c, err := client.New(config, client.Options{Scheme: s.scheme})
	if err != nil {
		return nil, fmt.Errorf("connecting: %w", err)
	}
	return c, nil
}

// Agent connects as a service account of the agents' namespace, whose members are governed.
func (s *Testbed) Agent(ctx context.Context, name string) (client.Client, error) {
	kubeconfig, err := s.Plane.ServiceAccountKubeconfig(ctx, Agents, name)
	if err != nil {
		return nil, err
	}
	return s.by(kubeconfig)
}

// Person connects as alice, by a client certificate. Nothing governs her.
func (s *Testbed) Person() (client.Client, error) {
	kubeconfig, err := s.Plane.PersonKubeconfig("alice")
	if err != nil {
		return nil, err
	}
	return s.by(kubeconfig)
}

func (s *Testbed) by(kubeconfig string) (client.Client, error) {
	config, err := s.Plane.Config(kubeconfig)
	if err != nil {
		return nil, err
	}
	return s.connect(config)
}

// Install installs the chart, and learns from it how the operator is run.
func (s *Testbed) Install(ctx context.Context, values ...string) error {
	args := []string{"upgrade", "--install", Release, filepath.Join(s.Run.Root, "charts", "countersign"), "--namespace", Namespace,
		"--force-conflicts"} // what an experiment has changed is the release's again
	for _, v := range values {
		args = append(args, "--set", v)
	}
	command := exec.CommandContext(ctx, s.Plane.Binaries().Helm, args...)
	command.Env = append(os.Environ(), "KUBECONFIG="+s.Plane.Kubeconfig("admin"))
	for _, home := range []string{"CACHE", "CONFIG", "DATA"} {
		command.Env = append(command.Env, "HELM_"+home+"_HOME="+filepath.Join(s.Plane.WorkDir(), "helm", home))
	}
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("installing the chart: %w\n%s", err, out)
	}
	var deployment appsv1.Deployment
	if err := s.Admin.Get(ctx, client.ObjectKey{Namespace: Namespace, Name: Release}, &deployment); err != nil {
		return fmt.Errorf("reading the chart's Deployment: %w", err)
	}
	s.args = deployment.Spec.Template.Spec.Containers[0].Args
	var err error
	s.operatorKubeconfig, err = s.Plane.ServiceAccountKubeconfig(ctx, Namespace, Release)
	return err
}

// Join starts a replica, and puts it behind the balancer once it is ready.
func (s *Testbed) Join(ctx context.Context) error {
	r, err := s.Launch(s.Run.Binary)
	if err != nil {
		return err
	}
	if err := r.WaitReady(ctx); err != nil {
		return err
	}
	s.Balancer.Add(r)
	return nil
}

// Serve starts replicas and puts them behind the balancer, where there is one, once all are ready.
func (s *Testbed) Serve(ctx context.Context, replicas int) error {
	for range replicas {
		if _, err := s.Launch(s.Run.Binary); err != nil {
			return err
		}
	}
	for _, r := range s.Replicas {
		if err := r.WaitReady(ctx); err != nil {
			return err
		}
		if s.Balancer != nil {
			s.Balancer.Add(r)
		}
	}
	return nil
}

// Close ends everything, for good.
func (s *Testbed) Close() {
	for _, r := range s.Replicas {
		r.Kill()
	}
	if s.Balancer != nil {
		s.Balancer.close()
	}
	if err := s.Plane.Stop(); err != nil {
		fmt.Fprintln(s.Run.Screen, "stopping the control plane:", err)
	}
}

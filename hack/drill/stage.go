package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/hack/controlplane"
)

const (
	namespace = "countersign-system"
	release   = "countersign"
	service   = "countersign-webhook"
	agents    = "ci"
)

//go:embed policy.yaml
var policyText []byte

// stage is a control plane with a release of the chart, and replicas of the operator.
type stage struct {
	bench    *bench
	plane    *controlplane.Plane
	balancer *balancer
	scheme   *runtime.Scheme
	admin    client.Client
	// operatorKubeconfig is that of the chart's service account, args are those of the chart's Deployment.
	operatorKubeconfig string
	args               []string
	replicas           []*replica // the dead ones included
	launched           int
}

// newStage starts a control plane and makes namespaces and rights in it.
func (b *bench) newStage(ctx context.Context, options controlplane.Options) (*stage, error) {
	options.RouteServices, options.Out = true, b.screen
	plane, err := controlplane.Start(ctx, options)
	if err != nil {
		return nil, err
	}
	s := &stage{bench: b, plane: plane, scheme: runtime.NewScheme()}
	if err := s.furnish(ctx); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *stage) furnish(ctx context.Context) error {
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(s.scheme); err != nil {
			return fmt.Errorf("building the scheme: %w", err)
		}
	}
	var err error
	if s.admin, err = s.connect(s.plane.AdminConfig()); err != nil {
		return err
	}
	if s.balancer, err = newBalancer(ctx); err != nil {
		return err
	}
	if err := s.plane.RouteService(namespace, service, s.balancer.address()); err != nil {
		return err
	}
	objects := []client.Object{&rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "drills"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
		Subjects: []rbacv1.Subject{
			{Kind: rbacv1.GroupKind, APIGroup: rbacv1.GroupName, Name: "system:serviceaccounts:" + agents},
			{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: "alice"},
		},
	}}
	for _, name := range []string{namespace, agents, "shop", "counted", "once", "run"} {
		objects = append(objects, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
	}
	return s.create(ctx, objects...)
}

// create makes objects, unless they are there.
func (s *stage) create(ctx context.Context, objects ...client.Object) error {
	for _, o := range objects {
		if err := s.admin.Create(ctx, o); err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("creating %s: %w", o.GetName(), err)
		}
	}
	return nil
}

func (s *stage) connect(config *rest.Config) (client.Client, error) {
	c, err := client.New(config, client.Options{Scheme: s.scheme})
	if err != nil {
		return nil, fmt.Errorf("connecting: %w", err)
	}
	return c, nil
}

// agent connects as a service account of the agents' namespace, which every policy of the drills governs.
func (s *stage) agent(ctx context.Context, name string) (client.Client, error) {
	kubeconfig, err := s.plane.ServiceAccountKubeconfig(ctx, agents, name)
	if err != nil {
		return nil, err
	}
	return s.by(kubeconfig)
}

// person connects as alice, by a client certificate. No policy governs her.
func (s *stage) person() (client.Client, error) {
	kubeconfig, err := s.plane.PersonKubeconfig("alice")
	if err != nil {
		return nil, err
	}
	return s.by(kubeconfig)
}

func (s *stage) by(kubeconfig string) (client.Client, error) {
	config, err := s.plane.Config(kubeconfig)
	if err != nil {
		return nil, err
	}
	return s.connect(config)
}

// install installs the chart, and learns from it how the operator is run.
func (s *stage) install(ctx context.Context, values ...string) error {
	args := []string{"upgrade", "--install", release, filepath.Join(s.bench.root, "charts", "countersign"), "--namespace", namespace}
	for _, v := range values {
		args = append(args, "--set", v)
	}
	command := exec.CommandContext(ctx, s.plane.Binaries().Helm, args...)
	command.Env = append(os.Environ(), "KUBECONFIG="+s.plane.Kubeconfig("admin"))
	for _, home := range []string{"CACHE", "CONFIG", "DATA"} {
		command.Env = append(command.Env, "HELM_"+home+"_HOME="+filepath.Join(s.plane.WorkDir(), "helm", home))
	}
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("installing the chart: %w\n%s", err, out)
	}
	var deployment appsv1.Deployment
	if err := s.admin.Get(ctx, client.ObjectKey{Namespace: namespace, Name: release}, &deployment); err != nil {
		return fmt.Errorf("reading the chart's Deployment: %w", err)
	}
	s.args = deployment.Spec.Template.Spec.Containers[0].Args
	var err error
	s.operatorKubeconfig, err = s.plane.ServiceAccountKubeconfig(ctx, namespace, release)
	return err
}

// join starts a replica, and puts it behind the balancer once it is ready.
func (s *stage) join(ctx context.Context) error {
	r, err := s.launch(s.bench.binary)
	if err != nil {
		return err
	}
	if err := r.waitReady(ctx); err != nil {
		return err
	}
	s.balancer.add(r)
	return nil
}

// govern starts replicas and puts the policy of the drills in force.
func (s *stage) govern(ctx context.Context, replicas int) error {
	for range replicas {
		if _, err := s.launch(s.bench.binary); err != nil {
			return err
		}
	}
	for _, r := range s.replicas {
		if err := r.waitReady(ctx); err != nil {
			return err
		}
		s.balancer.add(r)
	}
	policy := &v1alpha1.AgentActionPolicy{}
	if err := yaml.UnmarshalStrict(policyText, policy); err != nil {
		return fmt.Errorf("reading the policy: %w", err)
	}
	err := wait(ctx, "the policy is accepted", time.Minute, func(ctx context.Context) error {
		policy.ResourceVersion = ""
		return client.IgnoreAlreadyExists(s.admin.Create(ctx, policy))
	})
	if err != nil {
		return err
	}
	return s.waitInForce(ctx)
}

// waitInForce waits until the policy is enforced and an agent feels it: the API server follows what is stored a moment later.
func (s *stage) waitInForce(ctx context.Context) error {
	err := wait(ctx, "the policy is in force", time.Minute, func(ctx context.Context) error {
		var policy v1alpha1.AgentActionPolicy
		if err := s.admin.Get(ctx, client.ObjectKey{Name: "drills"}, &policy); err != nil {
			return err
		}
		if c := meta.FindStatusCondition(policy.Status.Conditions, v1alpha1.PolicyEnforced); c == nil || c.Status != metav1.ConditionTrue {
			return fmt.Errorf("its condition is %+v", c)
		}
		return nil
	})
	if err != nil {
		return err
	}
	probe, err := s.agent(ctx, "probe")
	if err != nil {
		return err
	}
	return wait(ctx, "an agent is refused what is out of scope", time.Minute, func(ctx context.Context) error {
		err := probe.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "probe"}}, client.DryRunAll)
		if apierrors.IsForbidden(err) {
			return nil
		}
		return fmt.Errorf("the answer is %w", errors.Join(errors.New("no refusal"), err))
	})
}

// close ends everything, for good.
func (s *stage) close() {
	for _, r := range s.replicas {
		r.kill()
	}
	if s.balancer != nil {
		s.balancer.close()
	}
	if err := s.plane.Stop(); err != nil {
		fmt.Fprintln(s.bench.screen, "stopping the control plane:", err)
	}
}

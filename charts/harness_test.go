package charts

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/hack/controlplane"
	"github.com/countersign-dev/countersign/internal/operatortest"
	"github.com/countersign-dev/countersign/internal/protection"
)

const (
	release   = "countersign"
	namespace = "countersign-system"
	chart     = "countersign" // the directory

	anchor          = "countersign-anchor"
	canary          = "countersign-canary"
	service         = "countersign-webhook"
	certSecret      = "countersign-webhook-cert"
	actionsConfig   = "countersign-actions"
	policiesConfig  = "countersign-policies"
	agentNamespace  = "shop"
	agentName       = "deploy-bot"
	eventuallyBound = time.Minute
)

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	controlplane.Main(m, controlplane.Options{
		Nodes:         1,
		RouteServices: true,
		// Clusters that switch the second one on ask whoever changes owners for the right to delete.
		Flags: map[string][]string{controlplane.APIServer: {
			"--enable-admission-plugins=NodeRestriction,OwnerReferencesPermissionEnforcement",
		}},
	})
}

// connection is one identity's way to the API server.
type connection struct {
	kubernetes.Interface
	client.Client
	config *rest.Config
}

func connect(t *testing.T, kubeconfig string) *connection {
	t.Helper()
	config, err := controlplane.Shared(t).Config(kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, apiextensionsv1.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	set, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	objects, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	return &connection{Interface: set, Client: objects, config: config}
}

func admin(t *testing.T) *connection {
	t.Helper()
	return connect(t, controlplane.Shared(t).Kubeconfig("admin"))
}

// serviceAccount connects with a token of an account, which is made where it is missing.
func serviceAccount(t *testing.T, namespace, name string) *connection {
	t.Helper()
	return connect(t, serviceAccountKubeconfig(t, namespace, name))
}

func serviceAccountKubeconfig(t *testing.T, namespace, name string) string {
	t.Helper()
	kubeconfig, err := controlplane.Shared(t).ServiceAccountKubeconfig(t.Context(), namespace, name)
	if err != nil {
		t.Fatal(err)
	}
	return kubeconfig
}

func person(t *testing.T, name string) *connection {
	t.Helper()
	kubeconfig, err := controlplane.Shared(t).PersonKubeconfig(name)
	if err != nil {
		t.Fatal(err)
	}
	return connect(t, kubeconfig)
}

// ensure makes an object that a test before may have made.
func ensure(t *testing.T, c client.Client, objects ...client.Object) {
	t.Helper()
	for _, o := range objects {
		if err := c.Create(t.Context(), o); err != nil && !apierrors.IsAlreadyExists(err) {
			t.Fatal(err)
		}
	}
}

// agentAndPerson may both do everything in one namespace.
func agentAndPerson(t *testing.T) (agent, somebody *connection) {
	t.Helper()
	agent, somebody = serviceAccount(t, agentNamespace, agentName), person(t, "jane")
	a := admin(t)
	ensure(t, a.Client, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: agentNamespace, Name: "test"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
		Subjects: []rbacv1.Subject{
			{Kind: rbacv1.ServiceAccountKind, Namespace: agentNamespace, Name: agentName},
			{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: "jane"},
		},
	})
	eventually(t, "the rights of the agent", func(ctx context.Context) error { return write(ctx, agent) })
	return agent, somebody
}

// write makes a change without consequences.
func write(ctx context.Context, c *connection) error {
	object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-", Namespace: agentNamespace}}
	return c.Create(ctx, object)
}

// eventually polls until try succeeds, up to a bound that only a defect reaches.
func eventually(t *testing.T, what string, try func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), eventuallyBound)
	defer cancel()
	for {
		err := try(ctx)
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("waiting for %s: %v", what, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// stays wants a state to hold for a while.
func stays(t *testing.T, what string, span time.Duration, check func(context.Context) error) {
	t.Helper()
	end := time.After(span)
	for {
		if err := check(t.Context()); err != nil {
			t.Fatalf("%s does not last: %v", what, err)
		}
		select {
		case <-end:
			return
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// inputs looks at what Helm and the go command read in processes of their own, so that the go command repeats the
// tests when something of it changes.
var inputs = sync.OnceValue(func() error {
	for _, root := range []string{chart, "../api", "../config", "../controllers", "../hack/tools/certmanager", "../internal", "../webhooks"} {
		if err := filepath.WalkDir(root, func(_ string, _ fs.DirEntry, err error) error { return err }); err != nil {
			return err
		}
	}
	programs, err := filepath.Glob("../*.go")
	for _, path := range programs {
		_, statErr := os.Stat(path)
		err = errors.Join(err, statErr)
	}
	return err
})

// helm runs Helm 4 as the administrator.
func helm(t *testing.T, args ...string) (string, error) {
	t.Helper()
	return runHelm(t, controlplane.Shared(t).Binaries().Helm, args...)
}

// runHelm runs one Helm as the administrator, without the user's own configuration.
func runHelm(t *testing.T, binary string, args ...string) (string, error) {
	t.Helper()
	if err := inputs(); err != nil {
		t.Fatal(err)
	}
	plane := controlplane.Shared(t)
	command := exec.CommandContext(t.Context(), binary, args...)
	command.Env = append(os.Environ(), "KUBECONFIG="+plane.Kubeconfig("admin"))
	for _, home := range []string{"CACHE", "CONFIG", "DATA"} {
		command.Env = append(command.Env, "HELM_"+home+"_HOME="+filepath.Join(plane.WorkDir(), "helm", home))
	}
	out, err := command.CombinedOutput()
	return string(out), err
}

func mustHelm(t *testing.T, args ...string) string {
	t.Helper()
	out, err := helm(t, args...)
	if err != nil {
		t.Fatalf("helm %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// makeNamespace makes the namespace of the release, where only restricted pods may run.
func makeNamespace(t *testing.T, a *connection) {
	t.Helper()
	ensure(t, a.Client, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: namespace, Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"},
	}})
}

// install installs the chart and waits until its pods are ready.
func install(t *testing.T, args ...string) string {
	t.Helper()
	makeNamespace(t, admin(t))
	out := mustHelm(t, append([]string{"install", release, chart, "--namespace", namespace, "--wait", "--timeout", "60s"}, args...)...)
	t.Cleanup(func() { removeRelease(t) })
	return out
}

// removeRelease leaves nothing to the next test, whatever happened in this one.
func removeRelease(t *testing.T) {
	t.Helper()
	a := admin(t)
	plane := controlplane.Shared(t)
	command := exec.Command(plane.Binaries().Helm, "uninstall", release, "--namespace", namespace, "--ignore-not-found", "--no-hooks")
	command.Env = append(os.Environ(), "KUBECONFIG="+plane.Kubeconfig("admin"))
	if out, err := command.CombinedOutput(); err != nil {
		t.Errorf("helm uninstall: %v\n%s", err, out)
	}
	for _, name := range []string{actionsConfig, policiesConfig} {
		configuration := &admissionregistrationv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: name}}
		if err := client.IgnoreNotFound(a.Delete(context.Background(), configuration)); err != nil {
			t.Error(err)
		}
	}
	stamping := &admissionregistrationv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "countersign-approvals"}}
	if err := client.IgnoreNotFound(a.Delete(context.Background(), stamping)); err != nil {
		t.Error(err)
	}
	policy := metav1.ObjectMeta{Name: protection.PolicyName}
	for _, o := range []client.Object{
		&admissionregistrationv1.ValidatingAdmissionPolicyBinding{ObjectMeta: policy},
		&admissionregistrationv1.ValidatingAdmissionPolicy{ObjectMeta: policy},
	} {
		if err := client.IgnoreNotFound(a.Delete(context.Background(), o)); err != nil {
			t.Error(err)
		}
	}
	// An operator without rights could not release it, and the next one would wait.
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "countersign.countersign.dev"}}
	if err := client.IgnoreNotFound(a.Delete(context.Background(), lease)); err != nil {
		t.Error(err)
	}
	err := a.DeleteAllOf(context.Background(), &v1alpha1.AgentActionPolicy{})
	if err != nil && !apierrors.IsNotFound(err) && !meta.IsNoMatchError(err) {
		t.Error(err)
	}
}

// process is the operator, outside of the cluster.
type process struct {
	command        *exec.Cmd
	done           chan struct{}
	log            string
	decisions      string
	probes         string
	metrics        string
	webhookAddress string
}

// startOperator runs the operator, and waits until it is ready.
func startOperator(t *testing.T, flags ...string) *process {
	t.Helper()
	p := launchOperator(t, flags...)
	p.wantReady(t)
	return p
}

// launchOperator runs the operator as the service account of the chart, with the flags of the chart's Deployment
// and what differs outside of a pod.
func launchOperator(t *testing.T, flags ...string) *process {
	t.Helper()
	deployment, err := admin(t).AppsV1().Deployments(namespace).Get(t.Context(), release, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	port := freePort(t)
	p := &process{
		done: make(chan struct{}), log: filepath.Join(dir, "log"), decisions: filepath.Join(dir, "decisions"),
		webhookAddress: "127.0.0.1:" + port, probes: "127.0.0.1:" + freePort(t), metrics: "127.0.0.1:" + freePort(t),
	}
	args := append(deployment.Spec.Template.Spec.Containers[0].Args,
		"--kubeconfig="+serviceAccountKubeconfig(t, namespace, release), "--cert-dir="+filepath.Join(dir, "certificates"),
		"--webhook-port="+port, "--health-probe-bind-address="+p.probes, "--metrics-bind-address="+p.metrics,
		"--decision-log="+p.decisions)
	p.command = exec.Command(operatortest.Binary(t), append(args, flags...)...)
	log, err := os.Create(p.log)
	if err != nil {
		t.Fatal(err)
	}
	p.command.Stdout, p.command.Stderr = log, log
	if err := p.command.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.command.Wait()
		_ = log.Close()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.stop()
		if t.Failed() {
			t.Logf("log of the operator:\n%s", p.output(t))
		}
	})
	return p
}

func (p *process) wantReady(t *testing.T) {
	t.Helper()
	eventually(t, "the operator", func(ctx context.Context) error {
		if !p.running() {
			t.Fatal("the operator has ended")
		}
		return p.ready(ctx)
	})
}

// ready is an error while the operator is not.
func (p *process) ready(ctx context.Context) error {
	_, err := get(ctx, "http://"+p.probes+"/readyz")
	return err
}

func (p *process) running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

func (p *process) stop() {
	_ = p.command.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(15 * time.Second):
		_ = p.command.Process.Kill()
		<-p.done
	}
}

func (p *process) output(t *testing.T) string {
	t.Helper()
	content, err := os.ReadFile(p.log)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// wantNothingForbidden says which rights the chart forgot.
func (p *process) wantNothingForbidden(t *testing.T) {
	t.Helper()
	for line := range strings.Lines(p.output(t)) {
		if strings.Contains(strings.ToLower(line), "forbidden") {
			t.Errorf("the operator lacks rights: %s", line)
		}
	}
}

func get(ctx context.Context, url string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	body, err := io.ReadAll(response.Body)
	if err := errors.Join(err, response.Body.Close()); err != nil {
		return "", err
	}
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: %s", response.Status, body)
	}
	return string(body), nil
}

func freePort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// decode reads a stream of YAML documents.
func decode(t *testing.T, manifest string) []*unstructured.Unstructured {
	t.Helper()
	var objects []*unstructured.Unstructured
	decoder := utilyaml.NewYAMLOrJSONDecoder(bytes.NewBufferString(manifest), 4096)
	for {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(&object.Object)
		if errors.Is(err, io.EOF) {
			return objects
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(object.Object) > 0 {
			objects = append(objects, object)
		}
	}
}

// configuration reads a webhook configuration of the operator.
func configuration(ctx context.Context, a *connection, name string) (*admissionregistrationv1.ValidatingWebhookConfiguration, error) {
	return a.AdmissionregistrationV1().ValidatingWebhookConfigurations().Get(ctx, name, metav1.GetOptions{})
}

// noConfigurations is an error while the operator's webhook configurations are there.
func noConfigurations(ctx context.Context, a *connection) error {
	for _, name := range []string{actionsConfig, policiesConfig} {
		if _, err := configuration(ctx, a, name); !apierrors.IsNotFound(err) {
			return fmt.Errorf("webhook configuration %s is there, or reading it fails: %w", name, err)
		}
	}
	_, err := a.AdmissionregistrationV1().MutatingWebhookConfigurations().Get(ctx, "countersign-approvals", metav1.GetOptions{})
	if !apierrors.IsNotFound(err) {
		return fmt.Errorf("webhook configuration countersign-approvals is there, or reading it fails: %w", err)
	}
	_, err = a.AdmissionregistrationV1().ValidatingAdmissionPolicies().Get(ctx, protection.PolicyName, metav1.GetOptions{})
	if !apierrors.IsNotFound(err) {
		return fmt.Errorf("the admission policy is there, or reading it fails: %w", err)
	}
	_, err = a.AdmissionregistrationV1().ValidatingAdmissionPolicyBindings().Get(ctx, protection.PolicyName, metav1.GetOptions{})
	if !apierrors.IsNotFound(err) {
		return fmt.Errorf("the binding of the admission policy is there, or reading it fails: %w", err)
	}
	return nil
}

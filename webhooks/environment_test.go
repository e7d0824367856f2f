package webhooks_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/hack/controlplane"
	"github.com/countersign-dev/countersign/internal/operatortest"
)

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	controlplane.Main(m, controlplane.Options{ControllerManager: true, Flags: map[string][]string{
		// Autoscalers and nodes are looked at every 15 and 5 seconds otherwise.
		controlplane.ControllerManager: {"--horizontal-pod-autoscaler-sync-period=1s", "--node-monitor-period=1s"},
	}})
}

// environment is a cluster with the operator running in front of it.
type environment struct {
	plane    *controlplane.Plane
	operator *operatortest.Operator
	admin    client.Client
}

// identity is a user with clients of their own.
type identity struct {
	name       string
	config     *rest.Config
	kubeconfig string
	client.Client
	kubernetes.Interface
}

func newEnvironment(t testing.TB, flags ...string) *environment {
	t.Helper()
	e := &environment{plane: controlplane.Shared(t)}
	e.admin = operatortest.NewClient(t, e.plane.AdminConfig())
	operatortest.ApplyDefinitions(t, e.admin)
	e.operator = operatortest.Start(t, e.plane.Kubeconfig("admin"), flags...)
	return e
}

// anchorName is the ClusterRole that owns the webhook configurations of newOwned.
const anchorName = "countersign-anchor"

// newOwned starts an operator whose webhook configurations have an owner. It is ready when they are stored, so the owner
// comes first, as in a release.
func newOwned(t testing.TB, flags ...string) *environment {
	t.Helper()
	admin := operatortest.NewClient(t, controlplane.Shared(t).AdminConfig())
	anchor := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: anchorName}}
	if err := client.IgnoreAlreadyExists(admin.Create(t.Context(), anchor)); err != nil {
		t.Fatal(err)
	}
	return newEnvironment(t, append(flags, "--owner-cluster-role", anchorName)...)
}

// namespace makes a namespace for one test.
func (e *environment) namespace(t testing.TB) string {
	t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}
	if err := e.admin.Create(t.Context(), ns); err != nil {
		t.Fatal(err)
	}
	return ns.Name
}

// agent makes a service account that RBAC lets do everything: what stops it is Countersign.
func (e *environment) agent(t testing.TB, namespace string) *identity {
	t.Helper()
	return e.agentNamed(t, namespace, "agent")
}

func (e *environment) agentNamed(t testing.TB, namespace, name string) *identity {
	t.Helper()
	kubeconfig, err := e.plane.ServiceAccountKubeconfig(t.Context(), namespace, name)
	if err != nil {
		t.Fatal(err)
	}
	e.bindAdmin(t, namespace+"-"+name, rbacv1.Subject{Kind: "ServiceAccount", Namespace: namespace, Name: name})
	return e.identity(t, "system:serviceaccount:"+namespace+":"+name, kubeconfig)
}

// person makes a user with a client certificate and the same rights.
func (e *environment) person(t testing.TB, name string) *identity {
	t.Helper()
	kubeconfig, err := e.plane.PersonKubeconfig(name)
	if err != nil {
		t.Fatal(err)
	}
	e.bindAdmin(t, name, rbacv1.Subject{APIGroup: "rbac.authorization.k8s.io", Kind: "User", Name: name})
	return e.identity(t, name, kubeconfig)
}

func (e *environment) bindAdmin(t testing.TB, name string, subject rbacv1.Subject) {
	t.Helper()
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "admin-" + name},
		RoleRef:    rbacv1.RoleRef{APIGroup: "rbac.authorization.k8s.io", Kind: "ClusterRole", Name: "cluster-admin"},
		Subjects:   []rbacv1.Subject{subject},
	}
	if err := e.admin.Create(t.Context(), binding); err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
}

func (e *environment) identity(t testing.TB, name, kubeconfig string) *identity {
	t.Helper()
	config, err := e.plane.Config(kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	set, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return &identity{name: name, config: config, kubeconfig: kubeconfig, Client: operatortest.NewClient(t, config), Interface: set}
}

// policy stores a policy for the agent of a namespace and waits until the API server sends the agent's actions to
// the operator. AGENT and NAMESPACE in the spec stand for the agent and its namespace.
func (e *environment) policy(t testing.TB, namespace, spec string) *v1alpha1.AgentActionPolicy {
	t.Helper()
	p := e.policyNamed(t, "p-"+namespace, namespace, spec)
	e.waitEnforced(t, p)
	return p
}

// policyNamed stores a policy under a name, without waiting.
func (e *environment) policyNamed(t testing.TB, name, namespace, spec string) *v1alpha1.AgentActionPolicy {
	t.Helper()
	p := &v1alpha1.AgentActionPolicy{ObjectMeta: metav1.ObjectMeta{Name: name}}
	text := strings.NewReplacer("AGENT", "{kind: ServiceAccount, namespace: "+namespace+", name: agent}", "NAMESPACE", namespace).Replace(spec)
	if err := yaml.UnmarshalStrict([]byte(text), &p.Spec); err != nil {
		t.Fatalf("reading policy: %v\n%s", err, text)
	}
	if err := e.admin.Create(t.Context(), p); err != nil {
		t.Fatalf("creating policy: %v", err)
	}
	t.Cleanup(func() {
		if err := e.admin.Delete(context.Background(), p); client.IgnoreNotFound(err) != nil {
			t.Errorf("deleting policy: %v", err)
		}
	})
	return p
}

// waitEnforced waits until this generation of a policy is in force.
func (e *environment) waitEnforced(t testing.TB, p *v1alpha1.AgentActionPolicy) {
	t.Helper()
	operatortest.Eventually(t, "policy "+p.Name+" is enforced", func(ctx context.Context) error {
		if err := e.admin.Get(ctx, client.ObjectKeyFromObject(p), p); err != nil {
			return err
		}
		c := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.PolicyEnforced)
		if c == nil || c.Status != metav1.ConditionTrue || c.ObservedGeneration != p.Generation {
			return fmt.Errorf("condition is %+v", c)
		}
		return nil
	})
}

// waitGoverned waits until a dry run by the agent is answered by the operator: the API server takes some
// milliseconds to take up a stored webhook configuration, and says nowhere that it has.
func (e *environment) waitGoverned(t testing.TB, agent *identity, namespace string) {
	t.Helper()
	operatortest.Eventually(t, "the agent is governed", func(ctx context.Context) error {
		probe := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "probe"}}
		err := agent.Create(ctx, probe, client.DryRunAll)
		if err == nil {
			return errors.New("a probe passes")
		}
		if !strings.Contains(err.Error(), "[countersign decision=") {
			return fmt.Errorf("a probe is not answered by the operator: %w", err)
		}
		return nil
	})
}

// waitPoliciesValidated waits until the API server asks the operator about policies.
func (e *environment) waitPoliciesValidated(t testing.TB) {
	t.Helper()
	operatortest.Eventually(t, "policies are validated", func(ctx context.Context) error {
		p := &v1alpha1.AgentActionPolicy{ObjectMeta: metav1.ObjectMeta{Name: "probe"}, Spec: v1alpha1.AgentActionPolicySpec{
			Enforcement: v1alpha1.Enforce, Subjects: []v1alpha1.Subject{{Kind: v1alpha1.SubjectUser, Name: "admin"}},
		}}
		err := e.admin.Create(ctx, p, client.DryRunAll)
		if err == nil {
			return errors.New("a policy that governs the operator passes")
		}
		if !apierrors.IsInvalid(err) {
			return fmt.Errorf("a policy that governs the operator is not refused: %w", err)
		}
		return nil
	})
}

// refused checks that an error is a refusal by the operator: 403, with exactly these reasons as causes.
func refused(t testing.TB, err error, reasons ...string) *apierrors.StatusError {
	t.Helper()
	status, ok := err.(*apierrors.StatusError) //nolint:errorlint // client-go returns it unwrapped
	if !ok {
		t.Fatalf("the answer is %v, want a refusal because of %v", err, reasons)
	}
	if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "[countersign decision=") {
		t.Fatalf("the answer is %v, want a refusal by the operator", err)
	}
	var got []string
	for _, c := range status.Status().Details.Causes {
		got = append(got, string(c.Type))
	}
	if strings.Join(got, ",") != strings.Join(reasons, ",") {
		t.Fatalf("the reasons are %v, want %v\n%v", got, reasons, err)
	}
	return status
}

// allowed checks that nothing was refused.
func allowed(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("the answer is %v, want success", err)
	}
}

// auditLines are the lines of the API server's audit log that contain a text.
func (e *environment) auditLines(t testing.TB, containing string) []string {
	t.Helper()
	text, err := os.ReadFile(e.plane.AuditLog())
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, containing) {
			lines = append(lines, line)
		}
	}
	return lines
}

// warned is a client that keeps the warnings of the last answers.
type warned struct {
	client.Client
	warnings []string
}

// HandleWarningHeader implements rest.WarningHandler.
func (w *warned) HandleWarningHeader(_ int, _, text string) { w.warnings = append(w.warnings, text) }

func (e *environment) withWarnings(t testing.TB, who *identity) *warned {
	t.Helper()
	w := &warned{}
	config := rest.CopyConfig(who.config)
	config.WarningHandler = w
	w.Client = operatortest.NewClient(t, config)
	return w
}

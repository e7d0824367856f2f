package controlplane

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

func TestMain(m *testing.M) { Main(m, Options{Nodes: 2, RouteServices: true}) }

// within polls with a bound that only a broken plane reaches.
func within(t *testing.T, what string, try func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := poll(ctx, func() error { return try(ctx) }); err != nil {
		t.Fatalf("waiting for %s: %v", what, err)
	}
}

func clientFor(t *testing.T, kubeconfig string) kubernetes.Interface {
	t.Helper()
	config, err := Shared(t).Config(kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func newNamespace(t *testing.T) (kubernetes.Interface, string) {
	t.Helper()
	client := clientFor(t, Shared(t).Kubeconfig("admin"))
	ns, err := client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return client, ns.Name
}

func deployment(name string, replicas int32) *appsv1.Deployment {
	labels := map[string]string{"app": name}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas,
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "example.test/app:1"}}},
			},
		},
	}
}

func TestDeploymentRollsOutAndIsCollected(t *testing.T) {
	client, ns := newNamespace(t)
	if _, err := client.AppsV1().Deployments(ns).Create(t.Context(), deployment("web", 2), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	within(t, "the Deployment to be available", func(ctx context.Context) error {
		d, err := client.AppsV1().Deployments(ns).Get(ctx, "web", metav1.GetOptions{})
		if err != nil {
			return err
		}
		if d.Status.AvailableReplicas != 2 {
			return fmt.Errorf("%d replicas are available", d.Status.AvailableReplicas)
		}
		return nil
	})
	pods, err := client.CoreV1().Pods(ns).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, pod := range pods.Items {
		if pod.Spec.NodeName == "" || pod.Status.PodIP == "" || len(pod.Spec.Volumes) == 0 {
			t.Errorf("pod %s: node %q, address %q, %d volumes; want a node, an address and the token volume of ServiceAccount admission",
				pod.Name, pod.Spec.NodeName, pod.Status.PodIP, len(pod.Spec.Volumes))
		}
	}
	background := metav1.DeletePropagationBackground
	if err := client.AppsV1().Deployments(ns).Delete(t.Context(), "web", metav1.DeleteOptions{PropagationPolicy: &background}); err != nil {
		t.Fatal(err)
	}
	within(t, "the garbage collector", func(ctx context.Context) error {
		sets, err := client.AppsV1().ReplicaSets(ns).List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		pods, err := client.CoreV1().Pods(ns).List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		if n := len(sets.Items) + len(pods.Items); n > 0 {
			return fmt.Errorf("%d objects remain", n)
		}
		return nil
	})
	if err := client.CoreV1().Namespaces().Delete(t.Context(), ns, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	within(t, "the namespace controller", func(ctx context.Context) error {
		if _, err := client.CoreV1().Namespaces().Get(ctx, ns, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			return errors.Join(errors.New("the namespace remains"), err)
		}
		return nil
	})
}

func TestIdentities(t *testing.T) {
	plane := Shared(t)
	_, ns := newNamespace(t)
	account, err := plane.ServiceAccountKubeconfig(t.Context(), ns, "robot")
	if err != nil {
		t.Fatal(err)
	}
	person, err := plane.PersonKubeconfig("ann@example.test", "platform", "on-call")
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct{ kubeconfig, wantUser, wantGroup string }{
		"admin":           {plane.Kubeconfig("admin"), "admin", "system:masters"},
		"person":          {person, "ann@example.test", "on-call"},
		"service account": {account, "system:serviceaccount:" + ns + ":robot", "system:serviceaccounts:" + ns},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			out := kubectl(t, tc.kubeconfig, "auth", "whoami")
			if !strings.Contains(out, tc.wantUser) || !strings.Contains(out, tc.wantGroup) {
				t.Errorf("kubectl auth whoami printed\n%s\nwant %s of %s", out, tc.wantUser, tc.wantGroup)
			}
		})
	}
	t.Run("RBAC is in force", func(t *testing.T) {
		for _, kubeconfig := range []string{person, account} {
			if _, err := clientFor(t, kubeconfig).CoreV1().Pods(ns).List(t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
				t.Errorf("listing pods: %v, want forbidden", err)
			}
		}
	})
	t.Run("serving certificate is no identity", func(t *testing.T) {
		config := plane.AdminConfig()
		config.CertData, config.KeyData = nil, nil
		config.CertFile, config.KeyFile = plane.pki.crt("serving"), plane.pki.key("serving")
		client, err := kubernetes.NewForConfig(config)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.CoreV1().Pods(ns).List(t.Context(), metav1.ListOptions{}); !apierrors.IsUnauthorized(err) {
			t.Errorf("listing pods: %v, want unauthorized", err)
		}
	})
}

func kubectl(t *testing.T, kubeconfig string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), Shared(t).Binaries().Kubectl, append([]string{"--kubeconfig", kubeconfig}, args...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("running kubectl %v: %v\n%s", args, err, out)
	}
	return string(out)
}

func TestReportedVersions(t *testing.T) {
	binaries := Shared(t).Binaries()
	if out := kubectl(t, Shared(t).Kubeconfig("admin"), "version"); strings.Count(out, "v"+binaries.Kubernetes) != 2 {
		t.Errorf("kubectl version printed %q, want v%s for client and server", out, binaries.Kubernetes)
	}
	for path, args := range map[string][]string{binaries.Helm: {"version"}, binaries.Helm3: {"version"}, binaries.Kwok: {"--version"}, binaries.Etcd: {"--version"}} {
		out, err := exec.CommandContext(t.Context(), path, args...).CombinedOutput()
		if err != nil {
			t.Errorf("running %s: %v", path, err)
		}
		// The version is part of the cache directory's name.
		_, rest, _ := strings.Cut(path, "controlplane/")
		if version := strings.Split(rest, "-")[1]; !strings.Contains(string(out), version) {
			t.Errorf("%s printed %q, want version %s", path, out, version)
		}
	}
}

func TestAuditLogHasWrites(t *testing.T) {
	client, ns := newNamespace(t)
	config := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "audited"}}
	if _, err := client.CoreV1().ConfigMaps(ns).Create(t.Context(), config, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	within(t, "the audit event", func(context.Context) error {
		return findEvent(Shared(t).AuditLog(), "create", "/api/v1/namespaces/"+ns+"/configmaps")
	})
}

func findEvent(log, verb, uri string) error {
	f, err := os.Open(log)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var event struct{ Verb, RequestURI, Stage string }
		if err := json.Unmarshal(lines.Bytes(), &event); err != nil {
			return fmt.Errorf("reading %q: %w", lines.Text(), err)
		}
		if event.Verb == verb && strings.HasPrefix(event.RequestURI, uri) && event.Stage == "ResponseComplete" {
			return nil
		}
	}
	return errors.Join(lines.Err(), errors.New("no such event"))
}

func TestComponentsStopPauseAndRestart(t *testing.T) {
	client, ns := newNamespace(t)
	plane := Shared(t)
	list := func(timeout time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), timeout)
		defer cancel()
		_, err := client.CoreV1().ConfigMaps(ns).Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{GenerateName: "x-"}}, metav1.CreateOptions{})
		return err
	}
	t.Run("pause etcd", func(t *testing.T) {
		etcd := plane.Component(Etcd)
		if err := etcd.Pause(); err != nil {
			t.Fatal(err)
		}
		if err := list(time.Second); err == nil {
			t.Error("a write succeeded while etcd was paused")
		}
		if err := etcd.Resume(); err != nil {
			t.Fatal(err)
		}
		within(t, "etcd", func(context.Context) error { return list(5 * time.Second) })
	})
	t.Run("stop and start etcd", func(t *testing.T) {
		etcd := plane.Component(Etcd)
		if err := etcd.Stop(); err != nil {
			t.Fatal(err)
		}
		if etcd.Running() {
			t.Error("etcd runs after Stop")
		}
		if err := etcd.Signal(syscall.SIGCONT); err == nil {
			t.Error("a stopped component took a signal")
		}
		if err := etcd.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		within(t, "etcd", func(context.Context) error { return list(5 * time.Second) })
	})
	t.Run("kill and restart the API server", func(t *testing.T) {
		server := plane.Component(APIServer)
		if err := server.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := server.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := list(5 * time.Second); err != nil {
			t.Error(err)
		}
	})
	if plane.Component("kubelet") != nil {
		t.Error("the plane has a component it does not run")
	}
}

func TestStartReportsWhyAComponentDied(t *testing.T) {
	_, err := Start(t.Context(), Options{WorkDir: t.TempDir(), Flags: map[string][]string{APIServer: {"--no-such-flag=1"}}})
	if err == nil || !strings.Contains(err.Error(), "unknown flag: --no-such-flag") {
		t.Errorf("got %v, want the message of the API server", err)
	}
}

func TestWorkDirIsUsedOnce(t *testing.T) {
	dir := t.TempDir()
	plane, err := Start(t.Context(), Options{WorkDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Start(t.Context(), Options{WorkDir: dir}); err == nil {
		t.Error("a second plane started in the same work directory")
	}
	for range 2 {
		if err := plane.Stop(); err != nil {
			t.Error(err)
		}
	}
	for _, c := range plane.components {
		if c.Running() {
			t.Errorf("%s runs after Stop", c.Name())
		}
	}
}

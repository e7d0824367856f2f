package charts

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/countersign-dev/countersign/internal/operatortest"
)

// makeHook makes the objects of a hook of the release, as Helm does, and returns its job.
func makeHook(t *testing.T, a *connection, hook string) *batchv1.Job {
	t.Helper()
	var job *batchv1.Job
	for _, o := range decode(t, mustHelm(t, "get", "hooks", release, "--namespace", namespace)) {
		if !slices.Contains(strings.Split(o.GetAnnotations()["helm.sh/hook"], ","), hook) {
			continue
		}
		if o.GetKind() == "Job" {
			job = &batchv1.Job{}
			convert(t, o, job)
			continue
		}
		if err := a.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = a.Delete(context.Background(), o) })
	}
	if job == nil {
		t.Fatalf("hook %s has no job", hook)
	}
	return job
}

// TestHelmTest has helm test find out whether agents are refused, with the rights of its own account.
func TestHelmTest(t *testing.T) {
	a := admin(t)
	install(t)
	port := freePort(t)
	operator := startOperator(t, "--webhook-url=https://127.0.0.1:"+port, "--webhook-port="+port)
	// The pods of this cluster run nothing: this shows that Helm makes, waits for and removes all objects of the test.
	mustHelm(t, "test", release, "--namespace", namespace, "--timeout", "60s")

	job := makeHook(t, a, "test")
	const name = "countersign-check"
	if job.Spec.Template.Spec.ServiceAccountName != name {
		t.Errorf("the test runs as %s", job.Spec.Template.Spec.ServiceAccountName)
	}
	kubeconfig := serviceAccountKubeconfig(t, namespace, name)
	check := func(flags ...string) (string, error) {
		args := append(slices.Clone(job.Spec.Template.Spec.Containers[0].Args), append(flags, "--kubeconfig="+kubeconfig)...)
		out, err := exec.CommandContext(t.Context(), operatortest.Binary(t), args...).CombinedOutput()
		return string(out), err
	}
	if out, err := check(); err != nil || !strings.Contains(out, "Agents are refused") || !strings.Contains(out, "Kubernetes is v") {
		t.Errorf("while the operator runs: %v\n%s", err, out)
	}
	wantAccess(t, a, []access{
		{who: name, verb: "impersonate", resource: "serviceaccounts", namespace: namespace, name: canary, want: true},
		{who: name, verb: "impersonate", resource: "serviceaccounts", namespace: namespace, name: release},
		{who: name, verb: "create", resource: "configmaps", namespace: namespace},
		{who: name, verb: "get", resource: "secrets", namespace: namespace},
	})
	operator.stop()
	if out, err := check("--timeout=2s"); err == nil || !strings.Contains(out, "is Unanswered, and must be Refused") {
		t.Errorf("without the operator: %v\n%s", err, out)
	}
	configurations := a.AdmissionregistrationV1().ValidatingWebhookConfigurations()
	if err := configurations.Delete(t.Context(), actionsConfig, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the API server to let everything pass", func(context.Context) error {
		if out, err := check("--timeout=1s"); err == nil || !strings.Contains(out, "is Passed, and must be Refused") {
			return fmt.Errorf("without the configuration: %w\n%s", err, out)
		}
		return nil
	})
}

// wantCleanup does what the hook of the chart does, with the hook's own rights.
func wantCleanup(t *testing.T, a *connection) {
	t.Helper()
	const name = "countersign-cleanup"
	job := makeHook(t, a, "pre-delete")
	if job.Spec.Template.Spec.ServiceAccountName != name {
		t.Fatalf("the job of the hook is %+v, want it to run as %s", job, name)
	}
	kubeconfig := serviceAccountKubeconfig(t, namespace, name)
	for _, want := range []string{"the first time", "when there is nothing left"} {
		args := append(job.Spec.Template.Spec.Containers[0].Args, "--kubeconfig="+kubeconfig)
		out, err := exec.CommandContext(t.Context(), operatortest.Binary(t), args...).CombinedOutput()
		if err != nil {
			t.Fatalf("countersign %v, %s: %v\n%s", args, want, err, out)
		}
		if err := noConfigurations(t.Context(), a); err != nil {
			t.Error(err)
		}
	}
	wantAccess(t, a, []access{
		{who: name, verb: "delete", resource: "validatingwebhookconfigurations.admissionregistration.k8s.io", name: actionsConfig, want: true},
		{who: name, verb: "delete", resource: "validatingwebhookconfigurations.admissionregistration.k8s.io", name: "another"},
		{who: name, verb: "get", resource: "secrets", namespace: namespace},
		{who: name, verb: "delete", resource: "agentactionpolicies.countersign.dev"},
	})
}

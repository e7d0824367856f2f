package charts

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/countersign-dev/countersign/hack/controlplane"
	"github.com/countersign-dev/countersign/internal/heartbeat"
	"github.com/countersign-dev/countersign/internal/support"
)

// diagnosis is what kubectl countersign doctor finds.
type diagnosis []struct{ Check, Severity, Text, Mend string }

// has is an error unless there is a finding with such a text and such a command.
func (d diagnosis) has(check, severity, text, mend string) error {
	for _, f := range d {
		if f.Check == check && f.Severity == severity && strings.Contains(f.Text, text) && strings.HasPrefix(f.Mend, mend) {
			return nil
		}
	}
	return fmt.Errorf("there is no %s of %s with %q and %q in %+v", severity, check, text, mend, d)
}

// examiner is the built plugin, of a version.
type examiner struct{ path, kubeconfig string }

func newExaminer(t *testing.T, version, kubeconfig string) *examiner {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kubectl-countersign")
	build := exec.CommandContext(t.Context(), "go", "build", "-ldflags", "-X main.version="+version, "-o", path, "../cmd/kubectl-countersign")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the plugin: %v\n%s", err, out)
	}
	return &examiner{path, kubeconfig}
}

func (e *examiner) examine(ctx context.Context) (diagnosis, error) {
	command := exec.CommandContext(ctx, e.path, "doctor", "-o", "json")
	command.Env = append(os.Environ(), "KUBECONFIG="+e.kubeconfig)
	var exit *exec.ExitError
	out, err := command.Output()
	if err != nil && !errors.As(err, &exit) {
		return nil, err
	}
	var report struct{ Findings diagnosis }
	if err := json.Unmarshal(out, &report); err != nil {
		return nil, fmt.Errorf("reading %s: %w", out, err)
	}
	return report.Findings, nil
}

// doctorDates are those until which a certificate is good, which is a year.
var doctorDates = regexp.MustCompile(`until \d{4}-\d\d-\d\d`)

// stableDiagnosis has the date of one day, and the line about Kubernetes of a version that lacks nothing: whatever this
// version lacks is in its place.
func stableDiagnosis(t *testing.T, text string) string {
	t.Helper()
	const supported = "Kubernetes is v%s, and Countersign needs 1.34.0 or later"
	server := controlplane.Shared(t).Binaries().Kubernetes
	told := strings.Join(append([]string{fmt.Sprintf(supported, server)}, support.Of(server).Notes()...), "; ")
	text = strings.Replace(text, told+"\n", fmt.Sprintf(supported, "1.37.2")+"\n", 1)
	return doctorDates.ReplaceAllString(text, "until 2027-11-26")
}

// shows compares what people see with a file, which UPDATE_GOLDEN=1 writes.
func (e *examiner) shows(t *testing.T, path string) {
	t.Helper()
	command := exec.CommandContext(t.Context(), e.path, "doctor")
	command.Env = append(os.Environ(), "KUBECONFIG="+e.kubeconfig)
	out, err := command.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	text := stableDiagnosis(t, string(out))
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), text); diff != "" {
		t.Errorf("doctor says something else than %s; set UPDATE_GOLDEN=1 to write it (-want +got):\n%s", path, diff)
	}
}

// wants diagnoses until it is there, since controllers follow in their time.
func (e *examiner) wants(t *testing.T, check, severity, text, mend string) {
	t.Helper()
	eventually(t, "doctor to find: "+text, func(ctx context.Context) error {
		d, err := e.examine(ctx)
		if err != nil {
			return err
		}
		return d.has(check, severity, text, mend)
	})
}

// TestDoctor has the plugin look at a release of the chart, in which one thing after another is broken.
func TestDoctor(t *testing.T) {
	a := admin(t)
	agentAndPerson(t)
	install(t, "--set", "replicas=2")
	operator := startOperator(t)
	route(t, operator)
	govern(t, a)
	kubeconfig := controlplane.Shared(t).Kubeconfig("admin")
	doctor := newExaminer(t, "v1.2.0", kubeconfig)

	t.Run("all is well", func(t *testing.T) {
		for _, want := range [][2]string{
			{"definitions", "Countersign's kinds are as this plugin knows them"},
			{"webhooks", "what asks Countersign fails closed, and has valid authorities: countersign-actions, countersign-policies, countersign-approvals"},
			{"operator", "2 replicas are ready behind Service countersign-system/countersign-webhook"},
			{"certificate", "the certificate in Secret countersign-system/countersign-webhook-cert is of an authority in every caBundle"},
			{"replicas", "replicas tell that they live: 1"},
			{"priority", "the operator has a queue of its own at the API server (FlowSchema countersign, level countersign)"},
			{"canary", "the canary was refused by Countersign"},
			{"level", "level of protection 3"},
			{"policies", "policies: 1 Enforce"},
			{"subjects", "every service account that policies name exists: 1"},
		} {
			doctor.wants(t, want[0], "ok", want[1], "")
		}
		doctor.shows(t, "testdata/doctor.golden")
	})
	t.Run("the queue", func(t *testing.T) {
		mustHelm(t, "upgrade", release, chart, "--namespace", namespace, "--reuse-values", "--set", "apiPriority.enabled=false")
		doctor.wants(t, "priority", "warning", "the operator has no queue of its own at the API server (FlowSchema service-accounts, level workload-low)",
			"helm upgrade --install countersign charts/countersign --namespace countersign-system --reuse-values --set apiPriority.enabled=true")
		mustHelm(t, "upgrade", release, chart, "--namespace", namespace, "--reuse-values", "--set", "apiPriority.enabled=true")
		doctor.wants(t, "priority", "ok", "a queue of its own", "")
	})
	t.Run("replicas", func(t *testing.T) {
		scale := func(replicas string) {
			patch := []byte(`{"spec":{"replicas":` + replicas + `}}`)
			if _, err := a.AppsV1().Deployments(namespace).Patch(t.Context(), release, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		mend := "kubectl scale deployment countersign --replicas 2 --namespace countersign-system"
		scale("1")
		doctor.wants(t, "operator", "warning", "one replica is ready behind Service countersign-system/countersign-webhook", mend)
		scale("0")
		doctor.wants(t, "operator", "failure", "no replica is ready behind Service countersign-system/countersign-webhook", mend)
		scale("2")
		doctor.wants(t, "operator", "ok", "2 replicas are ready", "")
	})
	t.Run("rights", func(t *testing.T) { wantLimited(t, a) })
	t.Run("a certificate that is not trusted", func(t *testing.T) {
		operator.stop() // it would repair what follows
		doctor.wants(t, "replicas", "failure", "no replica of the operator in namespace countersign-system tells that it lives", "kubectl rollout restart")
		wantReplicas(t, a, doctor)
		other := issue(t, webhookHost)
		secret, err := a.CoreV1().Secrets(namespace).Get(t.Context(), certSecret, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		secret.Data["tls.crt"] = other["tls.crt"]
		if _, err := a.CoreV1().Secrets(namespace).Update(t.Context(), secret, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		doctor.wants(t, "certificate", "failure", "the caBundle of countersign-actions does not match the certificate in Secret",
			"kubectl rollout restart deployment countersign --namespace countersign-system")
		if err := a.CoreV1().Services(namespace).Delete(t.Context(), service, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		doctor.wants(t, "operator", "failure", "there is no Service countersign-system/countersign-webhook", "helm upgrade")
	})
}

// wantReplicas tells, in the place of replicas of other versions, what these would tell.
func wantReplicas(t *testing.T, a *connection, doctor *examiner) {
	t.Helper()
	tell := func(name, version, policies, canary string) {
		lease := &coordinationv1.Lease{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: heartbeat.Labels, Annotations: map[string]string{
				heartbeat.VersionAnnotation: version, heartbeat.PoliciesAnnotation: policies, heartbeat.CanaryAnnotation: canary,
			}},
			Spec: coordinationv1.LeaseSpec{RenewTime: &metav1.MicroTime{Time: time.Now().Add(time.Hour)}},
		}
		if err := a.Create(t.Context(), lease); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = a.Delete(context.Background(), lease) })
	}
	tell("one", "v1.2.3", "a", heartbeat.CanaryUp)
	doctor.wants(t, "replicas", "ok", "replicas tell that they live: 1, of version v1.2.3; the plugin is v1.2.0", "")
	later := newExaminer(t, "v1.3.0", doctor.kubeconfig)
	later.wants(t, "replicas", "warning", "of version v1.2.3; the plugin is v1.3.0: what can-i, explain and windows say may not be what the operator decides",
		"git checkout v1.2.3 && make install")
	tell("two", "v1.3.0", "b", heartbeat.CanaryDown+": Passed")
	doctor.wants(t, "replicas", "warning", "of version v1.2.3 and v1.3.0", "kubectl rollout status deployment")
	doctor.wants(t, "replicas", "warning", "replicas decide with 2 different states of the policies", "kubectl countersign doctor")
	doctor.wants(t, "replicas", "failure", "replica two finds that its canary is not refused (Down: Passed)", "kubectl rollout restart")
}

// wantLimited wants whoever may read policies, and nothing else, to be told what could not be looked at.
func wantLimited(t *testing.T, a *connection) {
	t.Helper()
	kubeconfig, err := controlplane.Shared(t).PersonKubeconfig("vera")
	if err != nil {
		t.Fatal(err)
	}
	bind(t, a, "countersign-viewer", "vera", corev1.NamespaceAll)
	limited := newExaminer(t, "v1.2.0", kubeconfig)
	limited.wants(t, "policies", "ok", "policies: 1 Enforce", "")
	limited.wants(t, "canary", "unknown", "vera may not impersonate serviceaccounts in namespace countersign-system", "")
	limited.wants(t, "routes", "unknown", "vera may not create subjectaccessreviews", "")
}

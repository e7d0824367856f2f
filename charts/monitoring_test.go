package charts

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

// monitored are the values with everything for Prometheus and Grafana.
var monitored = []string{
	"--set", "metrics.serviceMonitor.enabled=true,metrics.prometheusRule.enabled=true,metrics.dashboard.enabled=true",
	"--set", "metrics.serviceMonitor.interval=30s,metrics.serviceMonitor.scrapeTimeout=10s,metrics.serviceMonitor.labels.release=p",
	"--set", "metrics.prometheusRule.labels.release=p,metrics.dashboard.annotations.grafana_folder=Security",
}

// scenarios are series, and the alerts that they are to raise after half an hour, which comes to 30 steps.
var scenarios = map[string]struct {
	series string
	want   []string
}{
	"calm": {series: calm},
	"calm, with busy policies": {series: calm + `
    countersign_webhook_configuration_writes_total{configuration="countersign-actions"} 0+0.2x40
    countersign_policies{enforcement="Enforce",state="Ready"} 5x40
    apiserver_admission_webhook_rejection_count{name="enforce.countersign.dev",error_type="no_error"} 0+3x40
    apiserver_admission_webhook_rejection_count{name="of.somebody.else",error_type="calling_webhook_error"} 0+3x40`},
	"no replica": {series: "load 1m\n    other 0x40", want: []string{"CountersignDown"}},
	"one replica does not run": {series: `load 1m
    up{job="countersign-metrics",namespace="countersign-system",pod="a"} 1x40
    up{job="countersign-metrics",namespace="countersign-system",pod="b"} 1x10 0x30`, want: []string{"CountersignReplicaMissing"}},
	"a replica was away for a while": {series: `load 1m
    up{job="countersign-metrics",namespace="countersign-system",pod="a"} 1x40
    up{job="countersign-metrics",namespace="countersign-system",pod="b"} 1x10 0x5 1x25`},
	"the canary passes": {series: calm + `
    countersign_enforcement_up{pod="a"} 1x40
    countersign_enforcement_up{pod="b"} 1x25 0x15`, want: []string{"CountersignNotEnforcing"}},
	"the canary has passed once": {series: calm + `
    countersign_enforcement_up{pod="b"} 1x15 0x1 1x24`},
	"a clock that is behind": {series: calm + `
    countersign_clock_skew_seconds{pod="a"} 0x40
    countersign_clock_skew_seconds{pod="b"} -12x40`, want: []string{"CountersignClockSkew"}},
	"clocks as they are": {series: calm + `
    countersign_clock_skew_seconds{pod="a"} 0.7x40`},
	"a certificate of some days": {series: calm + `
    countersign_webhook_certificate_expiry_timestamp_seconds{pod="a"} 600000x40`, want: []string{"CountersignCertificateExpires"}},
	"a certificate of some weeks": {series: calm + `
    countersign_webhook_certificate_expiry_timestamp_seconds{pod="a"} 2000000x40`},
	"the first request without an answer": {series: calm + `
    apiserver_admission_webhook_rejection_count{name="enforce.countersign.dev",error_type="calling_webhook_error"} _x28 1x12`,
		want: []string{"CountersignNotAnswering"}},
	"a later one": {series: calm + `
    apiserver_admission_webhook_rejection_count{name="policies.countersign.dev",error_type="calling_webhook_error"} 4x28 5x12`,
		want: []string{"CountersignNotAnswering"}},
	"requests without an answer, long ago": {series: calm + `
    apiserver_admission_webhook_rejection_count{name="enforce.countersign.dev",error_type="calling_webhook_error"} _x5 4x35`},
	"observers are not asked": {series: calm + `
    apiserver_admission_webhook_fail_open_count{name="observe.countersign.dev"} _x25 2x15`,
		want: []string{"CountersignObservationsLost"}},
	"a policy is invalid": {series: calm + `
    countersign_policies{enforcement="Enforce",state="Invalid"} _x10 1x30`, want: []string{"CountersignPolicyNotReady"}},
	"a policy was invalid for a moment": {series: calm + `
    countersign_policies{enforcement="Enforce",state="Invalid"} _x28 1x12`},
	"not ready": {series: calm + `
    countersign_admission_decisions_total{outcome="Deny",reason="NotReady",operation="UPDATE"} 0x25 3x15`,
		want: []string{"CountersignFailing"}},
	"refusals as they should be": {series: calm + `
    countersign_admission_decisions_total{outcome="Deny",reason="ChangeWindowClosed",operation="UPDATE"} 0+3x40`},
	"slow": {series: calm + `
    countersign_admission_decision_duration_seconds_bucket{le="0.5"} 0+1x40
    countersign_admission_decision_duration_seconds_bucket{le="1"} 0+1x40
    countersign_admission_decision_duration_seconds_bucket{le="3"} 0+10x40
    countersign_admission_decision_duration_seconds_bucket{le="+Inf"} 0+10x40`, want: []string{"CountersignSlow"}},
	"somebody else writes, for the first time": {series: calm + `
    countersign_admission_drift_total{kind="ValidatingWebhookConfiguration",name="countersign-actions"} _x25 1x15`,
		want: []string{"CountersignConfigurationChanged"}},
	"somebody else wrote, long ago": {series: calm + `
    countersign_admission_drift_total{kind="ValidatingWebhookConfiguration",name="countersign-actions"} _x5 1x35`},
	"the admission policy is gone": {series: calm + `
    countersign_protection_level{pod="a"} 2x40
    countersign_protection_level{pod="b"} 2x40`, want: []string{"CountersignProtectionLow"}},
	"one replica does not know the level": {series: calm + `
    countersign_protection_level{pod="a"} 0x40
    countersign_protection_level{pod="b"} 3x40`},
	"a definition is changed": {series: calm + `
    countersign_definition_intact{name="actionapprovals.countersign.dev"} 1x20 0x20`,
		want: []string{"CountersignDefinitionsChanged"}},
	// At half an hour of these series, a request that was opened half an hour before they begin has waited for an hour.
	"nobody answers": {series: calm + `
    countersign_approval_oldest_pending_timestamp_seconds{pod="a"} -1801x40
    countersign_approval_oldest_pending_timestamp_seconds{pod="b"} -1801x40`, want: []string{"CountersignApprovalWaitsLong"}},
	"nobody has answered yet": {series: calm + `
    countersign_approvals{pod="a",state="Pending"} 20x40
    countersign_approval_oldest_pending_timestamp_seconds{pod="a"} -1800x40`},
	"somebody answers late": {series: calm + `
    countersign_approval_oldest_pending_timestamp_seconds{pod="a"} -5000x20`},
	"cut off": {series: calm + `
    countersign_admission_decisions_total{outcome="Deny",reason="Disconnected",operation="UPDATE"} 0x25 3x15`,
		want: []string{"CountersignFailing"}},
}

const calm = `load 1m
    up{job="countersign-metrics",namespace="countersign-system",pod="a"} 1x40
    up{job="countersign-metrics",namespace="countersign-system",pod="b"} 1x40`

// TestAlerts has Prometheus read the alerts and raise them, and wants a runbook for each.
func TestAlerts(t *testing.T) {
	series := map[string]string{}
	for name, s := range scenarios {
		series[name] = s.series
	}
	rules := alertingRules(t)
	answer := askProm(t, rules, nil, series)
	for name, s := range scenarios {
		if diff := cmp.Diff(append([]string{}, s.want...), answer.Firing[name]); diff != "" {
			t.Errorf("alerts in the scenario %q (-want +got):\n%s", name, diff)
		}
	}
	raised := map[string]bool{}
	for _, s := range scenarios {
		for _, alert := range s.want {
			raised[alert] = true
		}
	}
	for alert := range answer.Metrics {
		if !raised[alert] {
			t.Errorf("no scenario raises %s", alert)
		}
	}
	wantRunbooks(t, rules)
}

// wantRunbooks wants each alert to link to its runbook, which says what a runbook has to, and no runbook without one.
func wantRunbooks(t *testing.T, rules string) {
	t.Helper()
	var file struct {
		Groups []struct {
			Rules []struct {
				Alert       string            `yaml:"alert"`
				Labels      map[string]string `yaml:"labels"`
				Annotations map[string]string `yaml:"annotations"`
			} `yaml:"rules"`
		} `yaml:"groups"`
	}
	if err := yaml.Unmarshal([]byte(rules), &file); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile("../docs/runbooks.md")
	operations, operationsErr := os.ReadFile("../docs/operations.md")
	if err := errors.Join(err, operationsErr); err != nil {
		t.Fatal(err)
	}
	sections := map[string]string{}
	for _, section := range strings.Split(string(content), "\n## ")[1:] {
		title, text, _ := strings.Cut(section, "\n")
		sections[title] = text
	}
	for _, rule := range file.Groups[0].Rules {
		section, found := sections[rule.Alert]
		if !found {
			t.Errorf("docs/runbooks.md has no section %s", rule.Alert)
		}
		delete(sections, rule.Alert)
		row := fmt.Sprintf("| [`%s`](runbooks.md#%s) | ", rule.Alert, strings.ToLower(rule.Alert))
		if !strings.Contains(string(operations), row) {
			t.Errorf("docs/operations.md has no row %s", row)
		}
		for _, part := range []string{"**Meaning.**", "**Impact.**", "**Diagnosis.**", "**Mending.**"} {
			if !strings.Contains(section, part) {
				t.Errorf("the runbook of %s has no part %s", rule.Alert, part)
			}
		}
		if want := "/docs/runbooks.md#" + strings.ToLower(rule.Alert); !strings.HasSuffix(rule.Annotations["runbook_url"], want) {
			t.Errorf("the runbook of %s is %q, want %s", rule.Alert, rule.Annotations["runbook_url"], want)
		}
		if rule.Annotations["summary"] == "" || rule.Annotations["description"] == "" {
			t.Errorf("%s has the annotations %v", rule.Alert, rule.Annotations)
		}
		if severity := rule.Labels["severity"]; severity != "critical" && severity != "warning" {
			t.Errorf("the severity of %s is %q", rule.Alert, severity)
		}
	}
	for title := range sections {
		t.Errorf("docs/runbooks.md has a section %s, which no alert has", title)
	}
}

// TestMonitoredMetrics wants alerts and the dashboard to read only metrics that there are, in an operator and an API
// server that have something to tell: agents that were refused, observed, wait for consent, and were not answered.
func TestMonitoredMetrics(t *testing.T) {
	a := admin(t)
	agent, _ := agentAndPerson(t)
	install(t)
	port := freePort(t)
	operator := startOperator(t, "--webhook-url=https://127.0.0.1:"+port, "--webhook-port="+port)
	govern(t, a)
	observed := observe(t, a)
	waitForConsent(t, a)
	served := driftedMetrics(t, a, operator)
	operator.stop()
	if err := write(t.Context(), agent); err == nil || !strings.Contains(err.Error(), "failed calling webhook") {
		t.Errorf("without the operator the agent gets %v", err)
	}
	if err := write(t.Context(), observed); err != nil {
		t.Errorf("without the operator the observed agent gets %v", err)
	}
	ofAPIServer, err := a.CoreV1().RESTClient().Get().AbsPath("/metrics").DoRaw(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	known := metricNames(served + "\n" + string(ofAPIServer))
	known["up"], known["ALERTS"] = true, true // Prometheus itself writes them

	for reader, names := range askProm(t, alertingRules(t), dashboardQueries(t), nil).Metrics {
		for _, name := range names {
			if !known[name] {
				t.Errorf("%s reads %s, which nobody exposes", reader, name)
			}
		}
	}
}

// driftedMetrics changes a configuration as somebody else would, and gives the metrics of the operator that has noticed.
func driftedMetrics(t *testing.T, a *connection, operator *process) string {
	t.Helper()
	stored, err := configuration(t.Context(), a, policiesConfig)
	if err != nil {
		t.Fatal(err)
	}
	without := stored.DeepCopy()
	without.OwnerReferences = nil
	if err := a.Patch(t.Context(), without, client.MergeFrom(stored)); err != nil {
		t.Fatal(err)
	}
	var served string
	eventually(t, "the operator to count the change", func(ctx context.Context) error {
		var err error
		served, err = get(ctx, "http://"+operator.metrics+"/metrics")
		if err == nil && !strings.Contains(served, "\ncountersign_admission_drift_total{") {
			err = errors.New("it does not")
		}
		return err
	})
	return served
}

// anotherAgent makes an account with a role in the agents' namespace, and a policy that names it, and waits until that is in force.
func anotherAgent(t *testing.T, a *connection, name, role, policy string, spec v1alpha1.AgentActionPolicySpec) *connection {
	t.Helper()
	agent := serviceAccount(t, agentNamespace, name)
	ensure(t, a.Client, grant(agentNamespace, role, rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: agentNamespace, Name: name}))
	spec.Subjects = []v1alpha1.Subject{{Kind: v1alpha1.SubjectServiceAccount, Namespace: agentNamespace, Name: name}}
	p := &v1alpha1.AgentActionPolicy{ObjectMeta: metav1.ObjectMeta{Name: policy}, Spec: spec}
	eventually(t, "the policy "+policy, func(ctx context.Context) error { return client.IgnoreAlreadyExists(a.Create(ctx, p)) })
	wantInForce(t, a, policy)
	return agent
}

// waitForConsent has an agent, which a policy names besides, ask for something that nobody answers.
func waitForConsent(t *testing.T, a *connection) {
	t.Helper()
	agent := anotherAgent(t, a, "waiting-bot", "admin", "asking", v1alpha1.AgentActionPolicySpec{
		Enforcement: v1alpha1.Enforce, OutOfScope: v1alpha1.OutOfScopeRequireApproval,
	})
	eventually(t, "the agent to be told that its request waits", func(ctx context.Context) error {
		if err := write(ctx, agent); err == nil || !strings.Contains(err.Error(), "is pending, repeat the same command once approved") {
			return fmt.Errorf("it is told %w", err)
		}
		return nil
	})
}

// observe makes a second agent, which an Audit policy names, and waits until the operator observes it.
func observe(t *testing.T, a *connection) *connection {
	t.Helper()
	agent := anotherAgent(t, a, "observed-bot", "edit", "observing", v1alpha1.AgentActionPolicySpec{
		Enforcement: v1alpha1.Audit, OutOfScope: v1alpha1.OutOfScopeDeny,
		Tasks: []v1alpha1.Task{{Name: "nothing", Scope: v1alpha1.TaskScope{ResourceRules: []v1alpha1.ResourceRule{{
			APIGroups: []string{"example.test"}, Resources: []string{"none"}, Operations: []v1alpha1.Operation{v1alpha1.OperationDelete},
		}}}}},
	})
	eventually(t, "the rights of the observed agent", func(ctx context.Context) error { return write(ctx, agent) })
	eventually(t, "the API server to count the webhook that observes", func(ctx context.Context) error {
		if err := write(ctx, agent); err != nil {
			return err
		}
		text, err := a.CoreV1().RESTClient().Get().AbsPath("/metrics").DoRaw(ctx)
		if err == nil && !bytes.Contains(text, []byte(`apiserver_admission_webhook_admission_duration_seconds_count{name="observe.countersign.dev"`)) {
			err = errors.New("it was not asked yet")
		}
		return err
	})
	return agent
}

// metricNames are the names of all samples in a text that Prometheus reads.
func metricNames(text string) map[string]bool {
	names := map[string]bool{}
	for line := range strings.Lines(text) {
		if name := regexp.MustCompile(`^[a-zA-Z_:][a-zA-Z0-9_:]*`).FindString(line); name != "" {
			names[name] = true
		}
	}
	return names
}

// alertingRules are the rules that the chart renders, as a file for Prometheus.
func alertingRules(t *testing.T) string {
	t.Helper()
	for _, o := range decode(t, render(t, monitored...)) {
		if o.GetKind() == "PrometheusRule" {
			text, err := yaml.Marshal(o.Object["spec"])
			if err != nil {
				t.Fatal(err)
			}
			return string(text)
		}
	}
	t.Fatal("no PrometheusRule is rendered")
	return ""
}

type promAnswer struct {
	Metrics, Firing map[string][]string
	Values          map[string]map[string][]string
}

// askProm asks Prometheus' own code, which is built by a module of its own.
func askProm(t *testing.T, rules string, queries, scenarios map[string]string) promAnswer {
	t.Helper()
	if queries == nil {
		queries = map[string]string{}
	}
	question, err := json.Marshal(map[string]any{"rules": rules, "queries": queries, "scenarios": scenarios, "at": "30m"})
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), "go", "run", ".")
	command.Dir = filepath.Join("..", "hack", "tools", "promql")
	command.Stdin = bytes.NewReader(question)
	var problems bytes.Buffer
	command.Stderr = &problems
	out, err := command.Output()
	if err != nil {
		t.Fatalf("asking Prometheus: %v\n%s", err, problems.String())
	}
	var answer promAnswer
	if err := json.Unmarshal(out, &answer); err != nil {
		t.Fatal(err)
	}
	return answer
}

// TestMonitoringNeedsItsKinds wants an installation to say what the cluster lacks, and the objects to be valid where it
// lacks nothing.
func TestMonitoringNeedsItsKinds(t *testing.T) {
	a := admin(t)
	makeNamespace(t, a)
	for _, value := range []string{"serviceMonitor", "prometheusRule"} {
		out, err := helm(t, "install", release, chart, "--namespace", namespace, "--dry-run=server", "--set", "metrics."+value+".enabled=true")
		want := "metrics." + value + ".enabled needs the Prometheus Operator"
		if err == nil || !strings.Contains(out, want) {
			t.Errorf("got %v, want a refusal that says %q\n%.2000s", err, want, out)
		}
	}
	definitionsOf(t, a, "github.com/prometheus-operator/prometheus-operator", "v0.85.0",
		"example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
		"example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml")
	install(t, monitored...)
	for _, kind := range []string{"ServiceMonitor", "PrometheusRule"} {
		o := &unstructured.Unstructured{}
		o.SetAPIVersion("monitoring.coreos.com/v1")
		o.SetKind(kind)
		if err := a.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: release}, o); err != nil {
			t.Error(err)
		}
		if o.GetLabels()["release"] != "p" {
			t.Errorf("%s has the labels %v", kind, o.GetLabels())
		}
	}
	wantMonitorToSelect(t, a)
}

// wantMonitorToSelect wants the ServiceMonitor to find the Service of the metrics, and no other.
func wantMonitorToSelect(t *testing.T, a *connection) {
	t.Helper()
	monitor := &unstructured.Unstructured{}
	monitor.SetAPIVersion("monitoring.coreos.com/v1")
	monitor.SetKind("ServiceMonitor")
	if err := a.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: release}, monitor); err != nil {
		t.Fatal(err)
	}
	labels, _, err := unstructured.NestedStringMap(monitor.Object, "spec", "selector", "matchLabels")
	if err != nil {
		t.Fatal(err)
	}
	services, err := a.CoreV1().Services(namespace).List(t.Context(), metav1.ListOptions{
		LabelSelector: metav1.FormatLabelSelector(&metav1.LabelSelector{MatchLabels: labels}),
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(services.Items) != 1 || services.Items[0].Name != "countersign-metrics" || services.Items[0].Spec.Ports[0].Name != "metrics" {
		t.Errorf("the ServiceMonitor selects %d services, want that of the metrics", len(services.Items))
	}
}

// definitionsOf makes the custom resource definitions of a Go module, and takes them away again at the end.
func definitionsOf(t *testing.T, a *connection, module, version string, paths ...string) {
	t.Helper()
	dir := downloaded(t, t.TempDir(), module+"@"+version)
	for _, path := range paths {
		define(t, a, filepath.Join(dir, path))
	}
}

// downloaded is where the files of a Go module are, seen from a directory: its go.mod may say at which version.
func downloaded(t *testing.T, from, module string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), "go", "mod", "download", "-json", module)
	command.Dir = from
	out, err := command.Output()
	if err != nil {
		t.Fatalf("downloading %s: %v\n%s", module, err, out)
	}
	var answer struct{ Dir string }
	if err := json.Unmarshal(out, &answer); err != nil {
		t.Fatal(err)
	}
	return answer.Dir
}

// define makes the custom resource definitions in a file, and takes them away again at the end.
func define(t *testing.T, a *connection, file string) {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range decode(t, string(content)) {
		if err := a.Create(t.Context(), o); err != nil && !apierrors.IsAlreadyExists(err) {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = a.Delete(context.Background(), o) })
		eventually(t, "definition "+o.GetName(), func(ctx context.Context) error {
			if err := a.Get(ctx, client.ObjectKeyFromObject(o), o); err != nil {
				return err
			}
			conditions, _, err := unstructured.NestedSlice(o.Object, "status", "conditions")
			if err == nil && !slices.ContainsFunc(conditions, func(c any) bool {
				condition, ok := c.(map[string]any)
				return ok && condition["type"] == "Established" && condition["status"] == "True"
			}) {
				err = errors.New("it is not established")
			}
			return err
		})
	}
}

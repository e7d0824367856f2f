package main_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	certutil "k8s.io/client-go/util/cert"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/internal/operatortest"
)

// finding is what doctor says about one thing.
type finding struct{ Check, Severity, Text, Mend string }

var doctorArgs = []string{"doctor", "--operator-namespace", "default"}

// diagnosis is what doctor finds.
func diagnosis(t *testing.T, kubeconfig string, more ...string) []finding {
	t.Helper()
	got := run(t, kubeconfig, append(append(doctorArgs, "-o", "json"), more...)...)
	var report struct{ Findings []finding }
	if err := json.Unmarshal([]byte(got.out), &report); err != nil {
		t.Fatalf("it ends with %d: %v\n%s", got.code, err, got.out+got.err)
	}
	return report.Findings
}

// found is an error unless there is a finding with such a text and such a command.
func found(all []finding, want finding) error {
	for _, f := range all {
		if f.Check == want.Check && f.Severity == want.Severity && strings.Contains(f.Text, want.Text) && strings.HasPrefix(f.Mend, want.Mend) {
			return nil
		}
	}
	return fmt.Errorf("there is no %+v in %+v", want, all)
}

// TestDoctor breaks one thing after another, and wants it to be found. The operator runs outside of the cluster.
func TestDoctor(t *testing.T) {
	s := newShop(t)
	golden(t, "doctor/up", transcript(run(t, s.kubeconfigs["admin"], doctorArgs...), doctorArgs...))
	golden(t, "doctor/rights", transcript(run(t, s.kubeconfigs["carl"], doctorArgs...), doctorArgs...))
	for _, sub := range []struct {
		name string
		run  func(*testing.T, *shop)
	}{
		{"the server", testDoctorServer},
		{"policies and subjects", testDoctorSubjects},
		{"levels", testDoctorLevels},
		{"what the operator repairs", testDoctorDown},
	} {
		t.Run(sub.name, func(t *testing.T) { sub.run(t, s) })
	}
}

// wants diagnoses until it is there, since the operator and the API server follow changes in their time.
func (s *shop) wants(t *testing.T, want finding) {
	t.Helper()
	operatortest.Eventually(t, "doctor finds "+want.Text, func(context.Context) error {
		return found(diagnosis(t, s.kubeconfigs["admin"]), want)
	})
}

// testDoctorServer puts a proxy before the API server that changes what it says of itself.
func testDoctorServer(t *testing.T, s *shop) {
	old := s.through(t, func(answer *http.Response) error {
		answer.Header.Set("Date", time.Now().Add(-5*time.Minute).UTC().Format(http.TimeFormat))
		if answer.Request.URL.Path == "/version" {
			text := []byte(`{"gitVersion": "v1.33.4"}`)
			answer.Body = struct {
				*strings.Reader
				closer
			}{Reader: strings.NewReader(string(text))}
			answer.ContentLength = int64(len(text))
			answer.Header.Set("Content-Length", strconv.Itoa(len(text)))
		}
		return nil
	})
	all := diagnosis(t, old)
	for _, want := range []finding{
		{"server", "failure", "Kubernetes is v1.33.4: upgrade the cluster; Countersign needs Kubernetes 1.34 or later", ""},
		{"server", "warning", "the clock here is 5m", "timedatectl set-ntp true"},
		{"replicas", "ok", "replicas tell that they live: 1", ""}, // though the clock here says that they were long silent
	} {
		if err := found(all, want); err != nil {
			t.Error(err)
		}
	}
}

type closer struct{}

func (closer) Close() error { return nil }

// through is a kubeconfig of the administrator's that goes through a proxy to the API server.
func (s *shop) through(t *testing.T, change func(*http.Response) error) string {
	t.Helper()
	config := s.plane.AdminConfig()
	target, err := url.Parse(config.Host)
	if err != nil {
		t.Fatal(err)
	}
	transport, err := rest.TransportFor(config)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }, Transport: transport, ModifyResponse: change,
	})
	t.Cleanup(proxy.Close)
	path := filepath.Join(t.TempDir(), "kubeconfig")
	text := fmt.Sprintf("{apiVersion: v1, kind: Config, current-context: a, contexts: [{name: a, context: {cluster: a, user: a}}], "+
		"clusters: [{name: a, cluster: {server: %q}}], users: [{name: a, user: {}}]}", proxy.URL)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// testDoctorSubjects governs nobody, and everybody.
func testDoctorSubjects(t *testing.T, s *shop) {
	s.create(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "crew"}})
	s.create(t, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "crew", Name: "worker"}})
	s.policy(t, "nobody", `
enforcement: Enforce
outOfScope: Allow
subjects:
- {kind: ServiceAccount, namespace: ci, name: gone}
- {kind: ServiceAccount, namespace: nowhere, name: "*"}
- {kind: ServiceAccount, namespace: crew, name: "*"}
- {kind: User, name: kit}
- {kind: Group, name: ai-agents}
`)
	s.create(t, &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "kubelets"}, Rules: []rbacv1.PolicyRule{{
		APIGroups: []string{""}, Resources: []string{"nodes/proxy"}, Verbs: []string{"get"},
	}}})
	s.grant(t, "kubelets", rbacv1.Subject{Kind: "User", Name: "kit"})
	s.create(t, &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "tokens"}, Rules: []rbacv1.PolicyRule{{
		APIGroups: []string{""}, Resources: []string{"serviceaccounts/token"}, Verbs: []string{"create"},
	}}})
	s.grant(t, "tokens", rbacv1.Subject{Kind: "Group", Name: "ai-agents"})
	s.create(t, &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "masks"}, Rules: []rbacv1.PolicyRule{{
		APIGroups: []string{""}, Resources: []string{"serviceaccounts"}, Verbs: []string{"impersonate"},
	}}})
	s.create(t, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: "crew", Name: "masks"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "masks"},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: "crew", Name: "worker"}},
	})
	for _, want := range []finding{
		{"subjects", "warning", "policy nobody names service account ci/gone, which does not exist", "kubectl create serviceaccount gone --namespace ci"},
		{"subjects", "warning", "policy nobody names all service accounts of namespace nowhere, which has none", "kubectl get serviceaccounts"},
		{"routes", "failure", "RBAC lets user kit reach around Countersign: talk to kubelets (get nodes/proxy)", "kubectl countersign review"},
		{"routes", "warning", "RBAC lets group ai-agents do what only Countersign refuses, at level 2: create tokens for accounts (create serviceaccounts/token)", "kubectl countersign review"},
		{"routes", "failure", "RBAC lets crew/worker reach around Countersign: act as somebody else (impersonate serviceaccounts)", "kubectl countersign review"},
		{"routes", "failure", "RBAC lets ci/deploy-bot, ci/on-call-bot reach around Countersign: change admission webhooks and policies (delete validatingwebhookconfigurations", ""},
	} {
		s.wants(t, want)
	}
	golden(t, "doctor/subjects", visible(stable(showFailing(t, 80, s.kubeconfigs["admin"], doctorArgs...))))
}

// testDoctorLevels puts an admission policy in the way of agents, as level 3 does.
func testDoctorLevels(t *testing.T, s *shop) {
	s.wants(t, finding{"level", "warning", "level of protection 2: no admission policy keeps agents", "countersign --webhook-url"})
	policy := &admissionregistrationv1.ValidatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: "countersign"},
		Spec: admissionregistrationv1.ValidatingAdmissionPolicySpec{
			MatchConstraints: &admissionregistrationv1.MatchResources{ResourceRules: []admissionregistrationv1.NamedRuleWithOperations{{
				RuleWithOperations: admissionregistrationv1.RuleWithOperations{
					Operations: []admissionregistrationv1.OperationType{"*"},
					Rule: admissionregistrationv1.Rule{
						APIGroups: []string{"admissionregistration.k8s.io"}, APIVersions: []string{"*"}, Resources: []string{"validatingwebhookconfigurations"},
					},
				},
			}}},
			Validations: []admissionregistrationv1.Validation{{
				Expression: "!request.userInfo.username.startsWith('system:serviceaccount:')", Reason: new(metav1.StatusReasonForbidden),
			}},
		},
	}
	binding := &admissionregistrationv1.ValidatingAdmissionPolicyBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "countersign"},
		Spec: admissionregistrationv1.ValidatingAdmissionPolicyBindingSpec{
			PolicyName: "countersign", ValidationActions: []admissionregistrationv1.ValidationAction{"Deny"},
		},
	}
	for _, o := range []client.Object{policy, binding} {
		s.create(t, o)
	}
	s.wants(t, finding{"level", "ok", "level of protection 3", ""})
	s.wants(t, finding{"routes", "warning", "do what only Countersign refuses, at level 3: change admission webhooks and policies (delete validatingwebhookconfigurations", ""})
	s.wants(t, finding{"routes", "failure", "reach around Countersign: change admission webhooks and policies (delete validatingadmissionpolicybindings", ""})
	s.toldLevel(t, "3")
	for _, o := range []client.Object{policy, binding} {
		if err := s.admin.Delete(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	s.wants(t, finding{"level", "warning", "level of protection 2", ""})
	s.toldLevel(t, "2")
}

// toldLevel waits until the operator tells a level.
func (s *shop) toldLevel(t *testing.T, level string) {
	t.Helper()
	operatortest.Eventually(t, "the operator tells level "+level, func(ctx context.Context) error {
		hook := &admissionregistrationv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "countersign-policies"}}
		if err := s.admin.Get(ctx, client.ObjectKeyFromObject(hook), hook); err != nil {
			return err
		}
		if told := hook.Annotations["countersign.dev/protection-level"]; told != level {
			return fmt.Errorf("it tells %q", told)
		}
		return nil
	})
}

// testDoctorDown ends the operator, so that nothing is repaired any more, and then breaks its configuration.
func testDoctorDown(t *testing.T, s *shop) {
	s.wants(t, finding{"canary", "ok", "refused by Countersign", ""})
	if err := s.operator.Kill(); err != nil {
		t.Fatal(err)
	}
	s.wants(t, finding{"canary", "failure", "does not answer the API server, so agents are refused everything, because nobody listens", "countersign --webhook-url https://127.0.0.1"})
	s.wants(t, finding{"replicas", "failure", "no replica of the operator in namespace default tells that it lives: the last one did so at ", "countersign --webhook-url https://127.0.0.1"})
	s.strangers(t)
	hook := &admissionregistrationv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "countersign-policies"}}
	told := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"annotations":{"countersign.dev/protection-level":"4"}}}`))
	if err := s.admin.Patch(t.Context(), hook, told); err != nil {
		t.Fatal(err)
	}
	open := []byte(`[{"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Ignore"}, {"op": "remove", "path": "/webhooks/1/clientConfig/caBundle"}]`)
	if err := s.admin.Patch(t.Context(), hook, client.RawPatch(types.JSONPatchType, open)); err != nil {
		t.Fatal(err)
	}
	golden(t, "doctor/down", transcript(run(t, s.kubeconfigs["admin"], doctorArgs...), doctorArgs...))
	golden(t, "doctor/narrow", visible(stable(showFailing(t, 80, s.kubeconfigs["admin"], doctorArgs...))))
	actions := &admissionregistrationv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "countersign-actions"}}
	for _, o := range []client.Object{hook, actions} {
		if err := s.admin.Delete(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	s.wants(t, finding{"webhooks", "failure", "countersign-actions is missing: nothing is asked of Countersign", "countersign --webhook-url https://127.0.0.1"})
	s.wants(t, finding{"canary", "failure", "the canary was not refused", "countersign --webhook-url https://127.0.0.1"})
	s.wants(t, finding{"level", "failure", "level of protection 1", "countersign --webhook-url https://127.0.0.1"})
	raise := client.RawPatch(types.MergePatchType, []byte(`{"spec": {"outOfScope": "RequireApproval"}}`))
	if err := s.admin.Patch(t.Context(), policyObject("shop-deploy-bot"), raise); err != nil {
		t.Fatal(err)
	}
	s.wants(t, finding{"policies", "failure", "the operator has not looked at the present state of policy shop-deploy-bot", "countersign --webhook-url https://127.0.0.1"})
	s.olderDefinition(t)
}

// strangers has somebody else listen where the operator did, with a certificate of another authority.
func (s *shop) strangers(t *testing.T) {
	t.Helper()
	chain, key, err := certutil.GenerateSelfSignedCertKey("127.0.0.1", []net.IP{net.IPv4(127, 0, 0, 1)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(chain, key)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:"+strconv.Itoa(s.operator.Port), &tls.Config{Certificates: []tls.Certificate{pair}})
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.NotFoundHandler(), ReadHeaderTimeout: time.Minute}
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	s.wants(t, finding{"canary", "failure", "because the certificate that is served does not match the caBundle", "countersign --webhook-url https://127.0.0.1"})
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	<-done
}

// olderDefinition takes a field away that the plugin knows, as if the definition were of an earlier version; and puts it
// back. What is asked of the cluster meanwhile still works.
func (s *shop) olderDefinition(t *testing.T) {
	t.Helper()
	crd := &apiextensionsv1.CustomResourceDefinition{ObjectMeta: metav1.ObjectMeta{Name: "agentactionpolicies.countersign.dev"}}
	if err := s.admin.Get(t.Context(), client.ObjectKeyFromObject(crd), crd); err != nil {
		t.Fatal(err)
	}
	whole := crd.DeepCopy()
	older := crd.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"]
	delete(older.Properties, "freezes")
	older.XValidations = nil
	crd.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"] = older
	if err := s.admin.Update(t.Context(), crd); err != nil {
		t.Fatal(err)
	}
	s.wants(t, finding{"definitions", "failure", "agentactionpolicies.countersign.dev is not what this plugin knows", ""})
	if got := run(t, s.kubeconfigs["admin"], "windows", "shop-deploy-bot"); got.code != 0 || !strings.Contains(got.out, "long-ago") {
		t.Errorf("of an older definition windows shows %s%s", got.out, got.err)
	}
	if err := s.admin.Get(t.Context(), client.ObjectKeyFromObject(crd), crd); err != nil {
		t.Fatal(err)
	}
	whole.Spec.DeepCopyInto(&crd.Spec)
	crd.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"].Properties["later"] = apiextensionsv1.JSONSchemaProps{Type: "string"}
	if err := s.admin.Update(t.Context(), crd); err != nil {
		t.Fatal(err)
	}
	s.wants(t, finding{"definitions", "warning", "agentactionpolicies.countersign.dev is of a later version than this plugin", "kubectl countersign version"})
	crd.Spec = whole.Spec
	if err := s.admin.Update(t.Context(), crd); err != nil {
		t.Fatal(err)
	}
	s.wants(t, finding{"definitions", "ok", "Countersign's kinds are as this plugin knows them", ""})
}

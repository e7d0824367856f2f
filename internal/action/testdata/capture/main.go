// Capture records the admission reviews of a real control plane, for the tests of the package. Run it in the root of
// the module, when a version of Kubernetes is added or a step is:
//
//	go run ./internal/action/testdata/capture internal/action/testdata/reviews
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/hack/controlplane"
	"github.com/countersign-dev/countersign/internal/action"
)

func main() {
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(out string) error {
	ctx := context.Background()
	plane, err := controlplane.Start(ctx, controlplane.Options{Nodes: 1})
	if err != nil {
		return err
	}
	defer func() { _ = plane.Stop() }()

	r := &recorder{out: out, ctx: ctx}
	if r.client, err = kubernetes.NewForConfig(plane.AdminConfig()); err != nil {
		return err
	}
	if r.dynamic, err = dynamic.NewForConfig(plane.AdminConfig()); err != nil {
		return err
	}
	if err := r.prepare(); err != nil {
		return err
	}
	agent, err := plane.ServiceAccountKubeconfig(ctx, "ci", "bot")
	if err != nil {
		return err
	}
	for _, s := range steps {
		if err := r.step(s, plane, agent); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}

type recorder struct {
	out     string
	ctx     context.Context
	client  kubernetes.Interface
	dynamic dynamic.Interface

	mu      sync.Mutex
	reviews []json.RawMessage
	refuse  bool
}

// prepare makes the namespaces, the agent, and the webhook that records what the agent does.
func (r *recorder) prepare() error {
	for _, name := range []string{"ci", "shop"} {
		ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
		if _, err := r.client.CoreV1().Namespaces().Create(r.ctx, ns, metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	bot := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "bot"}}
	if _, err := r.client.CoreV1().ServiceAccounts("ci").Create(r.ctx, bot, metav1.CreateOptions{}); err != nil {
		return err
	}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "bot"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: "ci", Name: "bot"}},
	}
	if _, err := r.client.RbacV1().ClusterRoleBindings().Create(r.ctx, binding, metav1.CreateOptions{}); err != nil {
		return err
	}
	return r.register()
}

func (r *recorder) register() error {
	listener, ca, err := listen()
	if err != nil {
		return err
	}
	go func() { _ = http.Serve(listener, r) }()

	url := "https://" + listener.Addr().String()
	fail, none := admissionregistrationv1.Fail, admissionregistrationv1.SideEffectClassNone
	config := &admissionregistrationv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "record"},
		Webhooks: []admissionregistrationv1.ValidatingWebhook{{
			Name: "record.example.com", FailurePolicy: &fail, SideEffects: &none, AdmissionReviewVersions: []string{"v1"},
			ClientConfig: admissionregistrationv1.WebhookClientConfig{URL: &url, CABundle: ca},
			Rules: []admissionregistrationv1.RuleWithOperations{{
				Operations: []admissionregistrationv1.OperationType{"*"},
				Rule:       admissionregistrationv1.Rule{APIGroups: []string{"*"}, APIVersions: []string{"*"}, Resources: []string{"*/*"}},
			}},
			MatchConditions: []admissionregistrationv1.MatchCondition{{
				Name: "agent", Expression: "request.userInfo.username == 'system:serviceaccount:ci:bot'",
			}},
		}},
	}
	if _, err := r.client.AdmissionregistrationV1().ValidatingWebhookConfigurations().Create(r.ctx, config, metav1.CreateOptions{}); err != nil {
		return err
	}
	time.Sleep(3 * time.Second) // nothing says when it is in force
	return nil
}

// listen serves with a certificate of its own.
func listen() (net.Listener, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, nil, err
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
	})
	return listener, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), err
}

// recorded is one file.
type recorded struct {
	Request *admissionv1.AdmissionRequest `json:"request"`
	Facts   action.KindFacts              `json:"facts"`
	Target  map[string]any                `json:"target,omitempty"`
}

func (r *recorder) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	var review admissionv1.AdmissionReview
	if err := json.NewDecoder(request.Body).Decode(&review); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.record(review.Request); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	review.Response = &admissionv1.AdmissionResponse{UID: review.Request.UID, Allowed: !r.refuse}
	if r.refuse {
		review.Response.Result = &metav1.Status{Code: http.StatusForbidden, Message: "refused to record another try"}
	}
	review.Request = nil
	_ = json.NewEncoder(w).Encode(review)
}

func (r *recorder) record(request *admissionv1.AdmissionRequest) error {
	request.UserInfo.Extra = map[string]authenticationv1.ExtraValue{}
	file := recorded{Request: request}
	var err error
	if file.Facts, err = r.facts(request); err != nil {
		return err
	}
	if file.Target, err = r.target(request); err != nil {
		return err
	}
	raw, err := json.MarshalIndent(file, "", " ")
	r.reviews = append(r.reviews, raw)
	return err
}

func (r *recorder) facts(request *admissionv1.AdmissionRequest) (action.KindFacts, error) {
	var facts action.KindFacts
	gv := schema.GroupVersion{Group: request.Resource.Group, Version: request.Resource.Version}
	list, err := r.client.Discovery().ServerResourcesForGroupVersion(gv.String())
	if err != nil {
		return facts, err
	}
	for _, resource := range list.APIResources {
		switch resource.Name {
		case request.Resource.Resource:
			facts.Kind, facts.Namespaced = resource.Kind, resource.Namespaced
		case request.Resource.Resource + "/status":
			facts.HasStatus = true
		}
	}
	groups, err := r.client.Discovery().ServerGroups()
	if err != nil {
		return facts, err
	}
	for _, group := range groups.Groups {
		if group.Name == gv.Group {
			facts.PreferredVersion = group.PreferredVersion.Version
		}
	}
	if request.SubResource == "scale" {
		facts.SpecReplicasPath = ".spec.replicas"
		if gv.Group == "example.com" {
			facts.SpecReplicasPath = ".spec.size.count"
		}
	}
	return facts, nil
}

func (r *recorder) target(request *admissionv1.AdmissionRequest) (map[string]any, error) {
	need := action.Request{
		Operation: v1alpha1.Operation(request.Operation),
		Group:     request.Resource.Group, Version: request.Resource.Version,
		Resource: request.Resource.Resource, Subresource: request.SubResource,
		Namespace: request.Namespace, Name: request.Name, Object: request.Object.Raw,
	}.Need()
	if !need.Target {
		return nil, nil
	}
	gvr := schema.GroupVersionResource{Group: need.Group, Version: need.Version, Resource: need.Resource}
	object, err := r.dynamic.Resource(gvr).Namespace(need.Namespace).Get(r.ctx, need.Name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	return runtime.DeepCopyJSON(object.Object), nil
}

func (r *recorder) step(s step, plane *controlplane.Plane, agent string) error {
	if err := r.shell(s.people, plane, plane.Kubeconfig("admin")); err != nil {
		return err
	}
	r.set(func() { r.reviews, r.refuse = nil, true })
	if s.twice {
		_ = r.shell(s.agent, plane, agent)
		time.Sleep(1100 * time.Millisecond) // managedFields count seconds
	}
	r.set(func() { r.refuse = s.never })
	if err := r.shell(s.agent, plane, agent); err != nil && !s.fails {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Println(s.name, len(r.reviews))
	if s.agent != "" && len(r.reviews) == 0 {
		return errors.New("nothing was reviewed")
	}
	for i, review := range r.reviews {
		path := filepath.Join(r.out, fmt.Sprintf("%s.%d.json", s.name, i+1))
		if err := os.WriteFile(path, append(review, '\n'), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func (r *recorder) set(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
}

func (r *recorder) shell(script string, plane *controlplane.Plane, kubeconfig string) error {
	if script == "" {
		return nil
	}
	script = strings.ReplaceAll(script, "CURL", `curl -sSfk -H "Authorization: Bearer $TOKEN" -H Content-Type:application/json`)
	command := exec.Command("sh", "-ec", script)
	config, err := plane.Config(kubeconfig)
	if err != nil {
		return err
	}
	command.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig, "PATH="+plane.BinDir()+":"+os.Getenv("PATH"),
		"URL="+plane.URL(), "TOKEN="+config.BearerToken, "WORK="+plane.WorkDir())
	output, err := command.CombinedOutput()
	fmt.Print(string(output))
	return err
}

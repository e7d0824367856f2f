package webhooks_test

import (
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/internal/operatortest"
)

// deploymentsOnly governs nothing but Deployments, and allows whatever it does not name.
const deploymentsOnly = `
enforcement: Enforce
subjects: [AGENT]
governs: {resourceRules: [{apiGroups: [apps], resources: [deployments], operations: ["*"]}]}
outOfScope: Allow
`

// attempt is a way around Countersign and something like it that is harmless, by kubectl. Words in capitals stand for what
// the test made.
type attempt struct {
	// run are the arguments and input what kubectl reads; says is part of the refusal.
	run, input, says string
	// reasons are those of the refusal; empty: ReservedAction.
	reasons string
	// object is the path of the live object that stays as it is, or absent.
	object string
	// harmless and harmlessInput pass. Where reaches is set, they only get past Countersign: there is nobody to talk to.
	harmless, harmlessInput string
	reaches                 bool
}

// fence is an agent that RBAC lets do everything, with a policy, and an operator that knows its namespace and the owner of
// its webhook configurations.
type fence struct {
	*environment
	namespace string
	agent     *identity
	admin     *identity
	words     *strings.Replacer
	cache     string
}

func newFence(t *testing.T, objects, policy string) *fence {
	t.Helper()
	f := &fence{cache: t.TempDir(), words: strings.NewReplacer()}
	f.environment = newOwned(t, "--namespace", operatorNamespace)
	f.admin = f.identity(t, "admin", f.plane.Kubeconfig("admin"))
	f.prepare(t, "apply", "--server-side", "-f", "-")(fenceReleased)
	f.namespace = f.environment.namespace(t)
	f.agent = f.environment.agent(t, f.namespace)
	f.words = strings.NewReplacer("NAMESPACE", f.namespace)
	f.prepare(t, "create", "-f", "-")(objects)
	of := &corev1.Pod{}
	allowed(t, f.admin.Get(t.Context(), client.ObjectKey{Namespace: f.namespace, Name: "p"}, of))
	f.words = strings.NewReplacer("NAMESPACE", f.namespace, "PODUID", string(of.UID))
	f.policy(t, f.namespace, policy)
	f.waitReserved(t)
	return f
}

// prepare has the admin run kubectl.
func (f *fence) prepare(t *testing.T, args ...string) func(input string) {
	return func(input string) {
		t.Helper()
		if err := f.kubectl(t.Context(), f.admin, args, input); err != nil {
			t.Fatal(err)
		}
	}
}

// waitReserved waits until the API server sends the agent's actions to the operator.
func (f *fence) waitReserved(t *testing.T) {
	t.Helper()
	operatortest.Eventually(t, "the agent is governed", func(ctx context.Context) error {
		probe := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: operatorNamespace, Name: "probe"}}
		if err := f.agent.Create(ctx, probe, client.DryRunAll); err == nil || !strings.Contains(err.Error(), "ReservedAction") {
			return fmt.Errorf("a probe is answered by %w", err)
		}
		return nil
	})
}

func (f *fence) kubectl(ctx context.Context, who *identity, args []string, input string) error {
	command := []string{"--kubeconfig", who.kubeconfig, "--cache-dir", f.cache}
	for _, a := range args {
		command = append(command, f.words.Replace(a))
	}
	if !slices.Contains(args, "--raw") && !slices.Contains(args, "-n") && f.namespace != "" {
		command = append(command, "--namespace", f.namespace)
	}
	c := exec.CommandContext(ctx, f.plane.Binaries().Kubectl, command...)
	c.Stdin = strings.NewReader(f.words.Replace(input))
	if output, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("running kubectl %s: %w\n%s", strings.Join(args, " "), err, output)
	}
	return nil
}

// live is what stands at a path of the API, without what the server and controllers write at any time; "" where there
// is nothing.
func (f *fence) live(t *testing.T, path string) string {
	t.Helper()
	if path == "" {
		return ""
	}
	raw, err := f.admin.CoreV1().RESTClient().Get().AbsPath(f.words.Replace(path)).DoRaw(t.Context())
	if apierrors.IsNotFound(err) {
		return ""
	}
	allowed(t, err)
	var object map[string]any
	allowed(t, json.Unmarshal(raw, &object))
	metadata, _ := object["metadata"].(map[string]any)
	delete(metadata, "resourceVersion")
	delete(metadata, "managedFields")
	if annotations, ok := metadata["annotations"].(map[string]any); ok {
		delete(annotations, "deployment.kubernetes.io/revision")
	}
	if object["kind"] != "CertificateSigningRequest" { // whose status no controller writes before it is approved
		delete(object, "status")
	}
	text, err := json.MarshalIndent(object, "", " ")
	allowed(t, err)
	return string(text)
}

// check has the agent try what is reserved, and then what only looks like it.
func (f *fence) check(t *testing.T, a attempt) {
	before := f.live(t, a.object)
	err := f.kubectl(t.Context(), f.agent, strings.Fields(a.run), a.input)
	if err != nil && strings.Contains(err.Error(), "no matches for kind") {
		t.Skipf("Kubernetes %s does not serve it: %v", f.plane.Binaries().Kubernetes, err)
	}
	reasons := cmp.Or(a.reasons, "ReservedAction")
	if err == nil || !regexp.MustCompile("reasons="+reasons+`[ \]]`).MatchString(err.Error()) || !strings.Contains(err.Error(), a.says) {
		t.Errorf("the answer is %v, want a refusal because of %s that says %q", err, reasons, a.says)
	}
	if diff := gocmp.Diff(before, f.live(t, a.object)); diff != "" {
		t.Errorf("the live object has changed (-before +after):\n%s", diff)
	}
	if a.harmless == "" {
		return
	}
	err = f.kubectl(t.Context(), f.agent, strings.Fields(a.harmless), a.harmlessInput)
	var ended *exec.ExitError
	if a.reaches && errors.As(err, &ended) && !strings.Contains(err.Error(), "countersign") {
		return
	}
	allowed(t, err)
}

// TestReserved has an agent that may do everything, by RBAC and by its policy, try what reaches around Countersign.
func TestReserved(t *testing.T) {
	f := newFence(t, fenceObjects, deploymentsOnly)
	operatortest.Eventually(t, "the Secret has its token", func(ctx context.Context) error {
		tokens := &corev1.Secret{}
		if err := f.admin.Get(ctx, client.ObjectKey{Namespace: f.namespace, Name: "tokens"}, tokens); err != nil {
			return err
		}
		if len(tokens.Data["token"]) == 0 {
			return errors.New("it is empty")
		}
		return nil
	})
	for group, attempts := range map[string]map[string]attempt{
		"Countersign": reservedOwn, "identities": reservedIdentities, "rights": reservedRights, "certificates": f.certificates(t),
	} {
		for _, name := range slices.Sorted(maps.Keys(attempts)) {
			t.Run(group+"/"+name, func(t *testing.T) { f.check(t, attempts[name]) })
		}
	}
	t.Run("identities/a token of one's own pod", func(t *testing.T) { f.testTokenOfPod(t) })
}

// testTokenOfPod asks within a pod for a token that is bound to it, as clients in pods do to renew theirs.
func (f *fence) testTokenOfPod(t *testing.T) {
	inPod := f.inPod(t, f.namespace, "mine")
	issue := func(pod string) error {
		of := &corev1.Pod{}
		allowed(t, f.admin.Get(t.Context(), client.ObjectKey{Namespace: f.namespace, Name: pod}, of))
		_, err := inPod.CoreV1().ServiceAccounts(f.namespace).CreateToken(t.Context(), "agent", &authenticationv1.TokenRequest{
			Spec: authenticationv1.TokenRequestSpec{BoundObjectRef: &authenticationv1.BoundObjectReference{
				APIVersion: "v1", Kind: "Pod", Name: pod, UID: of.UID,
			}},
		}, metav1.CreateOptions{})
		return err
	}
	allowed(t, issue("mine"))
	refused(t, issue("p"), "ReservedAction")
}

// signingRequest is a request for a certificate, as base64 of PEM and as base64 of DER.
func signingRequest(t *testing.T, subject pkix.Name) (encoded, der string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	allowed(t, err)
	raw, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: subject}, key)
	allowed(t, err)
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: raw})
	return base64.StdEncoding.EncodeToString(text), base64.StdEncoding.EncodeToString(raw)
}

// certificates are ways to get a certificate in another name.
func (f *fence) certificates(t *testing.T) map[string]attempt {
	t.Helper()
	const requests = "/apis/certificates.k8s.io/v1/certificatesigningrequests/"
	request := func(name string, subject pkix.Name) string {
		text, _ := signingRequest(t, subject)
		return `{apiVersion: certificates.k8s.io/v1, kind: CertificateSigningRequest, metadata: {name: ` + name + `}, spec: {` +
			`signerName: kubernetes.io/kube-apiserver-client, usages: [client auth], request: ` + text + `}}`
	}
	alice, itself := pkix.Name{CommonName: "alice", Organization: []string{"approvers"}}, pkix.Name{CommonName: f.agent.name}
	f.prepare(t, "create", "-f", "-")(request("NAMESPACE-alice", alice))
	_, der := signingRequest(t, pkix.Name{})
	return map[string]attempt{
		"for a person": {
			run: "create -f -", input: request("NAMESPACE-new", alice), says: "another name than its own", object: requests + "NAMESPACE-new",
			harmless: "create -f -", harmlessInput: request("NAMESPACE-itself", itself),
		},
		"for a group": {
			run: "apply --server-side -f -", says: "a group that it is not in", object: requests + "NAMESPACE-group",
			input:    request("NAMESPACE-group", pkix.Name{CommonName: f.agent.name, Organization: []string{"approvers"}}),
			harmless: "apply --server-side -f -",
			harmlessInput: request("NAMESPACE-own-group", pkix.Name{
				CommonName: f.agent.name, Organization: []string{"system:serviceaccounts:" + f.namespace},
			}),
		},
		"approved": {
			run: "certificate approve NAMESPACE-alice", says: "approve or deny certificates", object: requests + "NAMESPACE-alice",
			harmless: "label csr NAMESPACE-alice seen=yes",
		},
		"issued": {
			run:  `patch csr NAMESPACE-alice --subresource=status --type=merge -p {"status":{"conditions":[{"type":"Failed","status":"True"}]}}`,
			says: "issue certificates", object: requests + "NAMESPACE-alice",
		},
		"for a pod": {
			run: "create -f -", says: "in the name of a pod",
			object: "/apis/certificates.k8s.io/v1/namespaces/NAMESPACE/podcertificaterequests/new",
			input: `{apiVersion: certificates.k8s.io/v1, kind: PodCertificateRequest, metadata: {name: new}, spec: {signerName: example.com/pods, ` +
				`podName: p, podUID: PODUID, serviceAccountName: agent, serviceAccountUID: x, nodeName: node, nodeUID: x, stubPKCS10Request: ` + der + `}}`,
		},
	}
}

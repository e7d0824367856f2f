package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/countersign-dev/countersign/controllers"
	"github.com/countersign-dev/countersign/hack/controlplane"
	"github.com/countersign-dev/countersign/internal/operatortest"
	"github.com/countersign-dev/countersign/internal/protection"
	"github.com/countersign-dev/countersign/internal/support"
)

// sealObjects are what agents and people try to change. There is no operator.
const sealObjects = `
apiVersion: v1
kind: Namespace
metadata: {name: countersign-system}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: target, labels: {a: b}}
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: {name: target, labels: {a: b}}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: target, labels: {a: b}}
spec:
  matchConstraints: {resourceRules: [{apiGroups: [example.test], apiVersions: ["*"], resources: ["*"], operations: [CREATE]}]}
  validations: [{expression: "true"}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: target, labels: {a: b}}
spec: {policyName: target, validationActions: [Deny]}
---
apiVersion: countersign.dev/v1alpha1
kind: AgentActionPolicy
metadata: {name: target}
spec: {enforcement: Enforce, outOfScope: Deny, subjects: [{kind: ServiceAccount, namespace: agents, name: bot}]}
---
apiVersion: countersign.dev/v1alpha1
kind: ActionApproval
metadata: {name: target, namespace: agents}
spec: {requester: {username: x}, task: {policy: p, name: t, maxActions: 1}}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: other, namespace: agents}
---
apiVersion: v1
kind: Secret
metadata: {name: target, namespace: agents}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: narrow}
rules:
- {apiGroups: [authentication.k8s.io], resources: [users], verbs: ["impersonate:user-info"]}
- {apiGroups: [""], resources: [namespaces], verbs: ["impersonate-on:user-info:list"]}
`

const certificateRequest = `
apiVersion: certificates.k8s.io/v1
kind: CertificateSigningRequest
metadata: {name: %s}
spec: {signerName: %s, usages: [client auth], request: %s}
`

// sealAttempt is what kubectl is asked to do, and what the seal has to say about it from an agent.
type sealAttempt struct {
	// run are the arguments and input what kubectl reads.
	run, input string
	// refused is part of the refusal; empty: agents may do it, sealed or not.
	refused string
	// reaches is for what cannot succeed here: there is nobody to talk to.
	reaches bool
}

const (
	adm    = "no agent may change admission webhooks and policies"
	denied = "cannot impersonate"
)

var sealAttempts = map[string]sealAttempt{
	"create a webhook configuration":         {run: "create -f -", input: "{apiVersion: admissionregistration.k8s.io/v1, kind: MutatingWebhookConfiguration, metadata: {name: new}}", refused: adm},
	"delete a webhook configuration":         {run: "delete validatingwebhookconfiguration target", refused: adm},
	"delete a mutating one":                  {run: "delete mutatingwebhookconfiguration target", refused: adm},
	"delete them all":                        {run: "delete --raw /apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations?dryRun=All", refused: adm},
	"edit a webhook configuration":           {run: "label validatingwebhookconfiguration target a-", refused: adm},
	"delete an admission policy":             {run: "delete validatingadmissionpolicy target", refused: adm},
	"take a label off an admission policy":   {run: "label validatingadmissionpolicy target a-", refused: adm},
	"delete a binding":                       {run: "delete validatingadmissionpolicybinding target", refused: adm},
	"edit a binding":                         {run: `patch validatingadmissionpolicybinding target --type=merge -p {"spec":{"validationActions":["Warn"]}}`, refused: adm},
	"delete a definition":                    {run: "delete crd actionapprovals.countersign.dev", refused: "Countersign's own resource definitions"},
	"delete all definitions":                 {run: "delete --raw /apis/apiextensions.k8s.io/v1/customresourcedefinitions?dryRun=All", refused: "Countersign's own resource definitions"},
	"take the status out of a definition":    {run: `patch crd actionapprovals.countersign.dev --type=json -p [{"op":"remove","path":"/spec/versions/0/subresources"}]`, refused: "Countersign's own resource definitions"},
	"serve Countersign's API oneself":        {run: `patch apiservice v1alpha1.countersign.dev --type=merge -p {"metadata":{"labels":{"kube-aggregator.kubernetes.io/automanaged":null}}}`, refused: "who serves Countersign's API"},
	"serve who may do what oneself":          {run: `patch apiservice v1.authorization.k8s.io --type=merge -p {"metadata":{"labels":{"kube-aggregator.kubernetes.io/automanaged":null}}}`, refused: "who serves Countersign's API"},
	"delete a policy":                        {run: "delete agentactionpolicy target", refused: "Countersign's own objects"},
	"approve by hand":                        {run: `patch actionapproval target -n agents --subresource=status --type=merge -p {"status":{"remaining":5}}`, refused: "Countersign's own objects"},
	"decide":                                 {run: `patch actionapproval target -n agents --type=merge -p {"spec":{"decisions":[]}}`, refused: "Countersign's own objects"},
	"approve a certificate":                  {run: `replace --raw /apis/certificates.k8s.io/v1/certificatesigningrequests/target/approval?dryRun=All -f -`, input: "APPROVAL", refused: "approve or issue certificates"},
	"ask for a certificate":                  {run: "create -f -", input: "REQUEST", refused: "ask for certificates of the cluster"},
	"make a token of another account":        {run: "create token other -n agents", refused: "tokens for another account"},
	"talk to a kubelet":                      {run: "get --raw /api/v1/nodes/n/proxy/pods", refused: "talk to kubelets", reaches: true},
	"act as a person":                        {run: "delete validatingwebhookconfiguration target --as jane", refused: denied},
	"act as somebody of a group":             {run: "delete validatingadmissionpolicy target --as jane --as-group system:masters", refused: denied},
	"act as an account":                      {run: "get namespaces --as system:serviceaccount:kube-system:namespace-controller", refused: denied},
	"act with a UID":                         {run: "delete validatingwebhookconfiguration target --as jane --as-uid 1", refused: denied},
	"act with more about oneself":            {run: "delete validatingwebhookconfiguration target --as jane --as-user-extra scopes=x", refused: denied},
	"act as a node":                          {run: "get node n --ignore-not-found --as system:node:n --as-group system:nodes", refused: denied},
	"a token of its own":                     {run: "create token bot -n agents"},
	"a definition of others":                 {run: "create -f -", input: otherDefinition},
	"a ConfigMap":                            {run: "create configmap x -n agents"},
	"a request for a run":                    {run: "create -f -", input: "{apiVersion: countersign.dev/v1alpha1, kind: ActionApproval, metadata: {name: run, namespace: agents}, spec: {requester: {username: x}, task: {policy: p, name: t, maxActions: 1}}}"},
	"a justification":                        {run: `patch actionapproval target -n agents --type=merge -p {"spec":{"justification":"please"}}`},
	"a Secret":                               {run: "get secret target -n agents"},
	"its rights":                             {run: "auth can-i create pods"},
	"taking back a request of a certificate": {run: "delete csr target"},
}

const otherDefinition = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.test}
spec:
  group: example.test
  scope: Namespaced
  names: {plural: widgets, singular: widget, kind: Widget, listKind: WidgetList}
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]
`

// sealed is a control plane with an agent and a person who both hold cluster-admin.
type sealed struct {
	plane         *controlplane.Plane
	admin         client.Client
	agent, person string // kubeconfigs
	words         *strings.Replacer
}

func newSealed(t *testing.T, plane *controlplane.Plane) *sealed {
	t.Helper()
	s := &sealed{plane: plane, admin: operatortest.NewClient(t, plane.AdminConfig())}
	operatortest.ApplyDefinitions(t, s.admin)
	var err error
	if s.agent, err = plane.ServiceAccountKubeconfig(t.Context(), "agents", "bot"); err != nil {
		t.Fatal(err)
	}
	if s.person, err = plane.PersonKubeconfig("jane"); err != nil {
		t.Fatal(err)
	}
	s.bind(t, "all", "cluster-admin", rbacv1.Subject{Kind: "ServiceAccount", Namespace: "agents", Name: "bot"},
		rbacv1.Subject{APIGroup: "rbac.authorization.k8s.io", Kind: "User", Name: "jane"})
	request := requestFor(t, "jane")
	ask := func(name string) string {
		return fmt.Sprintf(certificateRequest, name, "kubernetes.io/kube-apiserver-client", request)
	}
	approval := ask("target") + "status: {conditions: [{type: Approved, status: \"True\", reason: x, message: x}]}\n"
	s.words = strings.NewReplacer("APPROVAL", asJSON(t, approval), "REQUEST", ask("new"))
	if err := s.kubectl(t.Context(), plane.Kubeconfig("admin"), "apply --server-side -f -", sealObjects+"---"+ask("target")); err != nil {
		t.Fatal(err)
	}
	operatortest.Eventually(t, "the rights of both", func(ctx context.Context) error {
		if err := s.kubectl(ctx, s.agent, "get nodes", ""); err != nil {
			return err
		}
		return s.kubectl(ctx, s.person, "get nodes", "")
	})
	return s
}

func (s *sealed) bind(t *testing.T, name, role string, subjects ...rbacv1.Subject) {
	t.Helper()
	binding := &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: name}, Subjects: subjects,
		RoleRef: rbacv1.RoleRef{APIGroup: "rbac.authorization.k8s.io", Kind: "ClusterRole", Name: role}}
	if err := s.admin.Create(t.Context(), binding); err != nil {
		t.Fatal(err)
	}
}

// requestFor is the request in a CertificateSigningRequest for a certificate of a user.
func requestFor(t *testing.T, user string) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: user}}, key)
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: request}))
}

func asJSON(t *testing.T, text string) string {
	t.Helper()
	converted, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return string(converted)
}

// kubectl stores nothing: every write but those of the objects is a dry run.
func (s *sealed) kubectl(ctx context.Context, kubeconfig, args, input string) error {
	command := append([]string{"--kubeconfig", kubeconfig, "--cache-dir", filepath.Join(s.plane.WorkDir(), "kubectl")}, strings.Fields(args)...)
	verb, _, _ := strings.Cut(args, " ")
	if strings.Contains(" create delete patch label ", " "+verb+" ") && !strings.Contains(args, "--raw") && !strings.HasPrefix(args, "create token") {
		command = append(command, "--dry-run=server")
	}
	c := exec.CommandContext(ctx, s.plane.Binaries().Kubectl, command...)
	c.Stdin = strings.NewReader(s.words.Replace(input))
	if output, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("kubectl %s: %w: %s", args, err, output)
	}
	return nil
}

// try does every attempt as somebody; those that the seal is to refuse are refused where agents are sealed.
func (s *sealed) try(t *testing.T, kubeconfig string, sealedAgent bool) {
	t.Helper()
	for name, a := range sealAttempts {
		t.Run(name, func(t *testing.T) {
			err := s.kubectl(t.Context(), kubeconfig, a.run, a.input)
			if err != nil && strings.Contains(err.Error(), "unknown flag") {
				t.Skipf("kubectl %s cannot ask for it: %v", s.plane.Binaries().Kubernetes, err)
			}
			switch {
			case sealedAgent && a.refused != "":
				if err == nil || !strings.Contains(err.Error(), a.refused) || !strings.Contains(strings.ToLower(err.Error()), "forbidden") {
					t.Errorf("the answer is %v, want a refusal that says %q", err, a.refused)
				}
			case a.reaches:
				if err == nil || strings.Contains(err.Error(), "orbidden") {
					t.Errorf("the answer is %v, want that there is no such node", err)
				}
			case err != nil:
				t.Errorf("the answer is %v, want success", err)
			}
		})
	}
}

// TestUnsealed is the control: without the files an agent with all rights may do all of it.
func TestUnsealed(t *testing.T) {
	s := newSealed(t, controlplane.Shared(t))
	s.try(t, s.agent, false)
	s.narrow(t, "")
}

// narrow tries the newer verbs of impersonation, with an account that has only these.
func (s *sealed) narrow(t *testing.T, refused string) {
	t.Helper()
	t.Run("constrained impersonation", func(t *testing.T) {
		controlplane.NeedFeature(t, s.plane, "ConstrainedImpersonation")
		kubeconfig, err := s.plane.ServiceAccountKubeconfig(t.Context(), "agents", "narrow")
		if err != nil {
			t.Fatal(err)
		}
		s.bind(t, "narrow", "narrow", rbacv1.Subject{Kind: "ServiceAccount", Namespace: "agents", Name: "narrow"})
		operatortest.Eventually(t, "the answer is as it should be", func(ctx context.Context) error {
			err := s.kubectl(ctx, kubeconfig, "get namespaces --as jane", "")
			if refused == "" {
				return err
			}
			if err == nil || !strings.Contains(err.Error(), refused) {
				return fmt.Errorf("it is %w", err)
			}
			return nil
		})
	})
}

// TestSealFromCluster has the command ask the API server whether it can use the files at all. One that does not know of
// manifests starts with them, and does not say that it ignores them.
func TestSealFromCluster(t *testing.T) {
	plane := controlplane.Shared(t)
	operatortest.ApplyDefinitions(t, operatortest.NewClient(t, plane.AdminConfig()))
	feature, err := plane.Feature(t.Context(), support.SealingGate)
	if err != nil {
		t.Fatal(err)
	}
	output, err := exec.Command(operatortest.Binary(t), "seal", "--from-cluster", "--kubeconfig", plane.Kubeconfig("admin"),
		"--user", "robot", "--output", t.TempDir()).CombinedOutput()
	if (err == nil) != feature.Known {
		t.Errorf("the API server's feature is %+v, and the answer %v:\n%s", feature, err, output)
	}
	if !feature.Known && !strings.Contains(string(output), "would ignore the admission policies") {
		t.Errorf("the refusal is %s", output)
	}
	if gated := strings.Contains(string(output), "--feature-gates="+support.SealingGate+"=true\n"); gated != (feature.Known && !feature.Enabled) {
		t.Errorf("the API server's feature is %+v, and the notes are\n%s", feature, output)
	}
}

// TestSealed starts an API server with the files that the command writes.
func TestSealed(t *testing.T) {
	directory := t.TempDir()
	render := func(t *testing.T, args ...string) {
		t.Helper()
		operatortest.Seal(t, directory, append([]string{"--service-account", "agents/*"}, args...)...)
	}
	render(t)
	plane := operatortest.StartSealed(t, directory)
	s := newSealed(t, plane)
	t.Run("an agent", func(t *testing.T) { s.try(t, s.agent, true) })
	t.Run("a person", func(t *testing.T) { s.try(t, s.person, false) })
	s.narrow(t, denied)
	t.Run("a kubelet that is asked directly", func(t *testing.T) {
		// What a kubelet asks about an exec over WebSockets. No admission is asked then, and no file denies it.
		review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
			User: "system:serviceaccount:agents:bot", Groups: []string{"system:serviceaccounts", "system:serviceaccounts:agents", "system:authenticated"},
			ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: "get", Version: "v1", Resource: "nodes", Subresource: "proxy", Name: "n"},
		}}
		if err := s.admin.Create(t.Context(), review); err != nil {
			t.Fatal(err)
		}
		const what = "talk to kubelets"
		route, known := protection.RouteTo(what)
		if closed := known && route.Closed <= protection.Sealed; review.Status.Allowed == closed {
			t.Errorf("the kubelet is answered %+v, and the table of routes has %+v", review.Status, route)
		}
	})
	t.Run("the operator finds level 4", func(t *testing.T) {
		operatortest.Start(t, plane.Kubeconfig("admin"), "--namespace", "countersign-system", "--admission-policy")
		operatortest.Eventually(t, "the level is 4", func(ctx context.Context) error {
			var shown admissionregistrationv1.ValidatingWebhookConfiguration
			err := s.admin.Get(ctx, client.ObjectKey{Name: controllers.PoliciesConfiguration}, &shown)
			if err == nil && shown.Annotations[controllers.LevelAnnotation] != "4" {
				err = fmt.Errorf("it is %q", shown.Annotations[controllers.LevelAnnotation])
			}
			return err
		})
	})
	t.Run("new files are read while it runs", func(t *testing.T) {
		robot, err := plane.PersonKubeconfig("max", "robots")
		if err != nil {
			t.Fatal(err)
		}
		s.bind(t, "robots", "cluster-admin", rbacv1.Subject{APIGroup: "rbac.authorization.k8s.io", Kind: "Group", Name: "robots"})
		render(t, "--user", "jane", "--group", "robots", "--deny-secrets")
		operatortest.Eventually(t, "the new subject is refused", func(ctx context.Context) error {
			for _, who := range []string{s.person, robot} {
				err := s.kubectl(ctx, who, "delete validatingwebhookconfiguration target", "")
				if err == nil || !strings.Contains(err.Error(), adm) {
					return fmt.Errorf("the answer is %w", err)
				}
				if err := s.kubectl(ctx, who, "get nodes --as alice", ""); err == nil || !strings.Contains(err.Error(), denied) {
					return fmt.Errorf("impersonation is answered by %w", err)
				}
			}
			err := s.kubectl(ctx, s.agent, "get secret target -n agents", "")
			if err == nil || !strings.Contains(err.Error(), "denied-by-countersign-seal") {
				return fmt.Errorf("an agent that reads a Secret is answered by %w", err)
			}
			return nil
		})
	})
}

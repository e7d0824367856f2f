package policy

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/action"
)

// deploymentsOnly governs nothing but Deployments, and allows whatever it does not name.
const deploymentsOnly = subjects + `
governs: {resourceRules: [{apiGroups: [apps], resources: [deployments], operations: ["*"]}]}
outOfScope: Allow
`

// attempt is something that the deploy bot tries.
type attempt struct {
	operation v1alpha1.Operation // CREATE where it is empty
	// resource is group/resource or group/resource/subresource, with a leading "/" for the core group.
	resource, namespace, name string
	// uid of the target.
	uid string
	// old, new and role are YAML.
	old, new, role string

	// want is part of why it is reserved; empty: it is not.
	want string
}

func (a attempt) action(t *testing.T) *action.Action {
	t.Helper()
	parts := append(strings.Split(a.resource, "/"), "")
	made := &action.Action{
		Actor: action.Actor{
			Username: deployBot, UID: "bot-uid", PodName: "bot-0", PodUID: "pod-uid",
			Groups: []string{"system:serviceaccounts", "system:serviceaccounts:ci", "system:authenticated"},
		},
		Operation: a.operation, Group: parts[0], Resource: parts[1], Subresource: parts[2],
		Namespaced: a.namespace != "", Namespace: a.namespace, Name: a.name, UID: a.uid, Old: content(t, a.old), New: content(t, a.new),
	}
	if made.Operation == "" {
		made.Operation = v1alpha1.OperationCreate
	}
	if made.Operation == v1alpha1.OperationUpdate {
		made.Changes = []action.Change{{Path: pathOf("changed")}}
	}
	return made
}

func content(t *testing.T, text string) map[string]any {
	t.Helper()
	if text == "" {
		return nil
	}
	var parsed map[string]any
	if err := yaml.Unmarshal([]byte(text), &parsed); err != nil {
		t.Fatalf("reading %s: %v", text, err)
	}
	return parsed
}

func checkReserved(t *testing.T, attempts map[string]attempt) {
	t.Helper()
	p := Compile(policyOf(t, "p", deploymentsOnly), Identity{Username: "operator"})
	set := NewSet([]*Policy{p}, Operator{Namespace: "countersign-system", OwnerClusterRole: "countersign-anchor"})
	for _, name := range slices.Sorted(maps.Keys(attempts)) {
		a := attempts[name]
		t.Run(name, func(t *testing.T) {
			d := set.Decide(Input{Action: a.action(t), Now: berlinNoon, Role: content(t, a.role)})
			if a.want == "" {
				if d.Outcome != Allow {
					t.Errorf("it is refused: %+v", d.Obstacles)
				}
				return
			}
			if diff := cmp.Diff([]string{"ReservedAction"}, d.Reasons()); d.Outcome != Deny || diff != "" {
				t.Fatalf("the outcome is %s, reasons (-want +got):\n%s", d.Outcome, diff)
			}
			if detail := d.Obstacles[0].Detail; !strings.Contains(detail, a.want) || len(detail) >= maxDetail {
				t.Errorf("the text is %q, want one that says %q", detail, a.want)
			}
		})
	}
}

func TestReservedToCountersign(t *testing.T) {
	const managed = "metadata: {labels: {kube-aggregator.kubernetes.io/automanaged: onstart}}\n"
	schema := func(subject string) string { return "spec: {rules: [{subjects: [" + subject + "]}]}" }
	flow := func(subject string) attempt {
		return attempt{resource: "flowcontrol.apiserver.k8s.io/flowschemas", name: "x", new: schema(subject)}
	}
	wanting := func(a attempt, want string) attempt { a.want = want; return a }
	checkReserved(t, map[string]attempt{
		"a policy":                {operation: "DELETE", resource: "countersign.dev/agentactionpolicies", name: "p", want: "own objects"},
		"a pod of the operator":   {operation: "DELETE", resource: "/pods", namespace: "countersign-system", name: "p", want: "own namespace"},
		"an exec into it":         {operation: "CONNECT", resource: "/pods/exec", namespace: "countersign-system", name: "p", want: "own namespace"},
		"a proxy to its service":  {operation: "CONNECT", resource: "/services/proxy", namespace: "countersign-system", name: "w", want: "own namespace"},
		"its lease":               {operation: "UPDATE", resource: "coordination.k8s.io/leases", namespace: "countersign-system", name: "l", want: "own namespace"},
		"its namespace":           {operation: "DELETE", resource: "/namespaces", name: "countersign-system", want: "own namespace"},
		"finalizing it":           {operation: "UPDATE", resource: "/namespaces/finalize", name: "countersign-system", want: "own namespace"},
		"another namespace":       {operation: "DELETE", resource: "/namespaces", name: "countersign-systems"},
		"a proxy elsewhere":       {operation: "CONNECT", resource: "/services/proxy", namespace: "shop", name: "w"},
		"a lease of one's own":    {operation: "UPDATE", resource: "coordination.k8s.io/leases", namespace: "ci", name: "l"},
		"its definition":          {operation: "UPDATE", resource: "apiextensions.k8s.io/customresourcedefinitions", name: "actionapprovals.countersign.dev", want: "own resource definitions"},
		"the status of it":        {operation: "UPDATE", resource: "apiextensions.k8s.io/customresourcedefinitions/status", name: "actionapprovals.countersign.dev", want: "own resource definitions"},
		"another definition":      {operation: "UPDATE", resource: "apiextensions.k8s.io/customresourcedefinitions", name: "widgets.example.com"},
		"its APIService":          {operation: "UPDATE", resource: "apiregistration.k8s.io/apiservices", name: "v1alpha1.countersign.dev", want: "serves Countersign's API"},
		"one of the API server":   {operation: "UPDATE", resource: "apiregistration.k8s.io/apiservices", name: "v1.authorization.k8s.io", old: managed, want: "APIs of the API server"},
		"deleting one of these":   {operation: "DELETE", resource: "apiregistration.k8s.io/apiservices", name: "v1.authorization.k8s.io", old: managed, want: "APIs of the API server"},
		"an APIService of others": {operation: "UPDATE", resource: "apiregistration.k8s.io/apiservices", name: "v1beta1.metrics.k8s.io", old: "metadata: {}"},
		"a webhook configuration": {operation: "DELETE", resource: "admissionregistration.k8s.io/validatingwebhookconfigurations", name: "any", want: "admission webhooks"},
		"an admission policy":     {resource: "admissionregistration.k8s.io/mutatingadmissionpolicybindings", name: "any", want: "admission webhooks"},

		"a right of the release":         {resource: "rbac.authorization.k8s.io/clusterroles", name: "countersign-approver", want: "rights of Countersign"},
		"a right that looks like it":     {resource: "rbac.authorization.k8s.io/clusterroles", name: "countersigned"},
		"a right by that name elsewhere": {resource: "rbac.authorization.k8s.io/roles", namespace: "shop", name: "countersign-approver"},

		"flow of the operator":          wanting(flow("{kind: ServiceAccount, serviceAccount: {namespace: countersign-system, name: \"*\"}}"), "starved"),
		"flow of the operator, by name": wanting(flow("{kind: User, user: {name: \"system:serviceaccount:countersign-system:x\"}}"), "starved"),
		"flow of everybody":             wanting(flow("{kind: User, user: {name: \"*\"}}"), "starved"),
		"flow of every account":         wanting(flow("{kind: Group, group: {name: \"system:serviceaccounts\"}}"), "starved"),
		"flow of its namespace":         wanting(flow("{kind: Group, group: {name: \"system:serviceaccounts:countersign-system\"}}"), "starved"),
		"flow of others":                flow("{kind: ServiceAccount, serviceAccount: {namespace: shop, name: \"*\"}}"),
		"taking it out of a flow": {operation: "UPDATE", resource: "flowcontrol.apiserver.k8s.io/flowschemas", name: "x",
			old: schema("{kind: User, user: {name: \"*\"}}"), new: schema(""), want: "starved"},
		"a level of the release":    {operation: "UPDATE", resource: "flowcontrol.apiserver.k8s.io/prioritylevelconfigurations", name: "countersign", want: "starved"},
		"a level of the API server": {operation: "DELETE", resource: "flowcontrol.apiserver.k8s.io/prioritylevelconfigurations", name: "workload-low", old: "metadata: {annotations: {apf.kubernetes.io/autoupdate-spec: \"true\"}}", want: "starved"},
		"another level":             {resource: "flowcontrol.apiserver.k8s.io/prioritylevelconfigurations", name: "mine"},
	})
}

func TestReservedIdentities(t *testing.T) {
	token := func(bound, want string) attempt {
		return attempt{resource: "/serviceaccounts/token", namespace: "ci", name: "deploy-bot", uid: "bot-uid",
			new: "spec: {boundObjectRef: " + bound + "}", want: want}
	}
	secretType := "type: kubernetes.io/service-account-token\n"
	checkReserved(t, map[string]attempt{
		"a token of one's own":              token("null", ""),
		"bound to one's own pod":            token("{kind: Pod, name: bot-0, uid: pod-uid}", ""),
		"bound to a Secret":                 token("{kind: Secret, name: s}", ""),
		"bound to one's own pod by name":    token("{kind: Pod, name: bot-0}", "another pod"),
		"bound to another pod":              token("{kind: Pod, name: bot-1, uid: other-uid}", "another pod"),
		"bound to a node":                   token("{kind: Node, name: n}", "its own pod or a Secret"),
		"of another account":                {resource: "/serviceaccounts/token", namespace: "ci", name: "deployer", uid: "bot-uid", want: "another account"},
		"of the same name elsewhere":        {resource: "/serviceaccounts/token", namespace: "cd", name: "deploy-bot", uid: "bot-uid", want: "another account"},
		"of an account made anew":           {resource: "/serviceaccounts/token", namespace: "ci", name: "deploy-bot", uid: "new-uid", want: "another account"},
		"an account":                        {resource: "/serviceaccounts", namespace: "ci", name: "another"},
		"a review of a token":               {resource: "authentication.k8s.io/tokenreviews", name: "x"},
		"a Secret for tokens":               {resource: "/secrets", namespace: "ci", name: "s", new: secretType, want: "Secrets of type"},
		"a Secret that becomes one":         {operation: "UPDATE", resource: "/secrets", namespace: "ci", name: "s", old: "type: Opaque", new: secretType, want: "Secrets of type"},
		"a Secret that no longer is one":    {operation: "UPDATE", resource: "/secrets", namespace: "ci", name: "s", old: secretType, new: "type: Opaque", want: "Secrets of type"},
		"a Secret for a node that joins":    {resource: "/secrets", namespace: "kube-system", name: "bootstrap-token-abcdef", new: "type: bootstrap.kubernetes.io/token", want: "taken for a node"},
		"deleting such a Secret":            {operation: "DELETE", resource: "/secrets", namespace: "ci", name: "s", old: secretType},
		"another Secret":                    {resource: "/secrets", namespace: "ci", name: "s", new: "type: Opaque"},
		"a kubelet":                         {operation: "CONNECT", resource: "/nodes/proxy", name: "n", want: "kubelets"},
		"a node":                            {operation: "UPDATE", resource: "/nodes", name: "n"},
		"a pod's certificate":               {resource: "certificates.k8s.io/podcertificaterequests", namespace: "ci", name: "p", want: "name of a pod"},
		"issuing a pod's certificate":       {operation: "UPDATE", resource: "certificates.k8s.io/podcertificaterequests/status", namespace: "ci", name: "p", want: "name of a pod"},
		"deleting one":                      {operation: "DELETE", resource: "certificates.k8s.io/podcertificaterequests", namespace: "ci", name: "p"},
		"approving a certificate":           {operation: "UPDATE", resource: "certificates.k8s.io/certificatesigningrequests/approval", name: "c", want: "approve or deny"},
		"issuing a certificate":             {operation: "UPDATE", resource: "certificates.k8s.io/certificatesigningrequests/status", name: "c", want: "issue certificates"},
		"labels of a request for one":       {operation: "UPDATE", resource: "certificates.k8s.io/certificatesigningrequests", name: "c"},
		"deleting a request for one":        {operation: "DELETE", resource: "certificates.k8s.io/certificatesigningrequests", name: "c"},
		"a subresource that is not known":   {operation: "UPDATE", resource: "certificates.k8s.io/certificatesigningrequests/new", name: "c", want: "issue certificates"},
		"a binding of a pod is not a token": {resource: "/pods/binding", namespace: "ci", name: "p"},
	})
}

// TestTokensByName shows that an actor whose credential does not prove the account gets no token that does.
func TestTokensByName(t *testing.T) {
	set := setOf(t, map[string]string{"p": deploymentsOnly})
	a := attempt{resource: "/serviceaccounts/token", namespace: "ci", name: "deploy-bot"}.action(t)
	a.Actor.UID = ""
	if d := set.Decide(Input{Action: a, Now: berlinNoon}); d.Outcome != Deny {
		t.Errorf("an actor without a UID gets a token: %+v", d)
	}
}

// signingRequest is a CertificateSigningRequest in YAML.
func signingRequest(t *testing.T, signer string, subject pkix.Name) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: subject}, key)
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
	return "spec: {signerName: " + signer + ", request: " + base64.StdEncoding.EncodeToString(text) + "}"
}

func TestReservedCertificates(t *testing.T) {
	request := func(signer string, subject pkix.Name, want string) attempt {
		return attempt{resource: "certificates.k8s.io/certificatesigningrequests", name: "c", new: signingRequest(t, signer, subject), want: want}
	}
	raw := func(text, want string) attempt {
		return attempt{resource: "certificates.k8s.io/certificatesigningrequests", name: "c",
			new: "spec: {signerName: " + client + ", request: \"" + text + "\"}", want: want}
	}
	uid := func(value string) []pkix.AttributeTypeAndValue {
		return []pkix.AttributeTypeAndValue{{Type: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57683, 2}, Value: value}}
	}
	checkReserved(t, map[string]attempt{
		"one's own name":             request(client, pkix.Name{CommonName: deployBot}, ""),
		"and one's own group":        request(client, pkix.Name{CommonName: deployBot, Organization: []string{"system:serviceaccounts:ci"}}, ""),
		"and one's own UID":          request(client, pkix.Name{CommonName: deployBot, ExtraNames: uid("bot-uid")}, ""),
		"another UID":                request(client, pkix.Name{CommonName: deployBot, ExtraNames: uid("alice-uid")}, "another name"),
		"another group":              request(client, pkix.Name{CommonName: deployBot, Organization: []string{"approvers"}}, "group that it is not in"),
		"a person":                   request(client, pkix.Name{CommonName: "alice"}, "another name"),
		"nobody":                     request(client, pkix.Name{}, "another name"),
		"another account":            request(client, pkix.Name{CommonName: "system:serviceaccount:ci:deployer"}, "another name"),
		"a kubelet":                  request("kubernetes.io/kube-apiserver-client-kubelet", pkix.Name{CommonName: "system:node:n", Organization: []string{"system:nodes"}}, "another name"),
		"what a kubelet serves with": request("kubernetes.io/kubelet-serving", pkix.Name{CommonName: "system:node:n", Organization: []string{"system:nodes"}}, "another name"),
		"a signer of others":         request("example.com/mesh", pkix.Name{CommonName: "web"}, ""),
		"no base64":                  raw("%", "cannot be read: decoding base64"),
		"no PEM":                     raw(base64.StdEncoding.EncodeToString([]byte("x")), "cannot be read: it is not one PEM block"),
		"no PKCS#10":                 raw(base64.StdEncoding.EncodeToString([]byte("-----BEGIN CERTIFICATE REQUEST-----\neA==\n-----END CERTIFICATE REQUEST-----\n")), "cannot be read: parsing PKCS#10"),
	})
}

const client = "kubernetes.io/kube-apiserver-client"

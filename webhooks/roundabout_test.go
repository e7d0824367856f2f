package webhooks_test

import (
	"maps"
	"slices"
	"testing"
)

// oneFieldEach lets the agent change one field of each of several kinds.
const oneFieldEach = `
enforcement: Enforce
subjects: [AGENT]
tasks:
- name: roll-images
  scope:
    resourceRules: [{apiGroups: [apps], resources: [deployments], operations: [UPDATE]}]
    namespaces: [NAMESPACE]
    fields: ["spec.template.spec.containers[*].image", "spec.template.spec.initContainers[*].image"]
- name: patch-pods
  scope:
    resourceRules: [{apiGroups: [""], resources: [pods], operations: [UPDATE]}]
    namespaces: [NAMESPACE]
- name: note
  scope:
    resourceRules:
    - {apiGroups: [networking.k8s.io], resources: [networkpolicies], operations: [UPDATE]}
    - {apiGroups: [autoscaling], resources: [horizontalpodautoscalers], operations: [UPDATE]}
    - {apiGroups: [apps], resources: [deployments], operations: [UPDATE]}
    namespaces: [NAMESPACE]
    fields: ["metadata.annotations[\"note\"]"]
- name: note-namespaces
  scope:
    resourceRules: [{apiGroups: [""], resources: [namespaces], operations: [UPDATE], resourceNames: [NAMESPACE]}]
- name: change-roles
  scope:
    resourceRules: [{apiGroups: [rbac.authorization.k8s.io], resources: [roles], operations: [UPDATE]}]
    namespaces: [NAMESPACE]
`

// roundaboutObjects are what the tasks are about.
const roundaboutObjects = `
{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: NAMESPACE}, spec: {schedulerName: nobody, containers: [{name: c, image: "c:1"}]}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: NAMESPACE, annotations: {note: a, kubectl.kubernetes.io/last-applied-configuration: "{}"}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      initContainers: [{name: one, image: "i:1"}, {name: two, image: "i:1"}]
      containers: [{name: web, image: "web:1", env: [{name: A, value: "1"}]}]
---
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: closed, namespace: NAMESPACE}, spec: {podSelector: {}, policyTypes: [Ingress], ingress: []}}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web, namespace: NAMESPACE}
spec: {maxReplicas: 3, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: absent}}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: there, namespace: NAMESPACE}, rules: []}
`

const (
	apps    = "/apis/apps/v1/namespaces/NAMESPACE/"
	toImage = `{"op":"replace","path":"/spec/template/spec/containers/0/image","value":"web:2"}`
)

// roundabouts are requests that look like what a task covers, and are more than that.
var roundabouts = map[string]attempt{
	"a second value for one variable": {
		run:     `patch deployment web --type=json -p [` + toImage + `,{"op":"add","path":"/spec/template/spec/containers/0/env/-","value":{"name":"A","value":"2"}}]`,
		reasons: "FieldOutOfScope", says: ".env", object: apps + "deployments/web",
		harmless: `patch deployment web --type=json -p [` + toImage + `]`,
	},
	"init containers in another order": {
		run:     `patch deployment web --type=json -p [{"op":"move","from":"/spec/template/spec/initContainers/1","path":"/spec/template/spec/initContainers/0"}]`,
		reasons: "FieldOutOfScope", says: "initContainers", object: apps + "deployments/web",
		harmless: "set image deployment/web two=i:2",
	},
	"no peer becomes every peer": {
		run:     `patch networkpolicy closed --type=merge -p {"metadata":{"annotations":{"note":"b"}},"spec":{"ingress":[{}]}}`,
		reasons: "FieldOutOfScope", says: "spec.ingress", object: "/apis/networking.k8s.io/v1/namespaces/NAMESPACE/networkpolicies/closed",
		harmless: `patch networkpolicy closed --type=merge -p {"metadata":{"annotations":{"note":"b"}}}`,
	},
	"what was applied last": {
		run: `patch deployment web --type=merge -p {"metadata":{"annotations":{"note":"b",` +
			`"kubectl.kubernetes.io/last-applied-configuration":"{\"spec\":{\"replicas\":2}}"}}}`,
		reasons: "FieldOutOfScope", says: "last-applied-configuration", object: apps + "deployments/web",
		harmless: `patch deployment web --type=merge -p {"metadata":{"annotations":{"note":"b"}}}`,
	},
	"who applied what": {
		run:     `patch deployment web --type=json -p [{"op":"replace","path":"/metadata/managedFields","value":[{}]}]`,
		reasons: "FieldOutOfScope", says: "metadata.managedFields", object: apps + "deployments/web",
	},
	"everything that is there, applied": {
		run: "apply --server-side --force-conflicts -f -", reasons: "FieldOutOfScope", says: "metadata.managedFields", object: apps + "deployments/web",
		input: "{apiVersion: apps/v1, kind: Deployment, metadata: {name: web}, spec: {replicas: 2}}",
	},
	"an older version of the kind": {
		run:     `patch horizontalpodautoscalers.v1.autoscaling web --type=merge -p {"metadata":{"annotations":{"note":"b"}}}`,
		reasons: "VersionNotPreferred", says: "autoscaling/v2", object: "/apis/autoscaling/v2/namespaces/NAMESPACE/horizontalpodautoscalers/web",
		harmless: `patch horizontalpodautoscalers.v2.autoscaling web --type=merge -p {"metadata":{"annotations":{"note":"b"}}}`,
	},
	"metadata by the status": {
		run:     `patch deployment web --subresource=status --type=merge -p {"metadata":{"annotations":{"note":"c"}}}`,
		reasons: "ActionOutOfScope", says: "update status of deployment", object: apps + "deployments/web",
		harmless: `patch deployment web --type=merge -p {"metadata":{"annotations":{"note":"c"}}}`,
	},
	"replicas by the scale": {
		run: "scale deployment web --replicas=0", reasons: "FieldOutOfScope", says: "spec.replicas", object: apps + "deployments/web",
	},
	"finalizing a namespace": {
		run:     "replace --raw /api/v1/namespaces/NAMESPACE/finalize -f -",
		input:   `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"NAMESPACE"},"spec":{"finalizers":[]}}`,
		reasons: "ActionOutOfScope", says: "update finalize of namespace", object: core + "NAMESPACE",
		harmless: "annotate namespace NAMESPACE note=b",
	},
	"an ephemeral container": {
		run:     `patch pod p --subresource=ephemeralcontainers -p {"spec":{"ephemeralContainers":[{"name":"e","image":"e:1"}]}}`,
		reasons: "ActionOutOfScope", says: "update ephemeralcontainers of pod", object: core + "NAMESPACE/pods/p",
		harmless: "set image pod/p c=c:2",
	},
	"a session, by GET": {run: "get --raw /api/v1/namespaces/NAMESPACE/pods/p/exec?command=id", reasons: "ActionOutOfScope", says: "exec into pod"},
	"a name that would be a line of the refusal": {
		run: "get --raw /api/v1/namespaces/NAMESPACE/pods/p%1b[2K%0Anext:%20GRANTED/exec", reasons: "TargetUnknown", says: `p\u001b[2K\u000anext: GRANTED: `,
	},
	"a proxy, by GET": {run: "get --raw /api/v1/namespaces/NAMESPACE/pods/p:8080/proxy/stop", reasons: "ActionOutOfScope", says: "proxy to pod"},
	"a token of its own, by a dry run": {
		run: "create --raw /api/v1/namespaces/NAMESPACE/serviceaccounts/agent/token?dryRun=All -f -", reasons: "ActionOutOfScope",
		input: `{"apiVersion":"authentication.k8s.io/v1","kind":"TokenRequest","spec":{}}`, says: "create token of serviceaccount",
	},
	"PUT of what is not there": {
		run: "replace --raw " + rbac + "namespaces/NAMESPACE/roles/absent -f -", reasons: "ActionOutOfScope", says: "create role",
		input:  `{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"Role","metadata":{"name":"absent"},"rules":[]}`,
		object: rbac + "namespaces/NAMESPACE/roles/absent", harmless: "replace --raw " + rbac + "namespaces/NAMESPACE/roles/there -f -",
		harmlessInput: `{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"Role","metadata":{"name":"there"},"rules":[{"apiGroups":[""],"resources":["pods"],"verbs":["get"]}]}`,
	},
	"apply of what is not there": {
		run: "apply --server-side -f -", reasons: "ActionOutOfScope", says: "create role", object: rbac + "namespaces/NAMESPACE/roles/absent",
		input: "{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: absent}, rules: []}",
	},
}

// TestRoundabouts has an agent with narrow tasks try what looks like them.
func TestRoundabouts(t *testing.T) {
	f := newFence(t, roundaboutObjects, oneFieldEach)
	for _, name := range slices.Sorted(maps.Keys(roundabouts)) {
		t.Run(name, func(t *testing.T) { f.check(t, roundabouts[name]) })
	}
}

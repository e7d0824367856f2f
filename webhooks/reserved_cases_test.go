package webhooks_test

// fenceReleased are objects of a release of Countersign.
const fenceReleased = `
{apiVersion: v1, kind: Namespace, metadata: {name: countersign-system}}
---
{apiVersion: v1, kind: ServiceAccount, metadata: {name: default, namespace: countersign-system}}
---
{apiVersion: v1, kind: Pod, metadata: {name: operator, namespace: countersign-system}, spec: {schedulerName: nobody, containers: [{name: c, image: "c:1"}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: webhook, namespace: countersign-system}, spec: {ports: [{port: 443}]}}
---
{apiVersion: coordination.k8s.io/v1, kind: Lease, metadata: {name: fenced, namespace: countersign-system}, spec: {holderIdentity: a}}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: countersign-approver}, rules: [{apiGroups: [countersign.dev], resources: [actionapprovals], verbs: [get, approve]}]}
`

// fenceObjects are objects of others, for one test.
const fenceObjects = `
{apiVersion: v1, kind: ServiceAccount, metadata: {name: deployer, namespace: NAMESPACE}}
---
{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: NAMESPACE}, spec: {serviceAccountName: agent, schedulerName: nobody, containers: [{name: c, image: "c:1"}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: web, namespace: NAMESPACE}, spec: {ports: [{port: 443}]}}
---
{apiVersion: v1, kind: Secret, metadata: {name: plain, namespace: NAMESPACE}}
---
{apiVersion: v1, kind: Secret, metadata: {name: tokens, namespace: NAMESPACE, annotations: {kubernetes.io/service-account.name: default}}, type: kubernetes.io/service-account-token}
---
{apiVersion: coordination.k8s.io/v1, kind: Lease, metadata: {name: fenced, namespace: NAMESPACE}, spec: {holderIdentity: a}}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: NAMESPACE-tokens}, rules: [{apiGroups: [""], resources: [serviceaccounts/token], verbs: [create]}]}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: NAMESPACE-reader}, rules: [{apiGroups: [""], resources: [pods], verbs: [get]}]}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: standing, namespace: NAMESPACE}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: NAMESPACE-tokens}, subjects: [{kind: User, name: alice}, {kind: User, name: bob}]}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.NAMESPACE.example.com}
spec: {group: NAMESPACE.example.com, scope: Namespaced, names: {plural: things, kind: Thing}, versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]}
`

const (
	core = "/api/v1/namespaces/"
	rbac = "/apis/rbac.authorization.k8s.io/v1/"
	flow = "/apis/flowcontrol.apiserver.k8s.io/v1/"
)

// reservedOwn are ways to change what Countersign rests on.
var reservedOwn = map[string]attempt{
	"its policies": {
		run: "delete aap p-NAMESPACE", says: "own objects", object: "/apis/countersign.dev/v1alpha1/agentactionpolicies/p-NAMESPACE",
	},
	"its policies, by status": {
		run:  `patch aap p-NAMESPACE --subresource=status --type=merge -p {"status":{"observedGeneration":9}}`,
		says: "own objects",
	},
	"a pod in its namespace": {
		run: "delete pod operator -n countersign-system", says: "own namespace", object: core + "countersign-system/pods/operator",
		harmless: "delete pod p-gone -n NAMESPACE --ignore-not-found",
	},
	"an ephemeral container there": {
		run: `patch pod operator -n countersign-system --subresource=ephemeralcontainers -p ` +
			`{"spec":{"ephemeralContainers":[{"name":"e","image":"e:1"}]}}`,
		says: "own namespace", object: core + "countersign-system/pods/operator",
		harmless: `patch pod p --subresource=ephemeralcontainers -p {"spec":{"ephemeralContainers":[{"name":"e","image":"e:1"}]}}`,
	},
	"a session there, by GET": {
		run: "get --raw /api/v1/namespaces/countersign-system/pods/operator/exec?command=id", says: "own namespace",
		harmless: "get --raw /api/v1/namespaces/NAMESPACE/pods/p/exec?command=id", reaches: true,
	},
	"a proxy to its service, by GET": {
		run: "get --raw /api/v1/namespaces/countersign-system/services/https:webhook:443/proxy/metrics", says: "own namespace",
		harmless: "get --raw /api/v1/namespaces/NAMESPACE/services/https:web:443/proxy/metrics", reaches: true,
	},
	"a proxy to its service, by POST": {
		run: "create --raw /api/v1/namespaces/countersign-system/services/https:webhook:443/proxy/actions -f -", input: "{}", says: "own namespace",
		harmless: "create --raw /api/v1/namespaces/NAMESPACE/services/https:web:443/proxy/actions -f -", harmlessInput: "{}", reaches: true,
	},
	"a lease there": {
		run:  `patch lease fenced -n countersign-system --type=merge -p {"spec":{"holderIdentity":"agent"}}`,
		says: "own namespace", object: "/apis/coordination.k8s.io/v1/namespaces/countersign-system/leases/fenced",
		harmless: `patch lease fenced --type=merge -p {"spec":{"holderIdentity":"agent"}}`,
	},
	"its namespace": {
		run: "label namespace countersign-system a=b", says: "own namespace", object: core + "countersign-system",
		harmless: "label namespace NAMESPACE a=b",
	},
	"finalizing its namespace": {
		run:   "replace --raw /api/v1/namespaces/countersign-system/finalize -f -",
		input: `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"countersign-system"},"spec":{"finalizers":[]}}`,
		says:  "own namespace", object: core + "countersign-system",
	},
	"its definitions": {
		run: `patch crd actionapprovals.countersign.dev --type=json -p ` +
			`[{"op":"remove","path":"/spec/versions/0/subresources/status"}]`,
		says: "own resource definitions", object: "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/actionapprovals.countersign.dev",
		harmless: "annotate crd things.NAMESPACE.example.com a=b",
	},
	"deleting its definitions": {
		run: "delete crd agentactionpolicies.countersign.dev", says: "own resource definitions",
		object: "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/agentactionpolicies.countersign.dev",
	},
	"who serves its API": {
		run:  "label apiservice v1alpha1.countersign.dev kube-aggregator.kubernetes.io/automanaged-",
		says: "serves Countersign's API", object: "/apis/apiregistration.k8s.io/v1/apiservices/v1alpha1.countersign.dev",
		harmless: "create --dry-run=server -f -",
		harmlessInput: "{apiVersion: apiregistration.k8s.io/v1, kind: APIService, metadata: {name: v1.NAMESPACE-b.example.com}, spec: {" +
			"group: NAMESPACE-b.example.com, version: v1, groupPriorityMinimum: 1, versionPriority: 1, service: {namespace: NAMESPACE, name: web}}}",
	},
	"who says who may approve": {
		run: `patch apiservice v1.authorization.k8s.io --type=merge -p ` +
			`{"spec":{"insecureSkipTLSVerify":true,"service":{"namespace":"NAMESPACE","name":"web"}}}`,
		says: "the APIs of the API server itself", object: "/apis/apiregistration.k8s.io/v1/apiservices/v1.authorization.k8s.io",
	},
	"the owner of its webhooks": {
		run: "delete clusterrole countersign-anchor", says: "rights of Countersign", object: rbac + "clusterroles/countersign-anchor",
		harmless: "delete clusterrole NAMESPACE-gone --ignore-not-found",
	},
	"its rights": {
		run:  `patch clusterrole countersign-approver --type=merge -p {"rules":[]}`,
		says: "rights of Countersign", object: rbac + "clusterroles/countersign-approver",
	},
	"the flow of its requests": {
		run: "create -f -", says: "starved", object: flow + "flowschemas/NAMESPACE-starving",
		input: "{apiVersion: flowcontrol.apiserver.k8s.io/v1, kind: FlowSchema, metadata: {name: NAMESPACE-starving}, spec: {priorityLevelConfiguration: {name: catch-all}, " +
			"rules: [{subjects: [{kind: ServiceAccount, serviceAccount: {namespace: countersign-system, name: \"*\"}}], resourceRules: [{verbs: [\"*\"], apiGroups: [\"*\"], resources: [\"*\"], clusterScope: true, namespaces: [\"*\"]}]}]}}",
		harmless: "create -f -",
		harmlessInput: "{apiVersion: flowcontrol.apiserver.k8s.io/v1, kind: FlowSchema, metadata: {name: NAMESPACE-own}, spec: {priorityLevelConfiguration: {name: catch-all}, " +
			"rules: [{subjects: [{kind: ServiceAccount, serviceAccount: {namespace: NAMESPACE, name: \"*\"}}], resourceRules: [{verbs: [\"*\"], apiGroups: [\"*\"], resources: [\"*\"], clusterScope: true, namespaces: [\"*\"]}]}]}}",
	},
	"the level of its requests": {
		run:  `patch prioritylevelconfiguration workload-low --type=merge -p {"spec":{"limited":{"nominalConcurrencyShares":1}}}`,
		says: "starved", object: flow + "prioritylevelconfigurations/workload-low",
	},
}

// reservedIdentities are ways to act as somebody else.
var reservedIdentities = map[string]attempt{
	"a token of another account": {
		run: "create token deployer", says: "another account than its own", harmless: "create token agent",
	},
	"a token by a dry run": {
		run:   "create --raw /api/v1/namespaces/NAMESPACE/serviceaccounts/deployer/token?dryRun=All -f -",
		input: `{"apiVersion":"authentication.k8s.io/v1","kind":"TokenRequest","spec":{}}`, says: "a dry run issues the token too",
		harmless:      "create --raw /api/v1/namespaces/NAMESPACE/serviceaccounts/agent/token?dryRun=All -f -",
		harmlessInput: `{"apiVersion":"authentication.k8s.io/v1","kind":"TokenRequest","spec":{}}`,
	},
	"a token of another pod": {
		run:  "create token agent --bound-object-kind=Pod --bound-object-name=p --bound-object-uid=PODUID",
		says: "another pod than the one", harmless: "create token agent --bound-object-kind=Secret --bound-object-name=plain",
	},
	"a Secret for tokens": {
		run: "create -f -", says: "Secrets of type", object: core + "NAMESPACE/secrets/new",
		input:    "{apiVersion: v1, kind: Secret, metadata: {name: new, annotations: {kubernetes.io/service-account.name: deployer}}, type: kubernetes.io/service-account-token}",
		harmless: "create -f -", harmlessInput: "{apiVersion: v1, kind: Secret, metadata: {name: opaque, annotations: {kubernetes.io/service-account.name: deployer}}}",
	},
	"a Secret for tokens, by apply": {
		run: "apply --server-side -f -", says: "Secrets of type", object: core + "NAMESPACE/secrets/applied",
		input: "{apiVersion: v1, kind: Secret, metadata: {name: applied, annotations: {kubernetes.io/service-account.name: deployer}}, type: kubernetes.io/service-account-token}",
	},
	"a change of such a Secret": {
		run: "annotate secret tokens kubernetes.io/service-account.uid- a=b", says: "Secrets of type", object: core + "NAMESPACE/secrets/tokens",
		harmless: "annotate secret plain a=b",
	},
	"a Secret for a node that joins": {
		run: "create -n kube-system -f -", says: "taken for a node", object: core + "kube-system/secrets/bootstrap-token-abcdef",
		input: "{apiVersion: v1, kind: Secret, metadata: {name: bootstrap-token-abcdef}, type: bootstrap.kubernetes.io/token}",
	},
	"a kubelet, by GET": {
		run: "get --raw /api/v1/nodes/none/proxy/pods", says: "kubelets",
		harmless: "get --raw /api/v1/namespaces/NAMESPACE/pods/p/proxy/pods", reaches: true,
	},
	"a kubelet, by POST": {
		run: "create --raw /api/v1/nodes/none/proxy/run/NAMESPACE/p/c -f -", input: "{}", says: "kubelets",
		harmless: "create --raw /api/v1/namespaces/NAMESPACE/pods/p/proxy/run -f -", harmlessInput: "{}", reaches: true,
	},
	"a kubelet, by PUT":    {run: "replace --raw /api/v1/nodes/none/proxy/x -f -", input: "{}", says: "kubelets"},
	"a kubelet, by DELETE": {run: "delete --raw /api/v1/nodes/none/proxy/x", says: "kubelets"},
}

// reservedRights are ways to have rights that reach around Countersign.
var reservedRights = map[string]attempt{
	"impersonation": {
		run: "create -f -", says: "act as somebody else", object: rbac + "clusterroles/NAMESPACE-new",
		input:    "{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: NAMESPACE-new}, rules: [{apiGroups: [\"\"], resources: [users], verbs: [impersonate]}]}",
		harmless: "create -f -", harmlessInput: "{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: NAMESPACE-ordinary}, rules: [{apiGroups: [\"\"], resources: [pods], verbs: [create]}]}",
	},
	"tokens, by PUT of what is not there": {
		run: "replace --raw " + rbac + "namespaces/NAMESPACE/roles/put -f -", says: "create tokens", object: rbac + "namespaces/NAMESPACE/roles/put",
		input:         `{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"Role","metadata":{"name":"put"},"rules":[{"apiGroups":[""],"resources":["*"],"verbs":["create"]}]}`,
		harmless:      "replace --raw " + rbac + "namespaces/NAMESPACE/roles/put -f -",
		harmlessInput: `{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"Role","metadata":{"name":"put"},"rules":[{"apiGroups":[""],"resources":["pods"],"verbs":["create"]}]}`,
	},
	"approving, by apply": {
		run: "apply --server-side -f -", says: "approve what agents ask for", object: rbac + "namespaces/NAMESPACE/roles/applied",
		input:    "{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: applied}, rules: [{apiGroups: [\"*\"], resources: [\"*\"], verbs: [\"*\"]}]}",
		harmless: "apply --server-side -f -", harmlessInput: "{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: applied}, rules: [{apiGroups: [apps], resources: [\"*\"], verbs: [\"*\"]}]}",
	},
	"one rule more": {
		run:  `patch clusterrole NAMESPACE-reader --type=json -p [{"op":"add","path":"/rules/-","value":{"apiGroups":["rbac.authorization.k8s.io"],"resources":["clusterroles"],"verbs":["bind"]}}]`,
		says: "rights that one does not have", object: rbac + "clusterroles/NAMESPACE-reader",
		harmless: `patch clusterrole NAMESPACE-reader --type=json -p [{"op":"add","path":"/rules/-","value":{"apiGroups":[""],"resources":["services"],"verbs":["get"]}}]`,
	},
	"aggregation by a label": {
		run:  "label clusterrole NAMESPACE-tokens rbac.authorization.k8s.io/aggregate-to-NAMESPACE=true",
		says: "create tokens", object: rbac + "clusterroles/NAMESPACE-tokens",
		harmless: "label clusterrole NAMESPACE-reader rbac.authorization.k8s.io/aggregate-to-NAMESPACE=true",
	},
	"aggregation by a rule": {
		run:  `patch clusterrole NAMESPACE-reader --type=merge -p {"aggregationRule":{"clusterRoleSelectors":[{"matchLabels":{"kubernetes.io/bootstrapping":"rbac-defaults"}}]}}`,
		says: "filled with the rules of others", object: rbac + "clusterroles/NAMESPACE-reader",
	},
	"cluster-admin for somebody": {
		run: "create clusterrolebinding NAMESPACE-new --clusterrole=cluster-admin --user=mallory", says: "cluster-admin, which grants the right to",
		object:   rbac + "clusterrolebindings/NAMESPACE-new",
		harmless: "create clusterrolebinding NAMESPACE-view --clusterrole=view --user=mallory",
	},
	"edit for somebody": {
		run: "create rolebinding new --clusterrole=edit --user=mallory", says: "edit, which grants the right to",
		object: rbac + "namespaces/NAMESPACE/rolebindings/new", harmless: "create rolebinding view --clusterrole=view --user=mallory",
	},
	"an approver more": {
		run: "create rolebinding approver --clusterrole=countersign-approver --user=mallory", says: "approve what agents ask for",
		object: rbac + "namespaces/NAMESPACE/rolebindings/approver",
	},
	"a role that is not there": {
		run: "create rolebinding early --role=later --user=mallory", reasons: "TargetUnknown", says: "reading roles",
		object:   rbac + "namespaces/NAMESPACE/rolebindings/early",
		harmless: "delete rolebinding early --ignore-not-found",
	},
	"itself": {
		run: "create rolebinding itself --clusterrole=view --serviceaccount=NAMESPACE:agent", says: "itself",
		object: rbac + "namespaces/NAMESPACE/rolebindings/itself", harmless: "create rolebinding another --clusterrole=view --serviceaccount=NAMESPACE:default",
	},
	"one subject more": {
		run:  `patch rolebinding standing --type=json -p [{"op":"add","path":"/subjects/-","value":{"apiGroup":"rbac.authorization.k8s.io","kind":"User","name":"mallory"}}]`,
		says: "create tokens", object: rbac + "namespaces/NAMESPACE/rolebindings/standing",
		harmless: `patch rolebinding standing --type=json -p [{"op":"remove","path":"/subjects/1"}]`,
	},
}

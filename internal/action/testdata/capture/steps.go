package main

// step is what an agent does, recorded. People act before it, and are not recorded.
type step struct {
	name   string
	people string
	agent  string
	// twice has the agent try twice, and be refused at the first time; never refuses it at the second too. All reviews
	// are those of one action.
	twice, never bool
	// fails says that the command fails after its review, for want of a kubelet.
	fails bool
}

const deployment = `
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  namespace: shop
  labels: {app: web, team: shop}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        image: registry.example.com/web:IMAGE
        ports: [{containerPort: 8080}, {containerPort: 9090, name: metrics}]
        env: [{name: LEVEL, value: ""}, {name: PASSPHRASE, value: open-sesame}]
        resources: {requests: {cpu: 1000m, memory: 64Mi}}
        volumeMounts: [{name: cache, mountPath: /cache}]
      - name: proxy
        image: registry.example.com/proxy:1.0
      volumes: [{name: cache, emptyDir: {}}]
`

// apply pipes a manifest with an image into a command.
func apply(image, command string) string {
	return "sed s/IMAGE/" + image + "/ <<'END' | " + command + deployment + "END\n"
}

// serverSide applies without kubectl, which would first move the ownership of what was applied before.
const serverSide = `curl -sSfk -H "Authorization: Bearer $TOKEN" -H Content-Type:application/apply-patch+yaml -X PATCH --data-binary @- "$URL/apis/apps/v1/namespaces/shop/deployments/web?fieldManager=deploy-tool&force=true"`

var steps = []step{
	{name: "deployment-create", agent: apply("1.0", "kubectl create -f -"), twice: true},
	{name: "deployment-delete", agent: "kubectl -n shop delete deployment web --cascade=foreground", twice: true},
	{name: "deployment-apply", agent: apply("1.0", "kubectl apply -f -"), twice: true, people: "sleep 2"},
	{name: "deployment-apply-image", agent: apply("1.1", "kubectl apply -f -"), twice: true,
		people: "kubectl -n shop rollout status --timeout=60s deployment web"},
	{name: "deployment-apply-nothing", agent: apply("1.1", "kubectl apply -f - && kubectl -n shop label deployment web team=shop")},
	{name: "deployment-set-image", agent: "kubectl -n shop set image deployment web web=registry.example.com/web:1.2",
		people: "kubectl -n shop rollout status --timeout=60s deployment web"},
	{name: "deployment-serverside", agent: apply("1.3", serverSide)},
	{name: "deployment-serverside-again", agent: apply("1.4", serverSide),
		people: "kubectl -n shop rollout status --timeout=60s deployment web"},
	{name: "deployment-scale", agent: "kubectl -n shop scale deployment web --replicas=5", twice: true},
	{name: "deployment-patch-replicas", agent: `kubectl -n shop patch deployment web -p '{"spec":{"replicas":5}}'`,
		people: "kubectl -n shop scale deployment web --replicas=3"},
	{name: "deployment-scale-zero", agent: "kubectl -n shop scale deployment web --replicas=0"},
	{name: "deployment-restart", agent: "kubectl -n shop rollout restart deployment web", twice: true},
	{name: "deployment-service-account", agent: "kubectl -n shop set serviceaccount deployment web deployer", people: "kubectl -n shop create serviceaccount deployer"},
	{name: "deployment-status", agent: `kubectl -n shop patch deployment web --subresource=status --type=merge -p '{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"ConfigMap","name":"x","uid":"6f1b2f04-5c4c-4d1a-8a0c-2f7f6c0a1b2c"}]}}'`,
		people: "kubectl -n shop scale deployment web --replicas=2 && kubectl -n shop rollout status --timeout=60s deployment web", fails: true, twice: true, never: true},

	{name: "deployment-finalizer", agent: `kubectl -n shop patch deployment web --type=merge -p '{"metadata":{"finalizers":["example.com/hold"]}}'`, twice: true, never: true, fails: true},

	{name: "service-create", agent: "kubectl -n shop create service nodeport web --tcp=80:8080 --tcp=443:8443", twice: true},
	{name: "service-put-create", agent: `printf '{"apiVersion":"v1","kind":"Service","metadata":{"name":"put"},"spec":{"clusterIP":"10.0.0.77","ports":[{"port":80}]}}' | CURL -X PUT "$URL/api/v1/namespaces/shop/services/put" -d @-`, fails: true},
	{name: "service-expose", agent: `kubectl -n shop patch service inner -p '{"spec":{"type":"NodePort"}}'`, twice: true,
		people: "kubectl -n shop get service inner || kubectl -n shop create service clusterip inner --tcp=80:8080"},

	{name: "job-generated", twice: true, agent: `kubectl create -f - <<'END'
{"apiVersion":"batch/v1","kind":"Job","metadata":{"generateName":"migrate-","namespace":"shop"},"spec":{"template":{"spec":{"restartPolicy":"Never","containers":[{"name":"c","image":"registry.example.com/migrate:1"}]}}}}
END
`},
	{name: "cronjob-create", agent: "kubectl -n shop create cronjob nightly --schedule='0 2 * * *' --image=registry.example.com/nightly:1"},
	{name: "pod-create", twice: true, agent: `kubectl create -f - <<'END'
{"apiVersion":"v1","kind":"Pod","metadata":{"name":"box","namespace":"shop","labels":{"app":"box"}},"spec":{"containers":[{"name":"c","image":"registry.example.com/box:1","volumeMounts":[{"name":"kube-api-access-zzzzz","mountPath":"/x"}]},{"name":"d","image":"registry.example.com/box:1"}],"volumes":[{"name":"kube-api-access-zzzzz","emptyDir":{}}]}}
END
`},
	{name: "pod-run", agent: "kubectl -n shop run plain --image=registry.example.com/box:1", twice: true},
	{name: "pod-exec", people: "kubectl -n shop wait --for=condition=Ready pod/box", agent: "kubectl -n shop exec box -c c -- id", fails: true},
	{name: "pod-proxy", agent: `CURL "$URL/api/v1/namespaces/shop/pods/https:box:8443/proxy/healthz"`, fails: true},
	{name: "service-proxy", agent: `CURL "$URL/api/v1/namespaces/shop/services/web:80/proxy/healthz"`, fails: true},
	{name: "node-proxy", agent: `CURL "$URL/api/v1/nodes/$(kubectl get nodes -o jsonpath='{.items[0].metadata.name}')/proxy/pods"`, fails: true},
	{name: "pod-debug", agent: "kubectl -n shop debug box --image=registry.example.com/debug:1", fails: true},
	{name: "pod-evict", agent: `printf '{"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"box","namespace":"shop"}}' | CURL "$URL/api/v1/namespaces/shop/pods/box/eviction" -d @-`, twice: true, fails: true},
	{name: "pod-delete-evict", people: "kubectl -n shop wait --for=delete pod/box; kubectl -n shop run both --image=registry.example.com/box:1 && kubectl -n shop wait --for=condition=Ready pod/both",
		agent: `kubectl -n shop delete pod both --wait=false || printf '{"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"both","namespace":"shop"},"deleteOptions":{"gracePeriodSeconds":30}}' | CURL "$URL/api/v1/namespaces/shop/pods/both/eviction" -d @-`, twice: true, never: true, fails: true},
	{name: "pod-delete", people: "kubectl -n shop wait --for=delete pod/box; kubectl -n shop run box --image=registry.example.com/box:1 && kubectl -n shop wait --for=condition=Ready pod/box",
		agent: "kubectl -n shop delete pod box --wait=false"},
	{name: "pod-force", people: "kubectl -n shop run box2 --image=registry.example.com/box:1 && kubectl -n shop wait --for=condition=Ready pod/box2",
		agent: "kubectl -n shop delete pod box2 --force --grace-period=0"},
	{name: "pod-unscheduled", people: `kubectl -n shop run late --image=x --overrides='{"spec":{"schedulerName":"nobody"}}'`,
		agent: "kubectl -n shop delete pod late"},
	{name: "pod-binding", people: `kubectl -n shop run b1 --image=x --overrides='{"spec":{"schedulerName":"nobody"}}'; kubectl -n shop run b2 --image=x --overrides='{"spec":{"schedulerName":"nobody"}}'`,
		agent: `for path in pods/b1/binding bindings; do printf '{"apiVersion":"v1","kind":"Binding","metadata":{"name":"b1"},"target":{"kind":"Node","name":"nowhere"}}' | CURL "$URL/api/v1/namespaces/shop/$path" -d @- || true; kubectl -n shop get pod b1 -o name >/dev/null; done`, twice: true, never: true, fails: true},
	{name: "collection-delete", people: "for i in 1 2; do kubectl -n shop create configmap c$i --from-literal=k=$i; kubectl -n shop label configmap c$i drop=yes; done",
		agent: `CURL -X DELETE "$URL/api/v1/namespaces/shop/configmaps?labelSelector=drop=yes"`},
	{name: "secret-apply", twice: true, agent: `kubectl apply -f - <<'END'
{"apiVersion":"v1","kind":"Secret","metadata":{"name":"db","namespace":"shop"},"stringData":{"password":"hunter2"}}
END
`},
	{name: "secret-apply-change", agent: `kubectl apply -f - <<'END'
{"apiVersion":"v1","kind":"Secret","metadata":{"name":"db","namespace":"shop"},"stringData":{"password":"hunter3"}}
END
`},
	{name: "token-create", agent: "kubectl -n shop create token default", twice: true},
	{name: "csr-create", twice: true, agent: `test -s "$WORK/csr" || openssl req -new -newkey rsa:2048 -nodes -keyout /dev/null -subj /CN=someone -out "$WORK/csr"
kubectl create -f - <<END
{"apiVersion":"certificates.k8s.io/v1","kind":"CertificateSigningRequest","metadata":{"name":"someone"},"spec":{"request":"$(base64 -w0 "$WORK/csr")","signerName":"kubernetes.io/kube-apiserver-client","usages":["client auth"]}}
END
`},
	{name: "csr-approve", agent: "kubectl certificate approve someone"},
	{name: "hpa-v1", agent: `printf '{"apiVersion":"autoscaling/v1","kind":"HorizontalPodAutoscaler","metadata":{"name":"web","namespace":"shop"},"spec":{"maxReplicas":4,"scaleTargetRef":{"apiVersion":"apps/v1","kind":"Deployment","name":"web"}}}' | kubectl create --validate=false -f -`},
	{name: "namespace-label", agent: "kubectl label namespace shop tier=gold"},
	{name: "gadget-scale", people: crd + `
kubectl wait --for=condition=Established crd/gadgets.example.com
kubectl -n shop create -f - <<'END'
{"apiVersion":"example.com/v1","kind":"Gadget","metadata":{"name":"g","namespace":"shop"},"spec":{"size":{"count":2},"big":12345678901234567890,"pi":3.10}}
END
`, agent: "kubectl -n shop scale gadgets.example.com g --replicas=4", twice: true},
	{name: "gadget-patch", people: "kubectl -n shop scale gadgets.example.com g --replicas=2",
		agent: `kubectl -n shop patch gadgets.example.com g --type=merge -p '{"spec":{"size":{"count":4}}}'`},
}

const crd = `kubectl create -f - <<'END'
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: gadgets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: gadgets, singular: gadget, kind: Gadget}
  versions:
  - name: v1
    served: true
    storage: true
    subresources:
      status: {}
      scale: {specReplicasPath: .spec.size.count, statusReplicasPath: .status.count}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec: {type: object, x-kubernetes-preserve-unknown-fields: true}
          status: {type: object, x-kubernetes-preserve-unknown-fields: true}
END
`

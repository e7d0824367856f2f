package webhooks_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/retry"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/internal/operatortest"
)

// images is the policy of most tests: the agent may change images of Deployments, at any time.
const images = `
enforcement: Enforce
subjects: [AGENT]
tasks:
- name: roll-images
  scope:
    resourceRules: [{apiGroups: [apps], resources: [deployments], operations: [UPDATE]}]
    namespaces: [NAMESPACE]
    fields: ["spec.template.spec.containers[*].image"]
`

// TestActions goes through a real API server: what an agent tries arrives at the operator as it does in production.
func TestActions(t *testing.T) {
	e := newEnvironment(t)
	for name, test := range map[string]func(*testing.T, *environment){
		"every route to one change has one hash":      testRoutes,
		"scaling is an update of the workload":        testScale,
		"connecting is an action":                     testConnect,
		"an eviction is a deletion":                   testEviction,
		"a collection is deleted one by one":          testDeleteCollection,
		"generated names":                             testGenerateName,
		"power is handed on only where named":         testGrants,
		"a version that is not preferred":             testVersion,
		"an object too large to judge":                testTooLarge,
		"a person is never asked":                     testPerson,
		"a window that is closed":                     testWindow,
		"Warn and Audit":                              testObserve,
		"a dry run gives the true answer":             testDryRun,
		"a new kind is governed from its first write": testNewKind,
		"identities that look like the agent":         testImpersonation,
		"removing a policy frees its subjects":        testRemoval,
	} {
		t.Run(name, func(t *testing.T) { test(t, e) })
	}
}

// governed is an agent with a policy, and a Deployment to act upon.
func governed(t testing.TB, e *environment, spec string) (namespace string, agent *identity, web *appsv1.Deployment) {
	t.Helper()
	namespace = e.namespace(t)
	agent = e.agent(t, namespace)
	web = deployment(namespace, "web")
	if err := e.admin.Create(t.Context(), web); err != nil {
		t.Fatal(err)
	}
	e.policy(t, namespace, spec)
	e.waitGoverned(t, agent, namespace)
	return namespace, agent, web
}

func deployment(namespace, name string) *appsv1.Deployment {
	labels := map[string]string{"app": name}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: labels},
		Spec: appsv1.DeploymentSpec{
			Replicas: ptr.To[int32](2), Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "web", Image: "web:1"}}},
			},
		},
	}
}

func pod(namespace, name string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{"app": name}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "c:1"}}},
	}
}

func configMap(namespace, name string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{"set": "one"}}}
}

var hashInTail = regexp.MustCompile(`hash=(v1[^\] ]*)`)

// testRoutes makes one forbidden change by every route that clients have.
func testRoutes(t *testing.T, e *environment) {
	namespace, agent, web := governed(t, e, images)
	strategic := `{"spec":{"template":{"spec":{"containers":[{"name":"web","image":"web:2"}]}},"replicas":4}}`
	jsonPatch := `[{"op":"replace","path":"/spec/replicas","value":4},{"op":"replace","path":"/spec/template/spec/containers/0/image","value":"web:2"}]`
	merge := `{"spec":{"replicas":4,"template":{"spec":{"containers":[{"name":"web","image":"web:2","imagePullPolicy":"IfNotPresent",` +
		`"resources":{},"terminationMessagePath":"/dev/termination-log","terminationMessagePolicy":"File"}]}}}}`
	routes := map[string]func(context.Context) error{
		"replace": func(ctx context.Context) error {
			// Controllers still write the object: who replaces it reads it again, as kubectl edit does.
			return retry.RetryOnConflict(retry.DefaultBackoff, func() error {
				changed := &appsv1.Deployment{}
				if err := e.admin.Get(ctx, client.ObjectKeyFromObject(web), changed); err != nil {
					return err
				}
				changed.Spec.Replicas, changed.Spec.Template.Spec.Containers[0].Image = ptr.To[int32](4), "web:2"
				return agent.Update(ctx, changed)
			})
		},
		"strategic": func(ctx context.Context) error {
			return patch(ctx, agent, web, types.StrategicMergePatchType, strategic)
		},
		"json":  func(ctx context.Context) error { return patch(ctx, agent, web, types.JSONPatchType, jsonPatch) },
		"merge": func(ctx context.Context) error { return patch(ctx, agent, web, types.MergePatchType, merge) },
	}
	hashes := map[string][]string{}
	for name, route := range routes {
		err := route(t.Context())
		refused(t, err, "FieldOutOfScope")
		match := hashInTail.FindStringSubmatch(err.Error())
		if match == nil {
			t.Fatalf("%s: no hash in %v", name, err)
		}
		hashes[match[1]] = append(hashes[match[1]], name)
	}
	if len(hashes) != 1 {
		t.Errorf("one change has several hashes: %v", hashes)
	}
	allowed(t, patch(t.Context(), agent, web, types.StrategicMergePatchType, `{"spec":{"template":{"spec":{"containers":[{"name":"web","image":"web:2"}]}}}}`))
	lines := e.operator.DecisionLines(t, namespace)
	if !slices.ContainsFunc(lines, func(l string) bool {
		return strings.Contains(l, `"outcome":"Allow"`) && strings.Contains(l, `"task":"p-`+namespace+`/roll-images"`)
	}) {
		t.Errorf("no line records the allowed action: %v", lines)
	}
	for _, line := range lines {
		if !json.Valid([]byte(line)) {
			t.Errorf("a line of the decision log is not JSON: %s", line)
		}
	}
}

func patch(ctx context.Context, who *identity, o client.Object, kind types.PatchType, body string) error {
	target := o.DeepCopyObject().(client.Object)
	return who.Patch(ctx, target, client.RawPatch(kind, []byte(body)))
}

// scale changes the number of replicas through the scale subresource, as kubectl scale does.
func scale(ctx context.Context, who *identity, o client.Object, replicas int) error {
	target := o.DeepCopyObject().(client.Object)
	body := fmt.Sprintf(`{"spec":{"replicas":%d}}`, replicas)
	return who.Client.SubResource("scale").Patch(ctx, target, client.RawPatch(types.MergePatchType, []byte(body)),
		&client.SubResourcePatchOptions{SubResourceBody: &autoscalingv1.Scale{}})
}

func testScale(t *testing.T, e *environment) {
	_, agent, web := governed(t, e, strings.Replace(images, "spec.template.spec.containers[*].image", "spec.replicas", 1)+
		"    objectSelector: {matchLabels: {app: web}}\n")
	allowed(t, scale(t.Context(), agent, web, 3))
	refused(t, patch(t.Context(), agent, web, types.MergePatchType, `{"spec":{"paused":true}}`), "FieldOutOfScope")
	other := deployment(web.Namespace, "other")
	allowed(t, e.admin.Create(t.Context(), other))
	refused(t, scale(t.Context(), agent, other, 0), "ObjectOutOfScope")
	allowed(t, scale(t.Context(), agent, web, 0))
	if err := e.admin.Get(t.Context(), client.ObjectKeyFromObject(web), web); err != nil || *web.Spec.Replicas != 0 {
		t.Errorf("replicas are %v, want 0 (%v)", *web.Spec.Replicas, err)
	}
}

func testConnect(t *testing.T, e *environment) {
	namespace, agent, _ := governed(t, e, images)
	allowed(t, e.admin.Create(t.Context(), pod(namespace, "p")))
	for _, verb := range []string{http.MethodGet, http.MethodPost} {
		for _, sub := range []string{"exec", "attach", "portforward"} {
			err := agent.CoreV1().RESTClient().Verb(verb).Namespace(namespace).Resource("pods").Name("p").SubResource(sub).
				Param("command", "id").Do(t.Context()).Error()
			refused(t, err, "ActionOutOfScope")
		}
	}
	err := agent.CoreV1().RESTClient().Get().Namespace(namespace).Resource("pods").Name("p").SubResource("proxy").Do(t.Context()).Error()
	refused(t, err, "ActionOutOfScope")
}

func testEviction(t *testing.T, e *environment) {
	namespace, agent, _ := governed(t, e, `
enforcement: Enforce
subjects: [AGENT]
tasks:
- name: restart
  scope:
    resourceRules: [{apiGroups: [""], resources: [pods], operations: [DELETE]}]
    namespaces: [NAMESPACE]
    objectSelector: {matchLabels: {app: mine}}
`)
	for _, name := range []string{"mine", "theirs"} {
		allowed(t, e.admin.Create(t.Context(), pod(namespace, name)))
	}
	evict := func(name string) error {
		return agent.PolicyV1().Evictions(namespace).Evict(t.Context(), &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}})
	}
	refused(t, evict("theirs"), "ObjectOutOfScope")
	refused(t, agent.Delete(t.Context(), pod(namespace, "theirs")), "ObjectOutOfScope")
	allowed(t, evict("mine"))
	err := e.admin.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "mine"}, &corev1.Pod{})
	if client.IgnoreNotFound(err) != nil || err == nil {
		t.Errorf("the evicted pod is still there: %v", err)
	}
	allowed(t, e.admin.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "theirs"}, &corev1.Pod{}))
}

func testDeleteCollection(t *testing.T, e *environment) {
	namespace, agent, _ := governed(t, e, `
enforcement: Enforce
subjects: [AGENT]
tasks:
- name: clean
  scope:
    resourceRules: [{apiGroups: [""], resources: [configmaps], operations: [DELETE], resourceNames: [one]}]
    namespaces: [NAMESPACE]
`)
	for _, name := range []string{"one", "two", "three"} {
		allowed(t, e.admin.Create(t.Context(), configMap(namespace, name)))
	}
	err := agent.DeleteAllOf(t.Context(), &corev1.ConfigMap{}, client.InNamespace(namespace), client.MatchingLabels{"set": "one"})
	refused(t, err, "ObjectOutOfScope")
	for _, name := range []string{"two", "three"} {
		allowed(t, e.admin.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, &corev1.ConfigMap{}))
	}
	// The API server deletes the objects of a collection as they are admitted; the one in scope may be gone already.
	allowed(t, client.IgnoreNotFound(agent.Delete(t.Context(), configMap(namespace, "one"))))
}

func testGenerateName(t *testing.T, e *environment) {
	namespace, agent, _ := governed(t, e, `
enforcement: Enforce
subjects: [AGENT]
tasks:
- name: jobs
  scope:
    resourceRules: [{apiGroups: [batch], resources: [jobs], operations: [CREATE]}]
    namespaces: [NAMESPACE]
`)
	job := func(account string) *batchv1.Job {
		template := corev1.PodTemplateSpec{Spec: corev1.PodSpec{
			RestartPolicy: corev1.RestartPolicyNever, ServiceAccountName: account, Containers: []corev1.Container{{Name: "c", Image: "c:1"}},
		}}
		return &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, GenerateName: "job-"}, Spec: batchv1.JobSpec{Template: template}}
	}
	allowed(t, agent.Create(t.Context(), job("")))
	refused(t, agent.Create(t.Context(), job("deployer")), "ServiceAccountOutOfScope")
}

// testGrants tries what hands on power: the garbage collector deletes for whoever sets an owner, a finalizer holds
// an object, another account runs pods.
func testGrants(t *testing.T, e *environment) {
	_, agent, web := governed(t, e, strings.Replace(images, `    fields: ["spec.template.spec.containers[*].image"]`+"\n", "", 1))
	owner := `{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"ConfigMap","name":"gone","uid":"00000000-0000-0000-0000-000000000000"}]}}`
	for name, body := range map[string]string{
		"owner": owner, "finalizer": `{"metadata":{"finalizers":["example.com/hold"]}}`,
	} {
		err := patch(t.Context(), agent, web, types.MergePatchType, body)
		if refused(t, err, "FieldOutOfScope"); !strings.Contains(err.Error(), "metadata.") {
			t.Errorf("%s: the refusal does not name the field: %v", name, err)
		}
	}
	// The status subresource stores metadata too; no rule of the task names it.
	err := agent.Client.Status().Patch(t.Context(), web.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(owner)))
	refused(t, err, "ActionOutOfScope")
	account := `{"spec":{"template":{"spec":{"serviceAccountName":"deployer"}}}}`
	refused(t, patch(t.Context(), agent, web, types.MergePatchType, account), "ServiceAccountOutOfScope")
	allowed(t, patch(t.Context(), agent, web, types.MergePatchType, `{"spec":{"replicas":3,"minReadySeconds":1}}`))
	allowed(t, e.admin.Get(t.Context(), client.ObjectKeyFromObject(web), web))
}

func testVersion(t *testing.T, e *environment) {
	namespace, agent, _ := governed(t, e, images)
	hpa := &autoscalingv1.HorizontalPodAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "web"},
		Spec: autoscalingv1.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv1.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "web"}, MaxReplicas: 1,
		},
	}
	err := agent.Create(t.Context(), hpa)
	if refused(t, err, "VersionNotPreferred"); !strings.Contains(err.Error(), "autoscaling/v2") {
		t.Errorf("the refusal does not name the version to use: %v", err)
	}
}

func testTooLarge(t *testing.T, e *environment) {
	namespace, agent, _ := governed(t, e, images)
	// Each "<" becomes six bytes in the review, and etcd stores one.
	large := deployment(namespace, "large")
	large.Spec.Template.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "X", Value: strings.Repeat("<", 1_250_000)}}
	err := agent.Create(t.Context(), large.DeepCopy())
	if refused(t, err, "RequestUnreadable"); !strings.Contains(err.Error(), "too large") {
		t.Errorf("the refusal does not say why: %v", err)
	}
	allowed(t, e.person(t, "carol").Create(t.Context(), large))
}

// testPerson counts the calls that the API server made for a person's writes, by its own metrics.
func testPerson(t *testing.T, e *environment) {
	namespace, _, web := governed(t, e, images)
	alice := e.person(t, "alice")
	before := webhookCalls(t, e)
	allowed(t, patch(t.Context(), alice, web, types.MergePatchType, `{"spec":{"replicas":5}}`))
	allowed(t, scale(t.Context(), alice, web, 1))
	allowed(t, alice.Create(t.Context(), pod(namespace, "p")))
	allowed(t, alice.Delete(t.Context(), pod(namespace, "p")))
	allowed(t, alice.Delete(t.Context(), web))
	if after := webhookCalls(t, e); after != before {
		t.Errorf("the API server called the webhook for a person: %q before, %q after", before, after)
	}
}

// webhookCalls is what the API server counts of calls to the action webhooks.
func webhookCalls(t testing.TB, e *environment) string {
	t.Helper()
	person := e.identity(t, "admin", e.plane.Kubeconfig("admin"))
	text, err := person.CoreV1().RESTClient().Get().AbsPath("/metrics").DoRaw(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "apiserver_admission_webhook_request_total") &&
			(strings.Contains(line, `"enforce.countersign.dev"`) || strings.Contains(line, `"observe.countersign.dev"`)) {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}

const closed = `
timeZone: Europe/Berlin
windows: [{name: long-ago, once: {from: "2020-01-01T00:00:00Z", to: "2020-01-02T00:00:00Z"}}, {name: far, once: {from: "2031-01-01T00:00:00Z", to: "2031-01-02T00:00:00Z"}}]
changeWindows: {allowed: [long-ago, far]}
`

func testWindow(t *testing.T, e *environment) {
	namespace, agent, web := governed(t, e, images+closed)
	err := patch(t.Context(), agent, web, types.MergePatchType, `{"spec":{"replicas":5}}`)
	status := refused(t, err, "ChangeWindowClosed", "FieldOutOfScope")
	for _, want := range []string{
		"test-", "may not update deployment " + namespace + "/web now", "next opens 2031-01-01T01:00:00+01:00 (far)",
		"spec.replicas is outside task roll-images, which covers spec.template.spec.containers[*].image",
	} {
		if !strings.Contains(status.Error(), want) {
			t.Errorf("the refusal does not say %q:\n%v", want, status)
		}
	}
	image := `{"spec":{"template":{"spec":{"containers":[{"name":"web","image":"web:7"}]}}}}`
	err = patch(t.Context(), agent, web, types.StrategicMergePatchType, image)
	if refused(t, err, "ChangeWindowClosed"); !strings.Contains(err.Error(), "next: WAIT until 2031-01-01T01:00:00+01:00") {
		t.Errorf("the refusal does not say what suffices:\n%v", err)
	}
	operatortest.Eventually(t, "the audit log holds the decision", func(context.Context) error {
		for _, line := range e.auditLines(t, namespace) {
			if strings.Contains(line, `"enforce.countersign.dev/decision":"Deny"`) && strings.Contains(line, `"enforce.countersign.dev/reasons":"ChangeWindowClosed"`) {
				return nil
			}
		}
		return fmt.Errorf("no such line")
	})
}

// testObserve has one account that only Warn and Audit policies name: everything passes, and is told or recorded.
func testObserve(t *testing.T, e *environment) {
	namespace := e.namespace(t)
	agent := e.agent(t, namespace)
	for _, enforcement := range []string{"Warn", "Audit"} {
		spec := strings.Replace(images, "Enforce", enforcement, 1)
		p := e.policyNamed(t, strings.ToLower(enforcement)+"-"+namespace, namespace, spec)
		e.waitEnforced(t, p)
	}
	config := e.withWarnings(t, agent)
	operatortest.Eventually(t, "a write is answered with a warning", func(ctx context.Context) error {
		config.warnings = nil
		if err := config.Create(ctx, configMap(namespace, "c"), client.DryRunAll); err != nil {
			return err
		}
		if len(config.warnings) != 1 {
			return fmt.Errorf("warnings are %q", config.warnings)
		}
		return nil
	})
	want := "policy warn-" + namespace + " would refuse this: no task covers"
	if w := config.warnings[0]; !strings.HasPrefix(w, want) || len([]rune(w)) > 120 {
		t.Errorf("the warning is %q, want one of at most 120 characters that begins with %q", w, want)
	}
	line := e.operator.DecisionLines(t, namespace)
	for _, want := range []string{`"policy":"warn-` + namespace + `","enforcement":"Warn","outcome":"Deny"`, `"policy":"audit-` + namespace + `","enforcement":"Audit","outcome":"Deny"`} {
		if !strings.Contains(strings.Join(line, ""), want) {
			t.Errorf("the decision log does not hold %s: %s", want, line)
		}
	}
}

func testDryRun(t *testing.T, e *environment) {
	_, agent, web := governed(t, e, images)
	body := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"replicas":9}}`))
	refused(t, agent.Patch(t.Context(), web.DeepCopy(), body, client.DryRunAll), "FieldOutOfScope")
	image := client.RawPatch(types.StrategicMergePatchType, []byte(`{"spec":{"template":{"spec":{"containers":[{"name":"web","image":"web:9"}]}}}}`))
	allowed(t, agent.Patch(t.Context(), web.DeepCopy(), image, client.DryRunAll))
}

// testImpersonation acts as the agent without its groups and UID.
func testImpersonation(t *testing.T, e *environment) {
	_, agent, web := governed(t, e, images)
	config := e.plane.AdminConfig()
	config.Impersonate.UserName = agent.name
	config.Impersonate.Groups = []string{"system:masters"}
	impostor := operatortest.NewClient(t, config)
	err := impostor.Patch(t.Context(), web.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(`{"spec":{"replicas":9}}`)))
	refused(t, err, "FieldOutOfScope")
}

// testNewKind writes an object of a kind that did not exist when the operator started.
func testNewKind(t *testing.T, e *environment) {
	namespace, agent, _ := governed(t, e, images)
	group := namespace + ".example.com"
	crd := &apiextensionsv1.CustomResourceDefinition{ObjectMeta: metav1.ObjectMeta{Name: "widgets." + group}, Spec: apiextensionsv1.CustomResourceDefinitionSpec{
		Group: group, Scope: apiextensionsv1.NamespaceScoped,
		Names: apiextensionsv1.CustomResourceDefinitionNames{Plural: "widgets", Kind: "Widget"},
		Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{
			Name: "v1", Served: true, Storage: true,
			Schema: &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: &apiextensionsv1.JSONSchemaProps{Type: "object"}},
		}},
	}}
	allowed(t, e.admin.Create(t.Context(), crd))
	widget := func() *unstructured.Unstructured {
		return &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": group + "/v1", "kind": "Widget", "metadata": map[string]any{"namespace": namespace, "name": "w"},
		}}
	}
	operatortest.Eventually(t, "the new kind is served", func(ctx context.Context) error {
		return e.admin.Create(ctx, widget(), client.DryRunAll)
	})
	refused(t, agent.Create(t.Context(), widget()), "ActionOutOfScope")
}

func testRemoval(t *testing.T, e *environment) {
	namespace := e.namespace(t)
	agent := e.agent(t, namespace)
	p := e.policyNamed(t, "brief-"+namespace, namespace, images)
	e.waitGoverned(t, agent, namespace)
	allowed(t, e.admin.Delete(t.Context(), p.DeepCopy()))
	operatortest.Eventually(t, "the agent is free", func(ctx context.Context) error {
		return agent.Create(ctx, configMap(namespace, "free"), client.DryRunAll)
	})
}

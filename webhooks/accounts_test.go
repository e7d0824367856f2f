package webhooks_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/internal/operatortest"
)

// TestAccounts goes through a real API server: as whom pods may run that an agent makes, changes or enters.
func TestAccounts(t *testing.T) {
	e := newEnvironment(t)
	for name, test := range map[string]func(*testing.T, *environment){
		"every kind that becomes pods":         testAccountsOfKinds,
		"an existing template":                 testAccountChanged,
		"pods that somebody enters":            testAccountEntered,
		"a custom resource with pod templates": testAccountsOfCustom,
	} {
		t.Run(name, func(t *testing.T) { test(t, e) })
	}
}

const workloads = `
enforcement: Enforce
subjects: [AGENT]
tasks:
- name: deploy
  scope:
    resourceRules:
    - {apiGroups: [""], resources: [pods, podtemplates, replicationcontrollers], operations: [CREATE]}
    - {apiGroups: [apps], resources: [deployments, statefulsets, daemonsets, replicasets], operations: [CREATE, UPDATE]}
    - {apiGroups: [batch], resources: [jobs, cronjobs], operations: [CREATE, UPDATE]}
    namespaces: [NAMESPACE]
`

// testAccountsOfKinds makes one object of each kind, as an account that no task names and as those that one does.
func testAccountsOfKinds(t *testing.T, e *environment) {
	namespace, agent, _ := governed(t, e, workloads)
	named, namedAgent, _ := governed(t, e, workloads+"    serviceAccounts: [migrations, default]\n")
	for _, in := range []string{namespace, named} {
		for _, account := range []string{"default", "deployer", "migrations"} { // a pod needs its account
			err := e.admin.Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: in, Name: account}})
			allowed(t, client.IgnoreAlreadyExists(err))
		}
	}
	for kind, object := range becomingPods() {
		t.Run(kind, func(t *testing.T) {
			refused(t, agent.Create(t.Context(), object(namespace, "deployer")), "ServiceAccountOutOfScope")
			allowed(t, agent.Create(t.Context(), object(namespace, ""), client.DryRunAll))
			refused(t, namedAgent.Create(t.Context(), object(named, "deployer")), "ServiceAccountOutOfScope")
			allowed(t, namedAgent.Create(t.Context(), object(named, "migrations"), client.DryRunAll))
		})
	}
}

func becomingPods() map[string]func(namespace, account string) client.Object {
	web := func(namespace, account string) *appsv1.Deployment {
		d := deployment(namespace, "new")
		d.Spec.Template.Spec.ServiceAccountName = account
		return d
	}
	return map[string]func(namespace, account string) client.Object{
		"Pod": func(namespace, account string) client.Object {
			p := pod(namespace, "new")
			p.Spec.ServiceAccountName = account
			return p
		},
		"Deployment": func(namespace, account string) client.Object { return web(namespace, account) },
		"StatefulSet": func(namespace, account string) client.Object {
			d := web(namespace, account)
			return &appsv1.StatefulSet{ObjectMeta: d.ObjectMeta, Spec: appsv1.StatefulSetSpec{Selector: d.Spec.Selector, Template: d.Spec.Template}}
		},
		"DaemonSet": func(namespace, account string) client.Object {
			d := web(namespace, account)
			return &appsv1.DaemonSet{ObjectMeta: d.ObjectMeta, Spec: appsv1.DaemonSetSpec{Selector: d.Spec.Selector, Template: d.Spec.Template}}
		},
		"ReplicaSet": func(namespace, account string) client.Object {
			d := web(namespace, account)
			return &appsv1.ReplicaSet{ObjectMeta: d.ObjectMeta, Spec: appsv1.ReplicaSetSpec{Selector: d.Spec.Selector, Template: d.Spec.Template}}
		},
		"ReplicationController": func(namespace, account string) client.Object {
			d := web(namespace, account)
			return &corev1.ReplicationController{
				ObjectMeta: d.ObjectMeta, Spec: corev1.ReplicationControllerSpec{Selector: d.Spec.Selector.MatchLabels, Template: &d.Spec.Template},
			}
		},
		"Job": func(namespace, account string) client.Object { return jobAs(namespace, account) },
		"PodTemplate": func(namespace, account string) client.Object {
			d := web(namespace, account)
			return &corev1.PodTemplate{ObjectMeta: d.ObjectMeta, Template: d.Spec.Template}
		},
		"CronJob": func(namespace, account string) client.Object {
			j := jobAs(namespace, account)
			return &batchv1.CronJob{
				ObjectMeta: j.ObjectMeta, Spec: batchv1.CronJobSpec{Schedule: "0 3 * * *", JobTemplate: batchv1.JobTemplateSpec{Spec: j.Spec}},
			}
		},
	}
}

// testAccountChanged needs both: the account in the list, and the field spelled out.
func testAccountChanged(t *testing.T, e *environment) {
	change := func(account string) string {
		return `{"spec":{"template":{"spec":{"serviceAccountName":"` + account + `"}}}}`
	}
	const spelled = "    fields: [spec, spec.template.spec.serviceAccountName]\n"
	only := strings.NewReplacer("[CREATE, UPDATE]", "[UPDATE]", "[CREATE]", "[UPDATE]").Replace(workloads)
	for name, tc := range map[string]struct {
		spec, account, want string
	}{
		"neither":           {spec: workloads, account: "deployer", want: "ServiceAccountOutOfScope"},
		"the list":          {spec: workloads + "    serviceAccounts: [default, deployer]\n", account: "deployer", want: "FieldOutOfScope"},
		"the field":         {spec: only + spelled, account: "deployer", want: "ServiceAccountOutOfScope"},
		"both":              {spec: only + spelled + "    serviceAccounts: [deployer]\n", account: "deployer"},
		"both, for another": {spec: only + spelled + "    serviceAccounts: [deployer]\n", account: "admin", want: "ServiceAccountOutOfScope"},
	} {
		t.Run(name, func(t *testing.T) {
			_, agent, web := governed(t, e, tc.spec)
			err := patch(t.Context(), agent, web, types.MergePatchType, change(tc.account))
			if tc.want == "" {
				allowed(t, err)
				return
			}
			refused(t, err, tc.want)
		})
	}
	_, agent, web := governed(t, e, workloads)
	allowed(t, patch(t.Context(), &identity{Client: e.admin}, web, types.MergePatchType, change("deployer")))
	allowed(t, patch(t.Context(), agent, web, types.MergePatchType, `{"spec":{"replicas":3}}`)) // what it was
}

const entering = `
enforcement: Enforce
subjects: [AGENT]
tasks:
- name: look
  scope:
    resourceRules:
    - {apiGroups: [""], resources: [pods/exec, pods/attach, pods/portforward, pods/proxy], operations: [CONNECT]}
    - {apiGroups: [""], resources: [pods/ephemeralcontainers], operations: [UPDATE]}
    namespaces: [NAMESPACE]
`

// testAccountEntered enters pods of two accounts. No kubelet is there, so what passes fails later, with another answer.
func testAccountEntered(t *testing.T, e *environment) {
	for name, tc := range map[string]struct {
		spec          string
		passes, fails string
	}{
		"without a list": {spec: entering, passes: "default", fails: "deployer"},
		"with a list":    {spec: entering + "    serviceAccounts: [deployer]\n", passes: "deployer", fails: "default"},
	} {
		t.Run(name, func(t *testing.T) {
			namespace, agent, _ := governed(t, e, tc.spec)
			allowed(t, e.admin.Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "deployer"}}))
			for _, account := range []string{"default", "deployer"} {
				p := pod(namespace, "as-"+account)
				p.Spec.ServiceAccountName = account
				allowed(t, e.admin.Create(t.Context(), p))
			}
			for way, enter := range waysIn(namespace) {
				refused(t, enter(t.Context(), agent, "as-"+tc.fails), "ServiceAccountOutOfScope")
				if err := enter(t.Context(), agent, "as-"+tc.passes); err != nil && strings.Contains(err.Error(), "[countersign decision=") {
					t.Errorf("%s: a pod that runs as %s is refused: %v", way, tc.passes, err)
				}
			}
		})
	}
}

func waysIn(namespace string) map[string]func(context.Context, *identity, string) error {
	ways := map[string]func(context.Context, *identity, string) error{
		"debug": func(ctx context.Context, who *identity, name string) error {
			body := `{"spec":{"ephemeralContainers":[{"name":"debug","image":"busybox","targetContainerName":"c"}]}}`
			return who.Client.SubResource("ephemeralcontainers").Patch(ctx, pod(namespace, name), client.RawPatch(types.StrategicMergePatchType, []byte(body)))
		},
	}
	for _, sub := range []string{"exec", "attach", "portforward", "proxy"} {
		ways[sub] = func(ctx context.Context, who *identity, name string) error {
			return who.CoreV1().RESTClient().Verb(http.MethodGet).Namespace(namespace).Resource("pods").Name(name).SubResource(sub).
				Param("command", "id").Do(ctx).Error()
		}
	}
	return ways
}

// testAccountsOfCustom has a custom resource with templates in two places, one of them a list.
func testAccountsOfCustom(t *testing.T, e *environment) {
	const custom = `
enforcement: Enforce
subjects: [AGENT]
tasks:
- name: gadgets
  scope:
    resourceRules: [{apiGroups: [NAMESPACE.example.com], resources: [gadgets], operations: [OPERATIONS]}]
    namespaces: [NAMESPACE]
    podTemplatePaths: [spec.template, "spec.workers[*].template"]
`
	namespace, agent, _ := governed(t, e, strings.ReplaceAll(custom, "OPERATIONS", "CREATE, UPDATE"))
	gadget := func(name, spec string) *unstructured.Unstructured {
		o := &unstructured.Unstructured{}
		body := fmt.Sprintf(`{"apiVersion":"%s.example.com/v1","kind":"Gadget","metadata":{"namespace":"%s","name":"%s"},"spec":%s}`, namespace, namespace, name, spec)
		if err := o.UnmarshalJSON([]byte(body)); err != nil {
			t.Fatal(err)
		}
		return o
	}
	e.createForTest(t, gadgetDefinition(namespace))
	operatortest.Eventually(t, "gadgets are served", func(ctx context.Context) error {
		return e.admin.Create(ctx, gadget("probe", `{"size":1}`), client.DryRunAll)
	})
	const head, as = `{"template":{"spec":{}}`, `{"template":{"spec":{"serviceAccountName":"deployer"}}}`
	for name, spec := range map[string]string{
		"in the template":                 as,
		"by the old name":                 `{"template":{"spec":{"serviceAccount":"deployer"}}}`,
		"in a list":                       head + `,"workers":[{"template":{"spec":{}}},` + as + `]}`,
		"in none: there is no template":   `{"size":1}`,
		"nowhere: the template is a text": `{"template":"deployer"}`,
	} {
		if err := agent.Create(t.Context(), gadget("new", spec)); err == nil {
			t.Errorf("%s: it passes", name)
		} else {
			refused(t, err, "ServiceAccountOutOfScope")
		}
	}
	allowed(t, agent.Create(t.Context(), gadget("own", head+`,"workers":[{"template":{}}]}`)))
	allowed(t, e.admin.Create(t.Context(), gadget("theirs", as)))
	allowed(t, patch(t.Context(), agent, gadget("theirs", as), types.MergePatchType, `{"spec":{"size":2}}`)) // what it was
	refused(t, patch(t.Context(), agent, gadget("own", as), types.MergePatchType, `{"spec":`+as+`}`), "ServiceAccountOutOfScope")
	refused(t, patch(t.Context(), agent, gadget("theirs", as), types.MergePatchType, `{"spec":{"template":{"spec":{"serviceAccountName":null}}}}`), "ServiceAccountOutOfScope")
}

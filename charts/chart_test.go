package charts

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/hack/controlplane"
	"github.com/countersign-dev/countersign/internal/operatortest"
	"github.com/countersign-dev/countersign/internal/protection"
)

// TestRelease installs the chart, lets the operator govern with the rights that the chart gives it, and takes
// everything away again.
func TestRelease(t *testing.T) {
	a := admin(t)
	agent, somebody := agentAndPerson(t)
	ensure(t, a.Client, widgetDefinition())
	notes := install(t, "--set-json", `rbac.extraRules=[{"apiGroups":["example.test"],"resources":["widgets"],"verbs":["get"]}]`)

	port := freePort(t)
	operator := startOperator(t, "--webhook-url=https://127.0.0.1:"+port, "--webhook-port="+port)
	eventually(t, "the policy of the notes", func(ctx context.Context) error {
		err := a.Create(ctx, policyOfTheNotes(t, notes))
		return client.IgnoreAlreadyExists(err)
	})
	wantInForce(t, a, "first-policy")
	targets := makeTargets(t, a)
	govern(t, a)

	t.Run("the agent is refused", func(t *testing.T) { wantRefused(t, write(t.Context(), agent)) })
	t.Run("a person is not", func(t *testing.T) {
		if err := write(t.Context(), somebody); err != nil {
			t.Error(err)
		}
	})
	for name, do := range targets {
		t.Run("targets are read live/"+name, func(t *testing.T) { wantRefused(t, do(t.Context(), agent)) })
	}
	t.Run("the anchor owns the webhook configurations", func(t *testing.T) { wantOwned(t, a) })
	t.Run("the admission policy refuses too", func(t *testing.T) { wantProtected(t, a) })
	t.Run("the level is where kubectl shows it", func(t *testing.T) {
		eventually(t, "the level", func(ctx context.Context) error {
			shown, err := configuration(ctx, a, policiesConfig)
			if err == nil && shown.Annotations["countersign.dev/protection-level"] != "3" {
				err = fmt.Errorf("the annotations are %v", shown.Annotations)
			}
			return err
		})
	})
	t.Run("a lost owner comes back", func(t *testing.T) {
		for _, name := range []string{actionsConfig, policiesConfig} {
			stored, err := configuration(t.Context(), a, name)
			if err != nil {
				t.Fatal(err)
			}
			without := stored.DeepCopy()
			without.OwnerReferences = nil
			if err := a.Patch(t.Context(), without, client.MergeFrom(stored)); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the owner", func(ctx context.Context) error {
				repaired, err := configuration(ctx, a, name)
				if err == nil && len(repaired.OwnerReferences) == 0 {
					err = errors.New("there is none")
				}
				return err
			})
		}
		wantOwned(t, a)
	})
	t.Run("an event tells of the policy", func(t *testing.T) {
		eventually(t, "the event", func(ctx context.Context) error { return eventOf(ctx, a, "closed") })
	})
	t.Run("the canary is refused", func(t *testing.T) {
		eventually(t, "the metric", func(ctx context.Context) error {
			body, err := get(ctx, "http://"+operator.metrics+"/metrics")
			if err == nil && !strings.Contains(body, "\ncountersign_enforcement_up 1\n") {
				err = fmt.Errorf("the metrics are %s", body)
			}
			return err
		})
	})
	t.Run("metrics are served", func(t *testing.T) {
		body, err := get(t.Context(), "http://"+operator.metrics+"/metrics")
		if err != nil || !strings.Contains(body, "countersign_policies{") {
			t.Errorf("metrics are %.200q, %v", body, err)
		}
	})
	t.Run("nothing is forbidden to the operator", operator.wantNothingForbidden)
	if t.Failed() {
		return
	}

	t.Run("uninstall", func(t *testing.T) {
		mustHelm(t, "uninstall", release, "--namespace", namespace, "--timeout", "60s")
		eventually(t, "the garbage collector", func(ctx context.Context) error { return noConfigurations(ctx, a) })
		stays(t, "the end of the webhook configurations", 3*time.Second, func(ctx context.Context) error {
			if !operator.running() {
				return errors.New("the operator has ended, so that this shows nothing")
			}
			return noConfigurations(ctx, a)
		})
		if err := write(t.Context(), agent); err != nil {
			t.Errorf("the former agent: %v", err)
		}
		wantNothingLeft(t, a)
		wantPolicies(t, a, "closed", "first-policy")
	})
	operator.stop()

	t.Run("install again, and uninstall without keeping", func(t *testing.T) {
		install(t)
		wantPolicies(t, a, "closed", "first-policy")
		mustHelm(t, "upgrade", release, chart, "--namespace", namespace, "--set", "crds.keep=false")
		mustHelm(t, "uninstall", release, "--namespace", namespace, "--timeout", "60s")
		eventually(t, "the definitions to go", func(ctx context.Context) error {
			var definitions apiextensionsv1.CustomResourceDefinitionList
			if err := a.List(ctx, &definitions); err != nil {
				return err
			}
			for i := range definitions.Items {
				if definitions.Items[i].Spec.Group == v1alpha1.GroupName {
					return fmt.Errorf("%s is there", definitions.Items[i].Name)
				}
			}
			return nil
		})
	})
}

// TestService lets the API server reach the operator by the Service of the chart, with the certificates of its
// Secret, as it does inside of a cluster.
func TestService(t *testing.T) {
	a := admin(t)
	agent, somebody := agentAndPerson(t)
	install(t, "--set", "replicas=2")

	first := startOperator(t)
	eventually(t, "the Secret to be filled", func(ctx context.Context) error {
		secret, err := a.CoreV1().Secrets(namespace).Get(ctx, certSecret, metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, key := range []string{"ca.crt", "ca.key", "hash.key", "tls.crt", "tls.key"} {
			if len(secret.Data[key]) == 0 {
				return fmt.Errorf("there is no %s", key)
			}
		}
		return nil
	})
	route(t, first)
	govern(t, a)
	t.Run("the configurations name the Service", func(t *testing.T) { wantService(t, a) })
	t.Run("the agent is refused", func(t *testing.T) { wantRefused(t, write(t.Context(), agent)) })
	t.Run("a person is not", func(t *testing.T) {
		if err := write(t.Context(), somebody); err != nil {
			t.Error(err)
		}
	})
	second := startOperator(t)
	t.Run("a second replica takes over", func(t *testing.T) {
		route(t, second)
		first.stop()
		eventually(t, "the second replica to answer", func(ctx context.Context) error { return asRefused(write(ctx, agent)) })
		stays(t, "the answer of the second replica", time.Second, func(ctx context.Context) error { return asRefused(write(ctx, agent)) })
	})
	t.Run("an upgrade changes nothing", func(t *testing.T) { wantUpgradesWithoutEffect(t, a) })
	t.Run("an upgrade with other values leaves the certificates alone", func(t *testing.T) {
		before := secretData(t, a)
		mustHelm(t, "upgrade", release, chart, "--namespace", namespace, "--set", "logLevel=1,replicas=2")
		if diff := cmp.Diff(before, secretData(t, a)); diff != "" {
			t.Errorf("data of the Secret (-before +after):\n%s", diff)
		}
	})
	t.Run("nothing is forbidden to the operator", func(t *testing.T) {
		first.wantNothingForbidden(t)
		second.wantNothingForbidden(t)
	})
	t.Run("cleanup", func(t *testing.T) {
		second.stop()
		wantCleanup(t, a)
		if err := write(t.Context(), agent); err != nil {
			t.Errorf("the former agent: %v", err)
		}
	})
}

// route sends what the API server sends to the Service of the chart to one operator.
func route(t *testing.T, p *process) {
	t.Helper()
	if err := controlplane.Shared(t).RouteService(namespace, service, p.webhookAddress); err != nil {
		t.Fatal(err)
	}
}

// govern closes everything to the agent, and waits until that is in force.
func govern(t *testing.T, a *connection) {
	t.Helper()
	soon := time.Now().Add(24 * time.Hour)
	policy := &v1alpha1.AgentActionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: "closed"},
		Spec: v1alpha1.AgentActionPolicySpec{
			Enforcement: v1alpha1.Enforce,
			Subjects:    []v1alpha1.Subject{{Kind: v1alpha1.SubjectServiceAccount, Namespace: agentNamespace, Name: agentName}},
			OutOfScope:  v1alpha1.OutOfScopeAllow,
			TimeZone:    "Europe/Berlin",
			Windows: []v1alpha1.Window{{Name: "tomorrow", Once: &v1alpha1.OnceWindow{
				From: metav1.NewTime(soon), To: metav1.NewTime(soon.Add(time.Hour)),
			}}},
			ChangeWindows: &v1alpha1.ChangeWindows{Allowed: []v1alpha1.WindowName{"tomorrow"}},
		},
	}
	eventually(t, "the policy to be accepted", func(ctx context.Context) error {
		policy.ResourceVersion = ""
		return client.IgnoreAlreadyExists(a.Create(ctx, policy))
	})
	wantInForce(t, a, policy.Name)
	// What is stored is in force in the API server a moment later.
	agent := serviceAccount(t, agentNamespace, agentName)
	eventually(t, "the API server to send the agent's actions to the operator", func(ctx context.Context) error {
		return asRefused(write(ctx, agent))
	})
}

func wantInForce(t *testing.T, a *connection, name string) {
	t.Helper()
	eventually(t, "policy "+name+" to be in force", func(ctx context.Context) error {
		var policy v1alpha1.AgentActionPolicy
		if err := a.Get(ctx, client.ObjectKey{Name: name}, &policy); err != nil {
			return err
		}
		for _, condition := range []string{v1alpha1.PolicyReady, v1alpha1.PolicyEnforced} {
			c := meta.FindStatusCondition(policy.Status.Conditions, condition)
			if c == nil || c.Status != metav1.ConditionTrue || c.ObservedGeneration != policy.Generation {
				return fmt.Errorf("%s is %+v", condition, c)
			}
		}
		return nil
	})
}

// wantRefused wants the refusal of a closed window, which stands only where the action was understood.
func wantRefused(t *testing.T, err error) {
	t.Helper()
	if err := asRefused(err); err != nil {
		t.Error(err)
	}
}

// asRefused is an error where wantRefused fails.
func asRefused(err error) error {
	if err == nil {
		return errors.New("not refused")
	}
	if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "reasons=ChangeWindowClosed ") {
		return fmt.Errorf("got %w, want the refusal of a closed window", err)
	}
	return nil
}

// policyOfTheNotes is what Helm prints after an installation.
func policyOfTheNotes(t *testing.T, notes string) *unstructured.Unstructured {
	t.Helper()
	_, rest, _ := strings.Cut(notes, "<<'POLICY'\n")
	text, _, found := strings.Cut(rest, "  POLICY\n")
	if !found {
		t.Fatalf("the notes hold no policy:\n%s", notes)
	}
	return decode(t, text)[0]
}

func widgetDefinition() *apiextensionsv1.CustomResourceDefinition {
	return &apiextensionsv1.CustomResourceDefinition{
		ObjectMeta: metav1.ObjectMeta{Name: "widgets.example.test"},
		Spec: apiextensionsv1.CustomResourceDefinitionSpec{
			Group: "example.test", Scope: apiextensionsv1.NamespaceScoped,
			Names: apiextensionsv1.CustomResourceDefinitionNames{Plural: "widgets", Singular: "widget", Kind: "Widget", ListKind: "WidgetList"},
			Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{
				Name: "v1", Served: true, Storage: true,
				Schema: &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: &apiextensionsv1.JSONSchemaProps{
					Type: "object", XPreserveUnknownFields: new(true),
				}},
				Subresources: &apiextensionsv1.CustomResourceSubresources{Scale: &apiextensionsv1.CustomResourceSubresourceScale{
					SpecReplicasPath: ".spec.size", StatusReplicasPath: ".status.size",
				}},
			}},
		},
	}
}

// makeTargets makes one object of each kind that the operator reads live, and returns actions that need it to.
func makeTargets(t *testing.T, a *connection) map[string]func(context.Context, *connection) error {
	t.Helper()
	for _, o := range decode(t, targetManifests) {
		o.SetNamespace(agentNamespace)
		eventually(t, o.GetKind(), func(ctx context.Context) error { return client.IgnoreAlreadyExists(a.Create(ctx, o)) })
	}
	scale := func(group, version, kind string) func(context.Context, *connection) error {
		return func(ctx context.Context, c *connection) error {
			target := &unstructured.Unstructured{}
			target.SetGroupVersionKind(schema.GroupVersionKind{Group: group, Version: version, Kind: kind})
			target.SetNamespace(agentNamespace)
			target.SetName("target")
			by := &autoscalingv1.Scale{Spec: autoscalingv1.ScaleSpec{Replicas: 2}}
			return c.SubResource("scale").Update(ctx, target, client.WithSubResourceBody(by))
		}
	}
	object := metav1.ObjectMeta{Namespace: agentNamespace, Name: "target"}
	return map[string]func(context.Context, *connection) error{
		"scale of a Deployment":            scale("apps", "v1", "Deployment"),
		"scale of a ReplicaSet":            scale("apps", "v1", "ReplicaSet"),
		"scale of a StatefulSet":           scale("apps", "v1", "StatefulSet"),
		"scale of a ReplicationController": scale("", "v1", "ReplicationController"),
		"scale of a custom resource":       scale("example.test", "v1", "Widget"),
		"eviction": func(ctx context.Context, c *connection) error {
			return c.PolicyV1().Evictions(agentNamespace).Evict(ctx, &policyv1.Eviction{ObjectMeta: object})
		},
		"binding": func(ctx context.Context, c *connection) error {
			to := corev1.ObjectReference{Kind: "Node", Name: "node-0"}
			return c.CoreV1().Pods(agentNamespace).Bind(ctx, &corev1.Binding{ObjectMeta: object, Target: to}, metav1.CreateOptions{})
		},
		"token": func(ctx context.Context, c *connection) error {
			_, err := c.CoreV1().ServiceAccounts(agentNamespace).CreateToken(ctx, agentName, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
			return err
		},
		"binding to a Role": func(ctx context.Context, c *connection) error {
			return c.Create(ctx, &rbacv1.RoleBinding{ObjectMeta: object, Subjects: somebodyElse(), RoleRef: roleRef("Role", "target")})
		},
		"binding to a ClusterRole": func(ctx context.Context, c *connection) error {
			viewing := metav1.ObjectMeta{Namespace: agentNamespace, Name: "viewing"}
			return c.Create(ctx, &rbacv1.RoleBinding{ObjectMeta: viewing, Subjects: somebodyElse(), RoleRef: roleRef("ClusterRole", "view")})
		},
		"exec": func(ctx context.Context, c *connection) error {
			options := &corev1.PodExecOptions{Command: []string{"true"}, Stdout: true}
			return c.CoreV1().RESTClient().Post().Namespace(agentNamespace).Resource("pods").Name("target").SubResource("exec").
				VersionedParams(options, clientgoscheme.ParameterCodec).Do(ctx).Error()
		},
		"proxy of a Service": func(ctx context.Context, c *connection) error {
			return c.CoreV1().RESTClient().Get().Namespace(agentNamespace).Resource("services").Name("target:80").SubResource("proxy").
				Do(ctx).Error()
		},
	}
}

// wantProtected wants an agent that may do everything to be refused what the webhook is not asked about.
func wantProtected(t *testing.T, a *connection) {
	t.Helper()
	ensure(t, a.Client, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "all-powerful"}, RoleRef: roleRef("ClusterRole", "cluster-admin"),
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: agentNamespace, Name: agentName}},
	})
	t.Cleanup(func() {
		all := &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "all-powerful"}}
		if err := a.Delete(context.Background(), all); err != nil {
			t.Error(err)
		}
	})
	agent := serviceAccount(t, agentNamespace, agentName)
	eventually(t, "the agent to be refused", func(ctx context.Context) error {
		configuration := &admissionregistrationv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: actionsConfig}}
		err := agent.Delete(ctx, configuration, client.DryRunAll)
		if err == nil || !strings.Contains(err.Error(), "ValidatingAdmissionPolicy '"+protection.PolicyName+"'") {
			return fmt.Errorf("the answer is %w", err)
		}
		return nil
	})
}

func roleRef(kind, name string) rbacv1.RoleRef {
	return rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: kind, Name: name}
}

func somebodyElse() []rbacv1.Subject {
	return []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: "somebody"}}
}

const targetManifests = `
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: target}
rules: [{apiGroups: [""], resources: [pods], verbs: [get]}]
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: target}
---
apiVersion: v1
kind: Service
metadata: {name: target}
spec: {ports: [{port: 80}]}
---
apiVersion: v1
kind: Pod
metadata: {name: target}
spec: {schedulerName: nobody, containers: [{name: app, image: example.test/app:1}]}
---
apiVersion: v1
kind: ReplicationController
metadata: {name: target}
spec: {replicas: 0, selector: {app: a}, template: {metadata: {labels: {app: a}}, spec: {containers: [{name: app, image: example.test/app:1}]}}}
---
apiVersion: apps/v1
kind: ReplicaSet
metadata: {name: target}
spec: {replicas: 0, selector: {matchLabels: {app: b}}, template: {metadata: {labels: {app: b}}, spec: {containers: [{name: app, image: example.test/app:1}]}}}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: target}
spec: {replicas: 0, selector: {matchLabels: {app: c}}, template: {metadata: {labels: {app: c}}, spec: {containers: [{name: app, image: example.test/app:1}]}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: target}
spec: {replicas: 0, selector: {matchLabels: {app: d}}, template: {metadata: {labels: {app: d}}, spec: {containers: [{name: app, image: example.test/app:1}]}}}
---
apiVersion: example.test/v1
kind: Widget
metadata: {name: target}
spec: {size: 1}
`

func wantOwned(t *testing.T, a *connection) {
	t.Helper()
	owner, err := a.RbacV1().ClusterRoles().Get(t.Context(), anchor, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(owner.Rules) > 0 {
		t.Errorf("the anchor grants %v", owner.Rules)
	}
	want := []metav1.OwnerReference{{APIVersion: "rbac.authorization.k8s.io/v1", Kind: "ClusterRole", Name: anchor, UID: owner.UID}}
	for _, name := range []string{actionsConfig, policiesConfig} {
		stored, err := configuration(t.Context(), a, name)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, stored.OwnerReferences); diff != "" {
			t.Errorf("owners of %s (-want +got):\n%s", name, diff)
		}
	}
}

func eventOf(ctx context.Context, a *connection, policy string) error {
	var events eventsv1.EventList
	if err := a.List(ctx, &events); err != nil {
		return err
	}
	if !slices.ContainsFunc(events.Items, func(e eventsv1.Event) bool {
		return e.Regarding.Kind == "AgentActionPolicy" && e.Regarding.Name == policy
	}) {
		return fmt.Errorf("none of %d events is about policy %s", len(events.Items), policy)
	}
	return nil
}

// wantNothingLeft wants no object of the release, hooks included.
func wantNothingLeft(t *testing.T, a *connection) {
	t.Helper()
	ours := client.MatchingLabels{"app.kubernetes.io/instance": release}
	for _, kind := range kindsOfRelease {
		eventually(t, "objects of the release to go", func(ctx context.Context) error {
			list := &unstructured.UnstructuredList{}
			list.SetGroupVersionKind(kind)
			if err := a.List(ctx, list, ours); err != nil {
				return err
			}
			if len(list.Items) > 0 {
				return fmt.Errorf("%s %s is left", kind.Kind, list.Items[0].GetName())
			}
			return nil
		})
	}
}

func wantPolicies(t *testing.T, a *connection, want ...string) {
	t.Helper()
	var list v1alpha1.AgentActionPolicyList
	if err := a.List(t.Context(), &list); err != nil {
		t.Fatal(err)
	}
	var got []string
	for i := range list.Items {
		got = append(got, list.Items[i].Name)
	}
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("policies (-want +got):\n%s", diff)
	}
}

func secretData(t *testing.T, a *connection) map[string][]byte {
	t.Helper()
	secret, err := a.CoreV1().Secrets(namespace).Get(t.Context(), certSecret, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(secret.Data) == 0 {
		t.Fatal("the Secret is empty")
	}
	return secret.Data
}

func wantService(t *testing.T, a *connection) {
	t.Helper()
	bundle := secretData(t, a)["ca.crt"]
	paths := map[string][]string{actionsConfig: {"/enforce"}, policiesConfig: {"/policies", "/approvals/validate", "/activities/validate"}}
	for name, want := range paths {
		stored, err := configuration(t.Context(), a, name)
		if err != nil {
			t.Fatal(err)
		}
		var got []admissionregistrationv1.WebhookClientConfig
		for i := range stored.Webhooks {
			got = append(got, stored.Webhooks[i].ClientConfig)
		}
		var wanted []admissionregistrationv1.WebhookClientConfig
		for _, path := range want {
			wanted = append(wanted, admissionregistrationv1.WebhookClientConfig{CABundle: bundle, Service: &admissionregistrationv1.ServiceReference{
				Namespace: namespace, Name: service, Path: new(path), Port: new(int32(443)),
			}})
		}
		if diff := cmp.Diff(wanted, got); diff != "" {
			t.Errorf("%s reaches the operator by (-want +got):\n%s", name, diff)
		}
	}
}

// wantUpgradesWithoutEffect upgrades to what is installed, in both ways that Helm has.
func wantUpgradesWithoutEffect(t *testing.T, a *connection) {
	t.Helper()
	manifest := func() string { return mustHelm(t, "get", "manifest", release, "--namespace", namespace) }
	upgrade := func(args ...string) {
		mustHelm(t, append([]string{"upgrade", release, chart, "--namespace", namespace, "--set", "replicas=2"}, args...)...)
	}
	rendered := manifest()
	eventually(t, "the API server has written the status of the FlowSchema, which it does in its own time", func(ctx context.Context) error {
		schema, err := a.FlowcontrolV1().FlowSchemas().Get(ctx, release, metav1.GetOptions{})
		if err == nil && len(schema.Status.Conditions) == 0 {
			err = errors.New("there is none yet")
		}
		return err
	})
	// Of two equal upgrades the second is compared by version: the first may change who manages which field.
	for _, way := range [][]string{{"--server-side=true"}, {"--server-side=false"}, {"--server-side=true"}} {
		before := snapshot(t, a, rendered, false)
		upgrade(way...)
		if diff := cmp.Diff(before, snapshot(t, a, rendered, false)); diff != "" {
			t.Errorf("an upgrade with %s changes objects (-before +after):\n%s", way, diff)
		}
		before = snapshot(t, a, rendered, true)
		upgrade(way...)
		if diff := cmp.Diff(before, snapshot(t, a, rendered, true)); diff != "" {
			t.Errorf("a second upgrade with %s writes objects (-before +after):\n%s", way, diff)
		}
	}
	if diff := cmp.Diff(rendered, manifest()); diff != "" {
		t.Errorf("the manifest differs (-before +after):\n%s", diff)
	}
}

// snapshot reads the objects of a manifest, and the operator's webhook configurations: their contents, or with
// versions whether anybody has written them.
func snapshot(t *testing.T, a *connection, manifest string, versions bool) map[string]any {
	t.Helper()
	objects := decode(t, manifest)
	for _, name := range []string{actionsConfig, policiesConfig} {
		o := &unstructured.Unstructured{}
		o.SetAPIVersion("admissionregistration.k8s.io/v1")
		o.SetKind("ValidatingWebhookConfiguration")
		o.SetName(name)
		objects = append(objects, o)
	}
	found := map[string]any{}
	for _, o := range objects {
		key := o.GetKind() + " " + o.GetName()
		if err := a.Get(t.Context(), client.ObjectKeyFromObject(o), o); err != nil {
			t.Fatal(err)
		}
		if versions {
			found[key] = o.GetResourceVersion()
			continue
		}
		o.SetResourceVersion("")
		o.SetManagedFields(nil)
		found[key] = o.Object
	}
	return found
}

// makeHook makes the objects of a hook of the release, as Helm does, and returns its job.
func makeHook(t *testing.T, a *connection, hook string) *batchv1.Job {
	t.Helper()
	var job *batchv1.Job
	for _, o := range decode(t, mustHelm(t, "get", "hooks", release, "--namespace", namespace)) {
		if !slices.Contains(strings.Split(o.GetAnnotations()["helm.sh/hook"], ","), hook) {
			continue
		}
		if o.GetKind() == "Job" {
			job = &batchv1.Job{}
			convert(t, o, job)
			continue
		}
		if err := a.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = a.Delete(context.Background(), o) })
	}
	if job == nil {
		t.Fatalf("hook %s has no job", hook)
	}
	return job
}

// TestHelmTest has helm test find out whether agents are refused, with the rights of its own account.
func TestHelmTest(t *testing.T) {
	a := admin(t)
	install(t)
	port := freePort(t)
	operator := startOperator(t, "--webhook-url=https://127.0.0.1:"+port, "--webhook-port="+port)
	// The pods of this cluster run nothing: this shows that Helm makes, waits for and removes all objects of the test.
	mustHelm(t, "test", release, "--namespace", namespace, "--timeout", "60s")

	job := makeHook(t, a, "test")
	const name = "countersign-check"
	if job.Spec.Template.Spec.ServiceAccountName != name {
		t.Errorf("the test runs as %s", job.Spec.Template.Spec.ServiceAccountName)
	}
	kubeconfig := serviceAccountKubeconfig(t, namespace, name)
	check := func(flags ...string) (string, error) {
		args := append(slices.Clone(job.Spec.Template.Spec.Containers[0].Args), append(flags, "--kubeconfig="+kubeconfig)...)
		out, err := exec.CommandContext(t.Context(), operatortest.Binary(t), args...).CombinedOutput()
		return string(out), err
	}
	if out, err := check(); err != nil || !strings.Contains(out, "Agents are refused") || !strings.Contains(out, "Kubernetes is v") {
		t.Errorf("while the operator runs: %v\n%s", err, out)
	}
	wantAccess(t, a, []access{
		{who: name, verb: "impersonate", resource: "serviceaccounts", namespace: namespace, name: canary, want: true},
		{who: name, verb: "impersonate", resource: "serviceaccounts", namespace: namespace, name: release},
		{who: name, verb: "create", resource: "configmaps", namespace: namespace},
		{who: name, verb: "get", resource: "secrets", namespace: namespace},
	})
	operator.stop()
	if out, err := check("--timeout=2s"); err == nil || !strings.Contains(out, "is Unanswered, and must be Refused") {
		t.Errorf("without the operator: %v\n%s", err, out)
	}
	configurations := a.AdmissionregistrationV1().ValidatingWebhookConfigurations()
	if err := configurations.Delete(t.Context(), actionsConfig, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the API server to let everything pass", func(context.Context) error {
		if out, err := check("--timeout=1s"); err == nil || !strings.Contains(out, "is Passed, and must be Refused") {
			return fmt.Errorf("without the configuration: %w\n%s", err, out)
		}
		return nil
	})
}

// wantCleanup does what the hook of the chart does, with the hook's own rights.
func wantCleanup(t *testing.T, a *connection) {
	t.Helper()
	const name = "countersign-cleanup"
	job := makeHook(t, a, "pre-delete")
	if job.Spec.Template.Spec.ServiceAccountName != name {
		t.Fatalf("the job of the hook is %+v, want it to run as %s", job, name)
	}
	kubeconfig := serviceAccountKubeconfig(t, namespace, name)
	for _, want := range []string{"the first time", "when there is nothing left"} {
		args := append(job.Spec.Template.Spec.Containers[0].Args, "--kubeconfig="+kubeconfig)
		out, err := exec.CommandContext(t.Context(), operatortest.Binary(t), args...).CombinedOutput()
		if err != nil {
			t.Fatalf("countersign %v, %s: %v\n%s", args, want, err, out)
		}
		if err := noConfigurations(t.Context(), a); err != nil {
			t.Error(err)
		}
	}
	wantAccess(t, a, []access{
		{who: name, verb: "delete", resource: "validatingwebhookconfigurations.admissionregistration.k8s.io", name: actionsConfig, want: true},
		{who: name, verb: "delete", resource: "validatingwebhookconfigurations.admissionregistration.k8s.io", name: "another"},
		{who: name, verb: "get", resource: "secrets", namespace: namespace},
		{who: name, verb: "delete", resource: "agentactionpolicies.countersign.dev"},
	})
}

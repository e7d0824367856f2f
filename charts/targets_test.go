package charts

import (
	"context"
	"fmt"
	"strings"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/internal/protection"
)

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

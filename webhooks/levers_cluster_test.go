package webhooks_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/internal/operatortest"
)

// trafficLevers take traffic away from pods, or lead it elsewhere.
func trafficLevers() map[string]lever {
	return map[string]lever{
		"what a Service selects": {
			prepare: func(t *testing.T, at *place) {
				at.readyPod(t)
				s := service(at.namespace)
				s.Spec.Selector = map[string]string{"app": "serving"}
				allowed(t, at.admin.Create(t.Context(), s))
				operatortest.Eventually(t, "the Service leads to the pod", func(ctx context.Context) error { return endpoints(ctx, at, 1) })
			},
			pull: func(ctx context.Context, who *identity, at *place) error {
				return patch(ctx, who, service(at.namespace), types.MergePatchType, `{"spec":{"selector":{"app":"nothing"}}}`)
			},
			reason: "FieldOutOfScope",
			acted:  func(ctx context.Context, at *place) error { return endpoints(ctx, at, 0) },
		},
		"an EndpointSlice": creates("ActionOutOfScope", func(at *place) client.Object {
			return &discoveryv1.EndpointSlice{
				ObjectMeta:  metav1.ObjectMeta{Namespace: at.namespace, Name: "web", Labels: map[string]string{discoveryv1.LabelServiceName: "web"}},
				AddressType: discoveryv1.AddressTypeIPv4, Endpoints: []discoveryv1.Endpoint{{Addresses: []string{"10.9.9.9"}}},
			}
		}),
		"endpoints, which are mirrored": {
			prepare: func(t *testing.T, at *place) { allowed(t, at.admin.Create(t.Context(), service(at.namespace))) },
			pull: func(ctx context.Context, who *identity, at *place) error {
				return who.Create(ctx, &corev1.Endpoints{ //nolint:staticcheck // whoever can write them leads traffic
					ObjectMeta: metav1.ObjectMeta{Namespace: at.namespace, Name: "web"},
					Subsets: []corev1.EndpointSubset{{ //nolint:staticcheck // as above
						Addresses: []corev1.EndpointAddress{{IP: "10.9.9.9"}}, Ports: []corev1.EndpointPort{{Port: 80}},
					}},
				})
			},
			reason: "ActionOutOfScope",
			acted:  func(ctx context.Context, at *place) error { return endpoints(ctx, at, 1) },
		},
		"a NetworkPolicy": creates("ActionOutOfScope", func(at *place) client.Object {
			return &networkingv1.NetworkPolicy{ObjectMeta: named(at.namespace)} // lets nothing in, to any pod
		}),
		"an Ingress": creates("ActionOutOfScope", func(at *place) client.Object {
			return &networkingv1.Ingress{ObjectMeta: named(at.namespace), Spec: networkingv1.IngressSpec{
				DefaultBackend: &networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{Name: "x", Port: networkingv1.ServiceBackendPort{Number: 80}}},
			}}
		}),
	}
}

// endpoints is nil when the Service leads to that many pods.
func endpoints(ctx context.Context, at *place, want int) error {
	slices := &discoveryv1.EndpointSliceList{}
	if err := at.admin.List(ctx, slices, client.InNamespace(at.namespace), client.MatchingLabels{discoveryv1.LabelServiceName: "web"}); err != nil {
		return err
	}
	got := 0
	for _, s := range slices.Items {
		got += len(s.Endpoints)
	}
	if len(slices.Items) == 0 || got != want {
		return fmt.Errorf("it leads to %d pods in %d slices", got, len(slices.Items))
	}
	return nil
}

// clusterLevers act on whatever runs on a node or in a namespace, or on pods of less importance.
func clusterLevers() map[string]lever {
	onNode := func(body string, acted func(context.Context, *place) error) lever {
		return lever{
			prepare: func(t *testing.T, at *place) { at.readyPod(t) },
			pull: func(ctx context.Context, who *identity, at *place) error {
				return patch(ctx, who, nodeOf(at), types.MergePatchType, body)
			},
			reason: "ActionOutOfScope", acted: acted,
		}
	}
	podGone := func(ctx context.Context, at *place) error { return at.gone(ctx, pod(at.namespace, "serving")) }
	return map[string]lever{
		"a taint":  onNode(`{"spec":{"taints":[{"key":"k","value":"v","effect":"NoExecute"}]}}`, podGone),
		"a cordon": onNode(`{"spec":{"unschedulable":true}}`, tainted("node.kubernetes.io/unschedulable", corev1.TaintEffectNoSchedule)),
		"the status of a node": {
			prepare: func(t *testing.T, at *place) {
				at.readyPod(t)
				allowed(t, reportNode(t.Context(), &identity{Client: at.admin}, at, "True"))
				operatortest.Eventually(t, "the node is ready", func(ctx context.Context) error {
					if tainted("node.kubernetes.io/not-ready", corev1.TaintEffectNoSchedule)(ctx, at) == nil {
						return errors.New("it is not")
					}
					return nil
				})
			},
			pull:   func(ctx context.Context, who *identity, at *place) error { return reportNode(ctx, who, at, "False") },
			reason: "ActionOutOfScope",
			acted:  tainted("node.kubernetes.io/not-ready", corev1.TaintEffectNoExecute),
		},
		"the deletion of a node": {
			prepare: func(t *testing.T, at *place) { at.readyPod(t) },
			pull:    func(ctx context.Context, who *identity, at *place) error { return who.Delete(ctx, nodeOf(at)) },
			reason:  "ActionOutOfScope",
			acted:   func(ctx context.Context, at *place) error { return at.gone(ctx, nodeOf(at)) },
		},
		"the deletion of a namespace": {
			pull: func(ctx context.Context, who *identity, at *place) error {
				return who.Delete(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: at.namespace}})
			},
			reason: "ActionOutOfScope",
			acted:  func(ctx context.Context, at *place) error { return at.gone(ctx, at.web.DeepCopy()) },
		},
		"a priority class": creates("ActionOutOfScope", func(at *place) client.Object {
			return &schedulingv1.PriorityClass{ObjectMeta: metav1.ObjectMeta{Name: at.name()}, Value: 1_000_000}
		}),
		"the priority of a workload": {
			pull:   patchesWeb(`{"spec":{"template":{"spec":{"priorityClassName":"system-node-critical"}}}}`),
			reason: "FieldOutOfScope",
			acted: func(ctx context.Context, at *place) error {
				pods := &corev1.PodList{}
				if err := at.admin.List(ctx, pods, client.InNamespace(at.namespace)); err != nil {
					return err
				}
				for i := range pods.Items {
					if p := pods.Items[i].Spec.Priority; p != nil && *p > 0 {
						return nil
					}
				}
				return errors.New("no pod has a priority")
			},
		},
	}
}

// reportNode writes what a kubelet reports: whether its node is ready.
func reportNode(ctx context.Context, who *identity, at *place, ready string) error {
	now := time.Now().UTC().Format(time.RFC3339)
	body := fmt.Sprintf(`{"status":{"conditions":[{"type":"Ready","status":%q,"reason":"Said","message":"","lastHeartbeatTime":%q,"lastTransitionTime":%q}]}}`, ready, now, now)
	return who.Client.Status().Patch(ctx, nodeOf(at), client.RawPatch(types.StrategicMergePatchType, []byte(body)))
}

func nodeOf(at *place) *corev1.Node {
	return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: at.name()}}
}

// tainted is nil when a controller has given the node a taint.
func tainted(key string, effect corev1.TaintEffect) func(context.Context, *place) error {
	return func(ctx context.Context, at *place) error {
		node := nodeOf(at)
		if err := at.read(ctx, node); err != nil {
			return err
		}
		for _, taint := range node.Spec.Taints {
			if taint.Key == key && taint.Effect == effect {
				return nil
			}
		}
		return fmt.Errorf("it has the taints %v", node.Spec.Taints)
	}
}

// identityLevers have somebody else act for the agent.
func identityLevers() map[string]lever {
	return map[string]lever{
		"a Secret that gets a token": {
			pull: func(ctx context.Context, who *identity, at *place) error {
				return who.Create(ctx, tokenSecret(at.namespace))
			},
			reason: "ReservedAction",
			acted: func(ctx context.Context, at *place) error {
				s := tokenSecret(at.namespace)
				if err := at.read(ctx, s); err != nil || len(s.Data["token"]) == 0 {
					return stillNot("it has no token", err)
				}
				return nil
			},
		},
		"a Job under another account": {
			prepare: func(t *testing.T, at *place) {
				allowed(t, at.admin.Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: at.namespace, Name: "deployer"}}))
			},
			pull: func(ctx context.Context, who *identity, at *place) error {
				return who.Create(ctx, jobAs(at.namespace, "deployer"))
			},
			reason: "ServiceAccountOutOfScope",
			acted: func(ctx context.Context, at *place) error {
				pods := &corev1.PodList{}
				if err := at.admin.List(ctx, pods, client.InNamespace(at.namespace)); err != nil {
					return err
				}
				for i := range pods.Items {
					if pods.Items[i].Spec.ServiceAccountName == "deployer" {
						return nil
					}
				}
				return errors.New("no pod runs as deployer")
			},
		},
		"a token": {
			pull: func(ctx context.Context, who *identity, at *place) error {
				account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: at.namespace, Name: "default"}}
				request := &authenticationv1.TokenRequest{}
				if err := who.Client.SubResource("token").Create(ctx, account, request); err != nil {
					return err
				}
				at.token = request.Status.Token
				return nil
			},
			reason: "ReservedAction",
			acted: func(_ context.Context, at *place) error {
				if at.token == "" {
					return errors.New("there is no token")
				}
				return nil
			},
		},
		"a scaler of others": creates("ActionOutOfScope", func(at *place) client.Object {
			return &unstructured.Unstructured{Object: map[string]any{
				"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": map[string]any{"namespace": at.namespace, "name": "web"},
			}}
		}),
		"a RoleBinding": creates("ActionOutOfScope", func(at *place) client.Object {
			return &rbacv1.RoleBinding{ObjectMeta: named(at.namespace), RoleRef: rbacv1.RoleRef{APIGroup: "rbac.authorization.k8s.io", Kind: "ClusterRole", Name: "admin"}}
		}),
	}
}

// scaledObjects are a kind of which no controller is here.
func scaledObjects() client.Object {
	return &apiextensionsv1.CustomResourceDefinition{ObjectMeta: metav1.ObjectMeta{Name: "scaledobjects.keda.sh"}, Spec: apiextensionsv1.CustomResourceDefinitionSpec{
		Group: "keda.sh", Scope: apiextensionsv1.NamespaceScoped,
		Names: apiextensionsv1.CustomResourceDefinitionNames{Plural: "scaledobjects", Kind: "ScaledObject"},
		Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{
			Name: "v1alpha1", Served: true, Storage: true,
			Schema: &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: &apiextensionsv1.JSONSchemaProps{Type: "object"}},
		}},
	}}
}

func tokenSecret(namespace string) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "token", Annotations: map[string]string{corev1.ServiceAccountNameKey: "default"}},
		Type:       corev1.SecretTypeServiceAccountToken,
	}
}

func jobAs(namespace, account string) *batchv1.Job {
	j := job(named(namespace))
	j.Spec.Template.Spec.ServiceAccountName = account
	return j
}

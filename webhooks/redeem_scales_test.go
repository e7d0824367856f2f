package webhooks_test

import (
	"context"
	"fmt"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/internal/operatortest"
)

// statefulSet is a change to no replicas of the StatefulSet db.
func statefulSet(ask, by route) shape {
	db := func(s *story, replicas int32) *appsv1.StatefulSet {
		labels := map[string]string{"app": "db"}
		return &appsv1.StatefulSet{
			ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "db"},
			Spec: appsv1.StatefulSetSpec{
				Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: deployment(s.namespace, "db").Spec.Template,
			},
		}
	}
	return shape{
		ask: ask, redeem: by,
		prepare: func(t *testing.T, s *story) { allowed(t, s.admin.Create(t.Context(), db(s, 1))) },
		landed: func(ctx context.Context, s *story) error {
			o := db(s, 1)
			if err := s.there(ctx, o); err != nil {
				return err
			}
			if *o.Spec.Replicas != 0 {
				return fmt.Errorf("replicas are %d", *o.Spec.Replicas)
			}
			return nil
		},
		revert: func(t *testing.T, s *story) {
			allowed(t, patch(t.Context(), s.person, db(s, 1), types.MergePatchType, `{"spec":{"replicas":1}}`))
		},
	}
}

func patchStatefulSet(ctx context.Context, s *story) error {
	o := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "db"}}
	return patch(ctx, s.agent, o, types.MergePatchType, `{"spec":{"replicas":0}}`)
}

// gadget is of a custom kind that keeps its replicas in spec.size.
func gadget(ask, by route) shape {
	return shape{
		ask: ask, redeem: by,
		prepare: func(t *testing.T, s *story) {
			allowed(t, s.admin.Create(t.Context(), gadgetDefinition(s.namespace)))
			operatortest.Eventually(t, "the kind is served", func(ctx context.Context) error { return s.admin.Create(ctx, newGadget(s)) })
		},
		landed: func(ctx context.Context, s *story) error {
			o := newGadget(s)
			if err := s.there(ctx, o); err != nil {
				return err
			}
			if size, _, err := unstructured.NestedInt64(o.Object, "spec", "size"); err != nil || size != 5 {
				return fmt.Errorf("the size is %d: %w", size, err)
			}
			return nil
		},
		revert: func(t *testing.T, s *story) {
			allowed(t, patch(t.Context(), s.person, newGadget(s), types.MergePatchType, `{"spec":{"size":2}}`))
		},
	}
}

func patchGadget(ctx context.Context, s *story) error {
	return patch(ctx, s.agent, newGadget(s), types.MergePatchType, `{"spec":{"size":5}}`)
}

func scaleGadget(ctx context.Context, s *story) error {
	return s.kubectl(ctx, s.agent, "scale", "gadgets."+s.namespace+".example.com", "g", "--replicas=5")
}

func newGadget(s *story) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": s.namespace + ".example.com/v1", "kind": "Gadget",
		"metadata": map[string]any{"namespace": s.namespace, "name": "g"}, "spec": map[string]any{"size": int64(2), "color": "red"},
	}}
}

func gadgetDefinition(namespace string) client.Object {
	group := namespace + ".example.com"
	return &apiextensionsv1.CustomResourceDefinition{ObjectMeta: metav1.ObjectMeta{Name: "gadgets." + group}, Spec: apiextensionsv1.CustomResourceDefinitionSpec{
		Group: group, Scope: apiextensionsv1.NamespaceScoped,
		Names: apiextensionsv1.CustomResourceDefinitionNames{Plural: "gadgets", Kind: "Gadget"},
		Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{
			Name: "v1", Served: true, Storage: true,
			Schema: &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: &apiextensionsv1.JSONSchemaProps{
				Type: "object", XPreserveUnknownFields: new(true),
			}},
			Subresources: &apiextensionsv1.CustomResourceSubresources{
				Scale: &apiextensionsv1.CustomResourceSubresourceScale{SpecReplicasPath: ".spec.size", StatusReplicasPath: ".status.size"},
			},
		}},
	}}
}

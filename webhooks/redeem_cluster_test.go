package webhooks_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// release is the namespace of the operator, where requests for what is in no namespace are opened.
const release = "countersign-release"

// TestRedeemClusterScoped acts on what is in no namespace.
func TestRedeemClusterScoped(t *testing.T) {
	e := newEnvironment(t, "--namespace", release)
	if err := e.admin.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: release}}); client.IgnoreAlreadyExists(err) != nil {
		t.Fatal(err)
	}
	cordon := func(ctx context.Context, s *story) error { return s.kubectl(ctx, s.agent, "cordon", node(s).Name) }
	for name, tc := range map[string]shape{
		"kubectl cordon": cordoning(cordon),
		"asked by kubectl cordon, done by a patch": cordoning(cordon).by(func(ctx context.Context, s *story) error {
			return patch(ctx, s.agent, node(s), types.MergePatchType, `{"spec":{"unschedulable":true}}`)
		}),
		"a label of a namespace": labelledNamespace(),
		"a new object":           priorityClass(),
	} {
		t.Run(name, func(t *testing.T) { tc.run(t, e) })
	}
}

func node(s *story) *corev1.Node {
	return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node-" + s.namespace}}
}

// cordoning has a node that controllers look after too.
func cordoning(ask route) shape {
	return shape{
		ask: ask,
		prepare: func(t *testing.T, s *story) {
			s.requests = release
			allowed(t, s.admin.Create(t.Context(), node(s)))
		},
		landed: func(ctx context.Context, s *story) error {
			n := node(s)
			if err := s.there(ctx, n); err != nil {
				return err
			}
			if !n.Spec.Unschedulable {
				return errors.New("it is not cordoned")
			}
			return nil
		},
		revert: func(t *testing.T, s *story) { allowed(t, s.kubectl(t.Context(), s.person, "uncordon", node(s).Name)) },
	}
}

// labelledNamespace is of the agent's own namespace. Requests about it are not in it.
func labelledNamespace() shape {
	set := func(ctx context.Context, s *story, who *identity, label string) error {
		return s.kubectl(ctx, who, "label", "namespace", s.namespace, label)
	}
	return shape{
		prepare: func(_ *testing.T, s *story) { s.requests = release },
		ask:     func(ctx context.Context, s *story) error { return set(ctx, s, s.agent, "tier=front") },
		landed: func(ctx context.Context, s *story) error {
			ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.namespace}}
			if err := s.there(ctx, ns); err != nil {
				return err
			}
			if ns.Labels["tier"] != "front" {
				return fmt.Errorf("the labels are %v", ns.Labels)
			}
			return nil
		},
		revert: func(t *testing.T, s *story) { allowed(t, set(t.Context(), s, s.person, "tier-")) },
	}
}

func priorityClass() shape {
	object := func(s *story) *schedulingv1.PriorityClass {
		return &schedulingv1.PriorityClass{ObjectMeta: metav1.ObjectMeta{Name: "low-" + s.namespace}, Value: 1}
	}
	return shape{
		prepare: func(_ *testing.T, s *story) { s.requests = release },
		ask: func(ctx context.Context, s *story) error {
			return s.kubectl(ctx, s.agent, "create", "priorityclass", object(s).Name, "--value=1")
		},
		redeem: func(ctx context.Context, s *story) error { return s.agent.Create(ctx, object(s)) },
		landed: func(ctx context.Context, s *story) error { return s.there(ctx, object(s)) },
		revert: func(t *testing.T, s *story) { allowed(t, s.admin.Delete(t.Context(), object(s))) },
	}
}

package webhooks_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/hack/controlplane"
	"github.com/countersign-dev/countersign/internal/operatortest"
)

// TestPreemption has a scheduler and a node with room for one of two pods.
func TestPreemption(t *testing.T) {
	e := newOwn(t, controlplane.Options{Nodes: 1})
	namespace, agent, web := governed(t, e, `
enforcement: Enforce
subjects: [AGENT]
tasks:
- name: workloads
  scope:
    resourceRules: [{apiGroups: [apps], resources: [deployments], operations: ["*"]}]
    namespaces: [NAMESPACE]
`)
	most := mostOfNode(t, e)
	vital := pod(namespace, "vital")
	vital.Spec.Containers[0].Resources.Requests = most
	allowed(t, e.admin.Create(t.Context(), vital))
	operatortest.Eventually(t, "the pod is on the node", func(ctx context.Context) error {
		if err := e.admin.Get(ctx, client.ObjectKeyFromObject(vital), vital); err != nil || vital.Spec.NodeName == "" {
			return stillNot("it is nowhere", err)
		}
		return nil
	})
	allowed(t, e.admin.Create(t.Context(), &schedulingv1.PriorityClass{ObjectMeta: metav1.ObjectMeta{Name: "high"}, Value: 1000}))
	cpu := most[corev1.ResourceCPU]
	crowd := fmt.Sprintf(`{"spec":{"template":{"spec":{"containers":[{"name":"web","resources":{"requests":{"cpu":%q}}}]}}}}`, cpu.String())
	allowed(t, patch(t.Context(), agent, web, types.StrategicMergePatchType, crowd))

	const raise = `{"spec":{"template":{"spec":{"priorityClassName":"high"}}}}`
	refused(t, patch(t.Context(), agent, web, types.MergePatchType, raise), "FieldOutOfScope")
	if err := pushedOut(t.Context(), e, vital); err == nil {
		t.Error("the pod is pushed out for the agent")
	}
	allowed(t, patch(t.Context(), e.person(t, "erin"), web, types.MergePatchType, raise))
	operatortest.Eventually(t, "the pod is pushed out for a person", func(ctx context.Context) error { return pushedOut(ctx, e, vital) })
}

// mostOfNode is more than half of the CPU of the only node.
func mostOfNode(t *testing.T, e *environment) corev1.ResourceList {
	t.Helper()
	nodes := &corev1.NodeList{}
	operatortest.Eventually(t, "the node has a size", func(ctx context.Context) error {
		if err := e.admin.List(ctx, nodes); err != nil {
			return err
		}
		if len(nodes.Items) != 1 || nodes.Items[0].Status.Allocatable.Cpu().IsZero() {
			return errors.New("not yet")
		}
		return nil
	})
	millis := nodes.Items[0].Status.Allocatable.Cpu().MilliValue()
	return corev1.ResourceList{corev1.ResourceCPU: *resource.NewMilliQuantity(millis*2/3, resource.DecimalSI)}
}

// pushedOut is nil when the scheduler has a pod make room.
func pushedOut(ctx context.Context, e *environment, p *corev1.Pod) error {
	live := p.DeepCopy()
	if err := e.admin.Get(ctx, client.ObjectKeyFromObject(p), live); err != nil {
		return client.IgnoreNotFound(err)
	}
	if live.DeletionTimestamp == nil {
		return fmt.Errorf("it is %s", live.Status.Phase)
	}
	return nil
}

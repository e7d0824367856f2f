package controlplane

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// waitUsable waits for what a first test would stumble over: components report
// ready before their controllers have done the first round.
func (p *Plane) waitUsable(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	client, err := kubernetes.NewForConfig(p.admin)
	if err != nil {
		return fmt.Errorf("creating a client: %w", err)
	}
	if p.router != nil {
		p.router.use(client)
	}
	for i := range p.opts.Nodes {
		if err := createNode(ctx, client, fmt.Sprintf("node-%d", i)); err != nil {
			return err
		}
	}
	if p.Component(ControllerManager) != nil {
		if err := poll(ctx, func() error { return accountsWork(ctx, client) }); err != nil {
			return fmt.Errorf("waiting for the default service account: %w", err)
		}
	}
	if err := poll(ctx, func() error { return nodesReady(ctx, client, p.opts.Nodes) }); err != nil {
		return fmt.Errorf("waiting for nodes: %w", err)
	}
	return nil
}

// poll retries until the context ends and returns the last reason.
func poll(ctx context.Context, try func() error) error {
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func accountsWork(ctx context.Context, client kubernetes.Interface) error {
	_, err := client.CoreV1().ServiceAccounts(metav1.NamespaceDefault).Get(ctx, "default", metav1.GetOptions{})
	return err
}

func createNode(ctx context.Context, client kubernetes.Interface, name string) error {
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{
		corev1.LabelHostname: name,
		corev1.LabelOSStable: "linux",
	}}}
	if _, err := client.CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("creating node %s: %w", name, err)
	}
	return nil
}

// nodesReady wants nodes that a pod can be scheduled to.
func nodesReady(ctx context.Context, client kubernetes.Interface, want int) error {
	if want == 0 {
		return nil
	}
	nodes, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	ready := 0
	for _, node := range nodes.Items {
		if len(node.Spec.Taints) == 0 && len(node.Status.Allocatable) > 0 {
			ready++
		}
	}
	if ready < want {
		return errors.New("not all are ready and free of taints")
	}
	return nil
}

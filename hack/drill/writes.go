package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/hack/measure"
)

// writer patches ConfigMaps of a namespace, one for each worker, so that writes do not wait for each other.
func (s *stage) writer(ctx context.Context, c client.Client, namespace, prefix string, workers int, every time.Duration,
) (*measure.Load, error) {
	for i := range workers {
		target := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: fmt.Sprintf("%s-%d", prefix, i)}}
		if err := s.Create(ctx, target); err != nil {
			return nil, err
		}
	}
	var count atomic.Int64
	return &measure.Load{Workers: workers, Every: every, Write: func(ctx context.Context, worker, _ int) error {
		target := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: fmt.Sprintf("%s-%d", prefix, worker)}}
		return c.Patch(ctx, target, client.RawPatch(types.MergePatchType, fmt.Appendf(nil, `{"data":{"n":"%d"}}`, count.Add(1))))
	}}, nil
}

// scaler has a person scale a Deployment up and down, so that controllers make and remove pods.
func (s *stage) scaler(ctx context.Context, c client.Client, every time.Duration) (*measure.Load, error) {
	labels := map[string]string{"app": "web"}
	err := s.Create(ctx, &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web"},
		Spec: appsv1.DeploymentSpec{
			Replicas: new(int32), Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "web", Image: "shop/web:1.0"}}},
			},
		},
	})
	return &measure.Load{Workers: 1, Every: every, Write: func(ctx context.Context, _, n int) error {
		return scale(ctx, c, 1+4*(n%2))
	}}, err
}

func scale(ctx context.Context, c client.Client, replicas int) error {
	web := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web"}}
	return c.Patch(ctx, web, client.RawPatch(types.MergePatchType, fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, replicas)))
}

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/hack/testbed"
)

// shop is the namespace in which updates are measured.
const shop = "shop"

// kind is what is updated: objects of one size, one for each client, so that they do not wait for each other.
type kind struct {
	// name is what tables call it.
	name string
	// object makes the one of a client.
	object func(client int) client.Object
	// patch is a JSON patch after which the object differs by one value.
	patch string
}

var (
	smallDeployment = kind{"Deployment", func(n int) client.Object { return deployment("small", n, 1, 2) }, imagePatch}
	largeDeployment = kind{"large Deployment", func(n int) client.Object { return deployment("large", n, 20, 12) }, imagePatch}
	secret          = kind{"Secret", credentials, `[{"op":"replace","path":"/data/n","value":"%s"}]`}
)

const imagePatch = `[{"op":"replace","path":"/spec/template/spec/containers/0/image","value":"registry.example.com/shop/web:%s"}]`

func deployment(prefix string, n, containers, variables int) client.Object {
	labels := map[string]string{"app.kubernetes.io/name": prefix, "app.kubernetes.io/part-of": "shop", "n": fmt.Sprint(n)}
	spec := corev1.PodSpec{ServiceAccountName: "default"}
	for c := range containers {
		spec.Containers = append(spec.Containers, container(c, variables))
	}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: shop, Name: fmt.Sprintf("%s-%d", prefix, n), Labels: labels},
		Spec: appsv1.DeploymentSpec{
			Replicas: new(int32(3)), Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: spec},
		},
	}
}

func container(n, variables int) corev1.Container {
	c := corev1.Container{
		Name: fmt.Sprintf("web-%d", n), Image: "registry.example.com/shop/web:1.0.0",
		Ports: []corev1.ContainerPort{{Name: fmt.Sprintf("http-%d", n), ContainerPort: int32(8080 + n)}}, //nolint:gosec // a few
		Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("50m"), corev1.ResourceMemory: resource.MustParse("64Mi")},
			Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("256Mi")},
		},
	}
	for v := range variables {
		c.Env = append(c.Env, corev1.EnvVar{Name: fmt.Sprintf("SETTING_%d", v), Value: fmt.Sprintf("https://shop.example.com/%d", v)})
	}
	return c
}

func credentials(n int) client.Object {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: shop, Name: fmt.Sprintf("credentials-%d", n)},
		Data:       map[string][]byte{"n": []byte("000000"), "password": make([]byte, 512)},
	}
}

// written makes each written value another one.
var written atomic.Int64

// update changes the object of a client.
func (k *kind) update(ctx context.Context, c client.Client, n int) error {
	value := fmt.Sprintf("%08d", written.Add(1)) // eight digits are Base64 as well
	return c.Patch(ctx, k.object(n), client.RawPatch(types.JSONPatchType, fmt.Appendf(nil, k.patch, value)))
}

// furnish makes the objects of all clients and says how large one is as it is stored, with what the API server adds, in bytes.
func (k *kind) furnish(ctx context.Context, s *testbed.Testbed, clients int) (int, error) {
	for n := range clients {
		if err := s.Create(ctx, k.object(n)); err != nil {
			return 0, err
		}
	}
	object := k.object(0)
	if err := k.update(ctx, s.Admin, 0); err != nil {
		return 0, fmt.Errorf("updating a %s: %w", k.name, err)
	}
	if err := s.Admin.Get(ctx, client.ObjectKeyFromObject(object), object); err != nil {
		return 0, fmt.Errorf("reading a %s: %w", k.name, err)
	}
	text, err := json.Marshal(object)
	return len(text), err
}

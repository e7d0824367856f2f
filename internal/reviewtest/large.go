package reviewtest

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// Named is the body of the captured review of a name.
func Named(tb testing.TB, name string) []byte {
	tb.Helper()
	for _, r := range All(tb) {
		if r.Name == name+".json" {
			return r.Body
		}
	}
	tb.Fatalf("no review %s", name)
	return nil
}

// WithContainers is the body of a captured review of a Deployment or a Pod that has so many containers, each with 15
// variables, and of which the first manager owns what was added. As the API server does, it writes fields in the order of
// their types. 18 containers make a Deployment of 40 KB.
func WithContainers(tb testing.TB, name string, containers int) []byte {
	tb.Helper()
	return edit(tb, Named(tb, name), func(r *admissionv1.AdmissionRequest) {
		for _, object := range []*runtime.RawExtension{&r.Object, &r.OldObject} {
			switch {
			case object.Raw == nil:
			case r.Kind.Kind == "Deployment":
				rewrite(tb, object, func(d *appsv1.Deployment) {
					grow(tb, &d.ObjectMeta, &d.Spec.Template.Spec, containers, "f:spec", "f:template", "f:spec", "f:containers")
				})
			default:
				rewrite(tb, object, func(p *corev1.Pod) {
					grow(tb, &p.ObjectMeta, &p.Spec, containers, "f:spec", "f:containers")
				})
			}
		}
	})
}

// LargeConfigMap is the body of a review of a ConfigMap of 1 MB, of which one key changes. Each of its texts has 650 lines.
func LargeConfigMap(tb testing.TB) []byte {
	tb.Helper()
	return edit(tb, Named(tb, "deployment-set-image.1"), func(r *admissionv1.AdmissionRequest) {
		r.Name, r.Kind = "large", metav1.GroupVersionKind{Version: "v1", Kind: "ConfigMap"}
		r.Resource = metav1.GroupVersionResource{Version: "v1", Resource: "configmaps"}
		r.RequestKind, r.RequestResource = &r.Kind, &r.Resource
		object := &corev1.ConfigMap{Data: map[string]string{}}
		object.Namespace, object.Name, object.UID = "shop", "large", "1"
		object.APIVersion, object.Kind = "v1", "ConfigMap"
		for i := range 100 {
			object.Data[fmt.Sprintf("key-%d", i)] = strings.Repeat("0123456789abcde\n", 650)
		}
		for value, into := range map[string]*runtime.RawExtension{"1": &r.OldObject, "2": &r.Object} {
			object.Data["key-50"] = value
			into.Raw = encode(tb, object)
		}
	})
}

func edit(tb testing.TB, body []byte, change func(*admissionv1.AdmissionRequest)) []byte {
	tb.Helper()
	var review admissionv1.AdmissionReview
	decode(tb, body, &review)
	change(review.Request)
	return Post(encode(tb, review.Request))
}

func rewrite[T any](tb testing.TB, raw *runtime.RawExtension, change func(*T)) {
	tb.Helper()
	object := new(T)
	decode(tb, raw.Raw, object)
	change(object)
	raw.Raw = encode(tb, object)
}

// grow adds containers to a pod, and to what the first manager owns at the path of containers.
func grow(tb testing.TB, meta *metav1.ObjectMeta, spec *corev1.PodSpec, n int, path ...string) {
	tb.Helper()
	var owned map[string]any
	decode(tb, meta.ManagedFields[0].FieldsV1.GetRawBytes(), &owned)
	set := owned
	for _, field := range path {
		below, found := set[field].(map[string]any)
		if !found {
			below = map[string]any{}
			set[field] = below
		}
		set = below
	}
	for i := len(spec.Containers); i < n; i++ {
		c := container(fmt.Sprintf("c%d", i), int32(8000+i)) //nolint:gosec // it fits
		spec.Containers = append(spec.Containers, c)
		set[fmt.Sprintf(`k:{"name":%q}`, c.Name)] = ownedOf(c.Env)
	}
	meta.ManagedFields[0].FieldsV1.SetRawBytes(encode(tb, owned))
}

func container(name string, port int32) corev1.Container {
	c := corev1.Container{
		Name: name, Image: "registry.example.com/c:1", ImagePullPolicy: corev1.PullIfNotPresent,
		TerminationMessagePath: "/dev/termination-log", TerminationMessagePolicy: corev1.TerminationMessageReadFile,
		Ports:        []corev1.ContainerPort{{ContainerPort: port, Protocol: corev1.ProtocolTCP}},
		VolumeMounts: []corev1.VolumeMount{{Name: "cache", MountPath: "/a"}, {Name: "cache", MountPath: "/b"}},
	}
	for i := range 15 {
		c.Env = append(c.Env, corev1.EnvVar{Name: fmt.Sprintf("VARIABLE_%d", i), Value: strings.Repeat("v", 24)})
	}
	return c
}

// ownedOf is the set of fields of a container, as managedFields have it.
func ownedOf(env []corev1.EnvVar) map[string]any {
	set := map[string]any{".": map[string]any{}}
	for _, field := range []string{"name", "image", "imagePullPolicy", "resources", "terminationMessagePath", "terminationMessagePolicy"} {
		set["f:"+field] = map[string]any{}
	}
	variables := map[string]any{".": map[string]any{}}
	for i := range env {
		variable := map[string]any{".": map[string]any{}, "f:name": map[string]any{}, "f:value": map[string]any{}}
		variables[fmt.Sprintf(`k:{"name":%q}`, env[i].Name)] = variable
	}
	set["f:env"] = variables
	return set
}

func decode(tb testing.TB, raw []byte, into any) {
	tb.Helper()
	if err := json.Unmarshal(raw, into); err != nil {
		tb.Fatal(err)
	}
}

func encode(tb testing.TB, v any) []byte {
	tb.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		tb.Fatal(err)
	}
	return raw
}

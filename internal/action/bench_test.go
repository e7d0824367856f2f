package action

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

// BenchmarkNormalise measures what a review costs before any policy is looked at.
func BenchmarkNormalise(b *testing.B) {
	deployment, deploymentFacts := largeDeployment(b, 18)
	pods, podFacts := readReview(b, "pod-create.1")
	pods.Object = []byte(manyContainers(b, string(pods.Object), 30))
	debug, debugFacts := readReview(b, "pod-debug.1")
	debug.OldObject = []byte(manyContainers(b, string(debug.OldObject), 30))
	debug.Object = []byte(strings.Replace(manyContainers(b, string(debug.Object), 30), "box:1", "box:2", 1))
	configMap, configMapFacts := largeConfigMap()

	for _, bc := range []struct {
		name    string
		request Request
		facts   Facts
	}{
		{"40 KB Deployment, an image", deployment, deploymentFacts},
		{"Pod of 30 containers, created", pods, podFacts},
		{"Pod of 30 containers, changed", debug, debugFacts},
		{"1 MB ConfigMap, a key", configMap, configMapFacts},
	} {
		b.Run(bc.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(bc.request.Object) + len(bc.request.OldObject)))
			for b.Loop() {
				if _, err := Normalise(bc.request, bc.facts); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkHash(b *testing.B) {
	request, facts := largeDeployment(b, 18)
	a, err := Normalise(request, facts)
	if err != nil {
		b.Fatal(err)
	}
	created := normalised(b, "deployment-create.1")
	b.Run("an image", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			hasher.Hash(a)
		}
	})
	b.Run("a created Deployment", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			hasher.Hash(created)
		}
	})
}

func BenchmarkCovers(b *testing.B) {
	pattern, err := ParsePattern("spec.template.spec.containers[*].image")
	if err != nil {
		b.Fatal(err)
	}
	path := normalised(b, "deployment-set-image.1").Changes[0].Path
	b.ReportAllocs()
	for b.Loop() {
		if !pattern.Covers(path) {
			b.Fatal("not covered")
		}
	}
}

// largeDeployment makes a recorded Deployment one of about 40 KB with managedFields, of which one image changes.
func largeDeployment(tb testing.TB, containers int) (Request, Facts) {
	tb.Helper()
	request, facts := readReview(tb, "deployment-set-image.1")
	request.OldObject = []byte(manyContainers(tb, string(request.OldObject), containers))
	request.Object = []byte(manyContainers(tb, string(request.Object), containers))
	return request, facts
}

// manyContainers adds containers with variables, mounts and ports, and their ownership by the first manager.
func manyContainers(tb testing.TB, raw string, n int) string {
	tb.Helper()
	object := deepCopy(mustDecode(tb, raw)).(map[string]any)
	path := []string{"spec", "containers"}
	if at(object, "spec", "template").Present {
		path = []string{"spec", "template", "spec", "containers"}
	}
	containers := asList(at(object, path...))
	owned := map[string]any{}
	for i := len(containers); i < n; i++ {
		name := fmt.Sprintf("c%d", i)
		container := map[string]any{"name": name, "image": "registry.example.com/c:1", "imagePullPolicy": "IfNotPresent", "resources": map[string]any{},
			"terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"}
		fields := map[string]any{".": map[string]any{}}
		for field := range container {
			fields["f:"+field] = map[string]any{}
		}
		env, ownedEnv := []any{}, map[string]any{".": map[string]any{}}
		for j := range 15 {
			variable := fmt.Sprintf("VARIABLE_%d", j)
			env = append(env, map[string]any{"name": variable, "value": strings.Repeat("v", 24)})
			ownedEnv[fmt.Sprintf(`k:{"name":%q}`, variable)] = map[string]any{".": map[string]any{}, "f:name": map[string]any{}, "f:value": map[string]any{}}
		}
		container["env"], fields["f:env"] = env, ownedEnv
		container["ports"] = []any{map[string]any{"containerPort": int64(8000 + i), "protocol": "TCP"}}
		container["volumeMounts"] = []any{map[string]any{"name": "cache", "mountPath": "/a"}, map[string]any{"name": "cache", "mountPath": "/b"}}
		containers = append(containers, container)
		owned[fmt.Sprintf(`k:{"name":%q}`, name)] = fields
	}
	object = with(object, containers, path...)
	managers := asList(managedFields(object))
	set := owned
	for _, name := range slices.Backward(path) {
		set = map[string]any{"f:" + name: set}
	}
	managers[0] = with(managers[0].(map[string]any), merge(at(managers[0].(map[string]any), "fieldsV1").V.(map[string]any), set), "fieldsV1")
	return canonicalText(object)
}

func largeConfigMap() (Request, Facts) {
	object := func(first string) []byte {
		data := map[string]any{"first": first}
		for i := range 100 {
			data[fmt.Sprintf("key-%d", i)] = strings.Repeat("0123456789abcde\n", 650)
		}
		return []byte(canonicalText(map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "data": data,
			"metadata": map[string]any{"name": "large", "namespace": "shop", "uid": "1"}}))
	}
	return Request{
			Operation: v1alpha1.OperationUpdate, Version: "v1", Resource: "configmaps", Namespace: "shop", Name: "large",
			OldObject: object("1"), Object: object("2"),
		},
		Facts{Kind: KindFacts{Kind: "ConfigMap", Namespaced: true, PreferredVersion: "v1"}}
}

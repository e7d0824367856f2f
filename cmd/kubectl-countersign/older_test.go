package main_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/hack/controlplane"
	"github.com/countersign-dev/countersign/internal/operatortest"
)

const bigAgent = "system:serviceaccount:ci:deploy-bot"

// TestLargeAndOlder asks of a cluster with more than a thousand policies, with definitions that lack fields, and with
// objects that have fields nobody knows here.
func TestLargeAndOlder(t *testing.T) {
	s := bareShop(t, controlplane.Options{})
	s.create(t, deployment("web", "nginx:1.28"))
	s.create(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "ci"}})
	t.Run("thousands", func(t *testing.T) { testThousands(t, s) })
	t.Run("older", func(t *testing.T) { testOlder(t, s) })
}

// bigPolicy is one of many, in which one agent of a namespace may roll images at night.
func bigPolicy(i int) *v1alpha1.AgentActionPolicy {
	return &v1alpha1.AgentActionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("shop-%04d", i)},
		Spec: v1alpha1.AgentActionPolicySpec{
			Enforcement: v1alpha1.Enforce, TimeZone: "Europe/Berlin",
			Subjects: []v1alpha1.Subject{{Kind: v1alpha1.SubjectServiceAccount, Namespace: "ci", Name: "deploy-bot"}},
			Windows: []v1alpha1.Window{{Name: "once", Once: &v1alpha1.OnceWindow{
				From: metav1.NewTime(time.Date(2034, 1, 7, 21, 0, 0, 0, time.UTC)), To: metav1.NewTime(time.Date(2034, 1, 8, 5, 0, 0, 0, time.UTC)),
			}}},
			ChangeWindows: &v1alpha1.ChangeWindows{Allowed: []v1alpha1.WindowName{"once"}},
			Tasks: []v1alpha1.Task{{Name: "roll-images", Scope: v1alpha1.TaskScope{
				ResourceRules: []v1alpha1.ResourceRule{{
					APIGroups: []string{"apps"}, Resources: []string{"deployments"}, Operations: []v1alpha1.Operation{v1alpha1.OperationUpdate},
				}},
				Namespaces: []string{fmt.Sprintf("shop-%04d", i)},
			}}},
		},
	}
}

func testThousands(t *testing.T, s *shop) {
	const policies, approvals = 1200, 2000
	var group errgroup.Group
	group.SetLimit(16)
	for i := range policies {
		group.Go(func() error { return s.admin.Create(context.Background(), bigPolicy(i)) })
	}
	for i := range approvals {
		group.Go(func() error { return s.admin.Create(context.Background(), ended(i)) })
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	admin := s.kubeconfigs["admin"]
	for name, tc := range map[string]struct {
		args  []string
		code  int
		lines int
		want  string
	}{
		"list":    {[]string{"list", "-n", "shop"}, 0, approvals + 1, "old-1999 "},
		"windows": {[]string{"windows", "--from", "2034-01-06T12:00:00+01:00", "--next", "3d"}, 0, 0, "shop-1199"},
		"one window": {
			[]string{"windows", "shop-0815", "--from", "2034-01-06T12:00:00+01:00", "--next", "3d"}, 0, 0, "shop-0815",
		},
		"can-i": {
			[]string{"can-i", "scale", "deploy/web", "--replicas", "3", "-n", "shop", "--as", bigAgent, "--at", "2033-11-24T10:00:00+01:00"},
			1, 0, "change window closed (policy shop-0000)",
		},
		"explain":  {[]string{"explain", "last", "-n", "shop", "--at", "2033-11-24T10:00:00+01:00"}, 0, 0, "a run of task shop-deploy-bot/restart-pods"},
		"show":     {[]string{"show", "old-1234", "-n", "shop"}, 0, 0, "shop/old-1234"},
		"complete": {[]string{"__complete", "show", "-n", "shop", "old-19"}, 0, 0, "old-1999"},
		"doctor":   {[]string{"doctor"}, 1, 0, "policies: 1200 Enforce, 0 Warn, 0 Audit"},
	} {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			got := run(t, admin, tc.args...)
			t.Logf("%d lines in %s", strings.Count(got.out, "\n"), time.Since(began).Round(time.Millisecond))
			if got.code != tc.code || !strings.Contains(got.out, tc.want) || tc.lines > 0 && strings.Count(got.out, "\n") != tc.lines {
				t.Errorf("it ends with %d, without %q in\n%.3000s\n%s", got.code, tc.want, got.out, got.err)
			}
		})
	}
	t.Run("a screen", func(t *testing.T) {
		for line := range strings.Lines(runOnScreen(t, 80, admin, []string{"NO_COLOR=1"}, "can-i", "scale", "deploy/web", "--replicas", "3",
			"-n", "shop", "--as", bigAgent, "--at", "2033-11-24T10:00:00+01:00").out) {
			if len([]rune(line)) > 81 {
				t.Errorf("a line is wider than the screen: %s", line)
			}
		}
	})
	t.Run("test", testThousandCases)
	if err := s.admin.DeleteAllOf(t.Context(), &v1alpha1.AgentActionPolicy{}); err != nil {
		t.Fatal(err)
	}
}

// testThousandCases runs tests of policies in a file.
func testThousandCases(t *testing.T) {
	text, err := os.ReadFile("testdata/policytest/passing.yaml")
	if err != nil {
		t.Fatal(err)
	}
	head, cases, found := strings.Cut(string(text), "cases:\n")
	first, _, more := strings.Cut(cases, "\n- name:")
	if !found || !more {
		t.Fatal("the test to be repeated has no cases")
	}
	const many = 2000
	var b strings.Builder
	b.WriteString(strings.ReplaceAll(head, "policies: [", "policies: [") + "cases:\n")
	for i := range many {
		b.WriteString(strings.Replace(first, "name: ", fmt.Sprintf("name: %04d ", i), 1) + "\n")
	}
	dir := t.TempDir()
	for _, name := range []string{"policy.yaml", "cluster.yaml", "review.json", "shard.yaml"} {
		content, err := os.ReadFile("testdata/policytest/" + name)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), content, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "many.yaml"), []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	got := run(t, "", "test", filepath.Join(dir, "many.yaml"))
	if got.code != 0 || !strings.Contains(got.out, fmt.Sprintf("%d passed", many)) {
		t.Errorf("it ends with %d:\n%.2000s\n%s", got.code, got.out, got.err)
	}
}

// testOlder takes fields away from the definitions, as if they were of an earlier version; and stores what a later version
// might.
func testOlder(t *testing.T, s *shop) {
	lack := func(definition string, fields ...string) {
		crd := &apiextensionsv1.CustomResourceDefinition{ObjectMeta: metav1.ObjectMeta{Name: definition + ".countersign.dev"}}
		if err := s.admin.Get(t.Context(), client.ObjectKeyFromObject(crd), crd); err != nil {
			t.Fatal(err)
		}
		spec := crd.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"]
		for _, field := range fields {
			if _, has := spec.Properties[field]; !has {
				t.Fatalf("%s have no %s", definition, field)
			}
			delete(spec.Properties, field)
		}
		spec.XValidations = nil
		spec.Properties["later"] = apiextensionsv1.JSONSchemaProps{Type: "string"}
		crd.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"] = spec
		if err := s.admin.Update(t.Context(), crd); err != nil {
			t.Fatal(err)
		}
	}
	lack("agentactionpolicies", "freezes", "guards")
	lack("actionapprovals", "reasons", "requirements", "justification")
	policy, approval := asMap(t, bigPolicy(1)), asMap(t, ended(7001))
	for _, o := range []*client.Object{&policy, &approval} {
		operatortest.Eventually(t, "the definition is served", func(ctx context.Context) error {
			if err := client.IgnoreAlreadyExists(s.admin.Create(ctx, (*o).DeepCopyObject().(client.Object))); err != nil { //nolint:forcetypeassert // a copy
				return err
			}
			return nil
		})
	}
	for file, args := range map[string][]string{
		"can-i": {"can-i", "scale", "deploy/web", "--replicas", "3", "-n", "shop", "--as", bigAgent, "--at", "2033-11-24T10:00:00+01:00"},
		"list":  {"list", "-n", "shop", "--pending", "-o", "name"},
		"show":  {"show", "old-7001", "-n", "shop"}, "explain": {"explain", "old-7001", "-n", "shop", "--at", "2033-11-24T10:00:00+01:00"},
		"windows": {"windows", "--from", "2034-01-06T12:00:00+01:00", "--next", "3d"},
		"doctor":  {"doctor"},
	} {
		golden(t, "older/"+file, transcript(run(t, s.kubeconfigs["admin"], args...), args...))
	}
}

// asMap is an object with a field that nobody knows here.
func asMap(t *testing.T, o client.Object) client.Object {
	t.Helper()
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
	if err != nil {
		t.Fatal(err)
	}
	spec, _ := content["spec"].(map[string]any)
	spec["later"] = "what a later version knows"
	u := &unstructured.Unstructured{Object: content}
	u.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(strings.TrimPrefix(fmt.Sprintf("%T", o), "*v1alpha1.")))
	return u
}

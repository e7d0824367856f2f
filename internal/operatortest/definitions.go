package operatortest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// Root is the folder of the repository.
func Root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..")
}

// ApplyDefinitions creates the resource definitions of config/crd and waits until they are served. The client's
// scheme must know apiextensions.
func ApplyDefinitions(tb testing.TB, c client.Client) {
	tb.Helper()
	files, err := filepath.Glob(filepath.Join(Root(), "config", "crd", "*.yaml"))
	if err != nil || len(files) == 0 {
		tb.Fatalf("finding resource definitions: %v", err)
	}
	for _, file := range files {
		crd := &apiextensionsv1.CustomResourceDefinition{}
		text, err := os.ReadFile(file)
		if err != nil {
			tb.Fatal(err)
		}
		if err := yaml.UnmarshalStrict(text, crd); err != nil {
			tb.Fatalf("reading %s: %v", file, err)
		}
		if err := c.Create(tb.Context(), crd); err != nil && !apierrors.IsAlreadyExists(err) {
			tb.Fatalf("creating %s: %v", crd.Name, err)
		}
		waitEstablished(tb, c, crd)
	}
}

func waitEstablished(tb testing.TB, c client.Client, crd *apiextensionsv1.CustomResourceDefinition) {
	tb.Helper()
	err := wait.PollUntilContextTimeout(tb.Context(), 50*time.Millisecond, 30*time.Second, true, func(ctx context.Context) (bool, error) {
		if err := c.Get(ctx, client.ObjectKeyFromObject(crd), crd); err != nil {
			return false, fmt.Errorf("reading %s: %w", crd.Name, err)
		}
		for _, condition := range crd.Status.Conditions {
			if condition.Type == apiextensionsv1.Established {
				return condition.Status == apiextensionsv1.ConditionTrue, nil
			}
		}
		return false, nil
	})
	if err != nil {
		tb.Fatalf("waiting until %s is served: %v", crd.Name, err)
	}
}

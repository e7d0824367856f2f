// Package examples applies the examples, and the policies that the documents show, to a real API server with the real
// operator, and does as the agents what each example allows and refuses.
package examples

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/countersign-dev/countersign/hack/controlplane"
	"github.com/countersign-dev/countersign/internal/operatortest"
)

func TestMain(m *testing.M) { controlplane.Main(m, controlplane.Options{}) }

// TestExamples shares one API server and one operator, whose decision log is checked at the end.
func TestExamples(t *testing.T) {
	c := newCluster(t)
	t.Run("agents", func(t *testing.T) {
		for _, e := range examples {
			t.Run(e.dir, func(t *testing.T) {
				t.Parallel()
				e.run(t, c)
			})
		}
	})
	t.Run("documents", func(t *testing.T) { documents(t, c) })
	t.Run("decision log", func(t *testing.T) { decisionLog(t, c) })
}

// cluster is a real API server with the operator serving, and clients for it.
type cluster struct {
	plane    *controlplane.Plane
	operator *operatortest.Operator
	home     string
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	plane := controlplane.Shared(t)
	c := &cluster{plane: plane, home: t.TempDir()}
	c.must(t, "", "kubectl apply -f ../config/crd")
	// kubectl wait fails on a definition that has no conditions yet.
	within(t, "the definition to be established", func() (bool, string) {
		output, err := c.try(t, "", "", "kubectl wait --for=condition=Established --timeout=60s crd/agentactionpolicies.countersign.dev")
		return err == nil, output
	})
	c.operator = operatortest.Start(t, plane.Kubeconfig("admin"))
	// Policies are validated from the moment at which the API server knows the webhook.
	const impossible = `{apiVersion: countersign.dev/v1alpha1, kind: AgentActionPolicy, metadata: {name: impossible}, spec: {
		enforcement: Enforce, subjects: [{kind: User, name: nobody}], tasks: [{name: none, scope: {namespaces: [x-],
		resourceRules: [{apiGroups: [""], resources: [pods], operations: [DELETE]}]}}]}}`
	within(t, "policies to be validated", func() (bool, string) {
		output, err := c.try(t, "", impossible, "kubectl apply --dry-run=server -f -")
		return err != nil && strings.Contains(output, "spec.tasks[0].scope.namespaces[0]"), output
	})
	return c
}

// try runs a command line of kubectl or helm. An empty kubeconfig is the administrator's.
func (c *cluster) try(t *testing.T, kubeconfig, stdin, line string) (string, error) {
	t.Helper()
	if kubeconfig == "" {
		kubeconfig = c.plane.Kubeconfig("admin")
	}
	args := strings.Fields(line)
	// Without the context of the test, which has ended where this cleans up.
	command := exec.Command(filepath.Join(c.plane.BinDir(), args[0]), args[1:]...)
	command.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig, "HOME="+c.home, "KUBECACHEDIR="+filepath.Join(c.home, "kube"),
		"HELM_CACHE_HOME="+c.home, "HELM_CONFIG_HOME="+c.home, "HELM_DATA_HOME="+c.home)
	var output bytes.Buffer
	command.Stdin, command.Stdout, command.Stderr = strings.NewReader(stdin), &output, &output
	err := command.Run()
	return output.String(), err
}

// must runs a command line of the administrator that has to succeed.
func (c *cluster) must(t *testing.T, stdin, line string) string {
	t.Helper()
	output, err := c.try(t, "", stdin, line)
	if err != nil {
		t.Fatalf("%s: %v\n%s", line, err, output)
	}
	return output
}

// account writes a kubeconfig for a service account, creating it where it is absent.
func (c *cluster) account(t *testing.T, namespace, name string) string {
	t.Helper()
	kubeconfig, err := c.plane.ServiceAccountKubeconfig(t.Context(), namespace, name)
	if err != nil {
		t.Fatal(err)
	}
	return kubeconfig
}

// within polls with a bound that only a defect reaches.
func within(t *testing.T, what string, try func() (done bool, last string)) {
	t.Helper()
	var last string
	err := wait.PollUntilContextTimeout(t.Context(), 100*time.Millisecond, time.Minute, true, func(context.Context) (bool, error) {
		var done bool
		done, last = try()
		return done, nil
	})
	if err != nil {
		t.Fatalf("waiting for %s: %v\n%s", what, err, last)
	}
}

var tail = regexp.MustCompile(`\[countersign decision=(\w+) reasons=([\w,]+)`)

// reasons are those of the refusal in what a client printed, or what is wrong with it.
func reasons(output string) string {
	found := tail.FindStringSubmatch(output)
	switch {
	case found == nil:
		return "no refusal of Countersign"
	case found[1] != "Deny":
		return fmt.Sprintf("decision %s with %s", found[1], found[2])
	}
	return found[2]
}

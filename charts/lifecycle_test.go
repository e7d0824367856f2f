package charts

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/countersign-dev/countersign/hack/controlplane"
)

// TestLifecycle takes a release through its life with the Helms that people have, and from one to the other: it is
// installed as it was, upgraded to what it is, rolled back, upgraded again, and uninstalled.
func TestLifecycle(t *testing.T) {
	binaries := controlplane.Shared(t).Binaries()
	for name, by := range map[string]struct{ first, then string }{
		"Helm 3":             {first: binaries.Helm3, then: binaries.Helm3},
		"Helm 4":             {first: binaries.Helm, then: binaries.Helm},
		"Helm 3, and then 4": {first: binaries.Helm3, then: binaries.Helm},
	} {
		t.Run(name, func(t *testing.T) {
			a := admin(t)
			makeNamespace(t, a)
			t.Cleanup(func() { removeRelease(t) })
			do := func(binary string, args ...string) string {
				t.Helper()
				out, err := runHelm(t, binary, append(args, "--namespace", namespace, "--timeout", "60s")...)
				if err != nil {
					t.Fatalf("helm %s: %v\n%s", strings.Join(args, " "), err, out)
				}
				return out
			}
			// What a release of this chart is, where nothing was before it.
			do(by.then, "install", release, chart, "--wait")
			fresh := contents(t, a)
			do(by.then, "uninstall", release, "--wait")
			wantNothingLeft(t, a)

			before := previousChart(t)
			do(by.first, "install", release, before, "--wait")
			old := contents(t, a)

			do(by.then, "upgrade", release, chart, "--wait")
			if diff := cmp.Diff(fresh, contents(t, a)); diff != "" {
				t.Errorf("an upgrade makes something else than an installation (-installed +upgraded):\n%s", diff)
			}
			wantNoDiff(t, a, func() { do(by.then, "upgrade", release, chart, "--wait") })

			do(by.then, "rollback", release, "1", "--wait")
			if diff := cmp.Diff(old, contents(t, a)); diff != "" {
				t.Errorf("a rollback does not lead back (-before +after):\n%s", diff)
			}
			do(by.then, "upgrade", release, chart, "--wait")
			if diff := cmp.Diff(fresh, contents(t, a)); diff != "" {
				t.Errorf("an upgrade after a rollback makes something else (-installed +upgraded):\n%s", diff)
			}
			do(by.then, "uninstall", release, "--wait")
			wantNothingLeft(t, a)
		})
	}
}

// wantNoDiff wants an upgrade to what is there to write nothing. The one before it may have settled who manages
// which field, so that the second one counts.
func wantNoDiff(t *testing.T, a *connection, upgrade func()) {
	t.Helper()
	upgrade()
	before := versionsOf(objectsOfRelease(t, a))
	upgrade()
	if diff := cmp.Diff(before, versionsOf(objectsOfRelease(t, a))); diff != "" {
		t.Errorf("a second upgrade writes objects (-before +after):\n%s", diff)
	}
}

// versionsOf gives the version and the generation of each object whose version nobody but Helm moves: the status of a
// Deployment is written by its controller.
func versionsOf(objects []*unstructured.Unstructured) map[string]string {
	versions := map[string]string{}
	for _, o := range objects {
		version := o.GetResourceVersion()
		if o.GetKind() == "Deployment" || o.GetKind() == "PodDisruptionBudget" {
			version = "any"
		}
		versions[o.GetKind()+" "+o.GetName()] = fmt.Sprintf("%s, generation %d", version, o.GetGeneration())
	}
	return versions
}

// contents is what the objects of the release say, without what the API server adds to each.
func contents(t *testing.T, a *connection) map[string]any {
	t.Helper()
	found := map[string]any{}
	for _, o := range objectsOfRelease(t, a) {
		for _, field := range [][]string{
			{"metadata", "creationTimestamp"}, {"metadata", "generation"}, {"metadata", "managedFields"},
			{"metadata", "resourceVersion"}, {"metadata", "uid"}, {"status"},
			{"spec", "clusterIP"}, {"spec", "clusterIPs"},
			{"metadata", "annotations", "deployment.kubernetes.io/revision"},
		} {
			unstructured.RemoveNestedField(o.Object, field...)
		}
		if len(o.GetAnnotations()) == 0 {
			unstructured.RemoveNestedField(o.Object, "metadata", "annotations")
		}
		found[o.GetKind()+" "+o.GetName()] = o.Object
	}
	return found
}

// kindsOfRelease are those that the chart renders, and those that it might have rendered before.
var kindsOfRelease = []schema.GroupVersionKind{
	{Version: "v1", Kind: "ConfigMap"}, {Version: "v1", Kind: "Secret"}, {Version: "v1", Kind: "Service"},
	{Version: "v1", Kind: "ServiceAccount"},
	{Group: "apps", Version: "v1", Kind: "Deployment"}, {Group: "batch", Version: "v1", Kind: "Job"},
	{Group: "policy", Version: "v1", Kind: "PodDisruptionBudget"},
	{Group: "networking.k8s.io", Version: "v1", Kind: "NetworkPolicy"},
	{Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "ClusterRole"},
	{Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "ClusterRoleBinding"},
	{Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "Role"},
	{Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "RoleBinding"},
	{Group: "admissionregistration.k8s.io", Version: "v1", Kind: "ValidatingAdmissionPolicy"},
	{Group: "admissionregistration.k8s.io", Version: "v1", Kind: "ValidatingAdmissionPolicyBinding"},
	{Group: "flowcontrol.apiserver.k8s.io", Version: "v1", Kind: "FlowSchema"},
	{Group: "flowcontrol.apiserver.k8s.io", Version: "v1", Kind: "PriorityLevelConfiguration"},
	{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"},
}

// objectsOfRelease finds what belongs to the release by its labels, not by its manifest: what Helm forgets to remove
// is found, too. Definitions are found by their group.
func objectsOfRelease(t *testing.T, a *connection) []*unstructured.Unstructured {
	t.Helper()
	var found []*unstructured.Unstructured
	for _, kind := range kindsOfRelease {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(kind)
		if err := a.List(t.Context(), list); err != nil {
			t.Fatal(err)
		}
		for i := range list.Items {
			o := &list.Items[i]
			definition := kind.Kind == "CustomResourceDefinition" && strings.HasSuffix(o.GetName(), ".countersign.dev")
			if definition || o.GetLabels()["app.kubernetes.io/instance"] == release {
				found = append(found, o)
			}
		}
	}
	if len(found) < 10 {
		t.Fatalf("found %d objects of the release, want all", len(found))
	}
	return found
}

// previousChart is the chart as it was before its last change, by the history of the repository. A change that is not
// committed yet counts. Without history it cannot be had, and the test is skipped.
func previousChart(t *testing.T) string {
	t.Helper()
	commit, reason := previousCommit(t)
	if reason != "" {
		t.Skip(reason)
	}
	dir := t.TempDir()
	archive := filepath.Join(dir, "chart.tar")
	git(t, "archive", "--output", archive, commit, "--", chart)
	if out, err := exec.CommandContext(t.Context(), "tar", "-xf", archive, "-C", dir).CombinedOutput(); err != nil {
		t.Fatalf("unpacking the chart of %s: %v\n%s", commit, err, out)
	}
	t.Logf("the chart before is that of commit %s", commit)
	return filepath.Join(dir, chart)
}

// previousCommit finds the commit, or says why there is none to be found.
func previousCommit(t *testing.T) (commit, reason string) {
	t.Helper()
	if _, err := os.Stat("../.git"); os.IsNotExist(err) {
		return "", "this is no checkout of git: there is no chart to upgrade from"
	}
	commits := strings.Fields(git(t, "log", "--max-count=2", "--format=%H", "--", chart))
	if len(commits) > 0 && git(t, "status", "--porcelain", "--", chart) != "" {
		return commits[0], ""
	}
	// The oldest commit of a shallow clone counts as one that changed the chart. That serves where another follows it.
	if len(commits) < 2 {
		return "", "the history of this clone does not reach back beyond the last change of the chart: " +
			"there is no chart to upgrade from; git fetch --unshallow gets it"
	}
	return commits[1], ""
}

func git(t *testing.T, args ...string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), "git", args...)
	var problems bytes.Buffer
	command.Stderr = &problems
	out, err := command.Output()
	if err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, problems.String())
	}
	return strings.TrimSpace(string(out))
}

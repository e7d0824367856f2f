package examples

import (
	"maps"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-dev/countersign/internal/operatortest"
)

// TestPublishedNames holds the tables of the documents against what the code publishes: no name may be missing on either
// side.
func TestPublishedNames(t *testing.T) {
	reasons := find(t, `Reason = "(\w+)"`, "../internal/policy/decision.go")
	tests := map[string]struct {
		published, documented []string
	}{
		"metrics": {
			published: find(t, `"(countersign_[a-z_]+)"`, sources(t, "..", "../webhooks", "../controllers",
				"../internal/archive", "../internal/canary", "../internal/definitions", "../internal/heartbeat")...),
			documented: find(t, "(?m)^\\| `(countersign_[a-z_]+)` \\|", "../docs/operations.md"),
		},
		"reasons": {
			published:  reasons,
			documented: find(t, "(?m)^\\| `([A-Z]\\w+)` \\|", "../docs/refusals.md"),
		},
		"reasons in the schema of the decision log": {
			published:  reasons,
			documented: slices.Sorted(slices.Values(reasonsOf(t))),
		},
		"reasons of the conditions of a policy": {
			published: find(t, `Reason(?:Compiled|Invalid|\w*Serving|(?:Configuration|Replicas|Canary|Definitions|Unknown)\w+) += "(\w+)"`,
				"../api/v1alpha1/conditions.go"),
			documented: find(t, "(?m)^\\| (?:True|False) \\| `(\\w+)` \\|", "../docs/policies.md"),
		},
		"flags": {
			published:  flags(t),
			documented: find(t, "(?m)^\\| `--([a-z-]+)` \\|", "../docs/operations.md"),
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if len(tc.published) == 0 {
				t.Error("nothing is found in the code")
			}
			if diff := cmp.Diff(tc.published, tc.documented); diff != "" {
				t.Errorf("published (-) and documented (+):\n%s", diff)
			}
		})
	}
}

// find returns what the group of an expression matches in files, sorted and without repetition.
func find(t *testing.T, expression string, files ...string) []string {
	t.Helper()
	set := map[string]bool{}
	for _, file := range files {
		for _, found := range regexp.MustCompile(expression).FindAllStringSubmatch(read(t, file), -1) {
			set[found[1]] = true
		}
	}
	return slices.Sorted(maps.Keys(set))
}

// sources are the Go files of folders, tests left out.
func sources(t *testing.T, folders ...string) []string {
	t.Helper()
	var files []string
	for _, folder := range folders {
		found, err := filepath.Glob(filepath.Join(folder, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	return slices.DeleteFunc(files, func(f string) bool { return strings.HasSuffix(f, "_test.go") })
}

func reasonsOf(t *testing.T) []string {
	t.Helper()
	var reasons []string
	for _, v := range readSchema(t).Definitions["obstacles"].Items.Properties["reason"].Enum {
		if reason, ok := v.(string); ok {
			reasons = append(reasons, reason)
		}
	}
	return reasons
}

// flags are those that the operator's help lists.
func flags(t *testing.T) []string {
	t.Helper()
	help, err := exec.Command(operatortest.Binary(t), "--help").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, help)
	}
	var names []string
	for _, found := range regexp.MustCompile(`(?m)^ +(?:-\w, )?--([a-z-]+)`).FindAllStringSubmatch(string(help), -1) {
		if found[1] != "help" && found[1] != "version" {
			names = append(names, found[1])
		}
	}
	slices.Sort(names)
	return names
}

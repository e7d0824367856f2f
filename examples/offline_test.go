package examples

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// plugin builds the kubectl plugin.
func plugin(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kubectl-countersign")
	build := exec.Command("go", "build", "-o", path, "../cmd/kubectl-countersign")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the plugin: %v\n%s", err, output)
	}
	return path
}

// TestOffline runs the tests that stand beside the examples, and those that the documents show, with the built plugin and
// without a cluster. TestExamples has the agents do much the same in a real one.
func TestOffline(t *testing.T) {
	binary := plugin(t)
	run := func(t *testing.T, args ...string) string {
		t.Helper()
		output, err := exec.Command(binary, append([]string{"test"}, args...)...).CombinedOutput()
		if err != nil {
			t.Errorf("%v\n%s", err, output)
		}
		return string(output)
	}
	for _, e := range examples {
		t.Run(e.dir, func(t *testing.T) {
			output := run(t, e.dir, "--coverage")
			if !strings.Contains(output, "Every task covered the action of some case.") {
				t.Errorf("tasks are not tried:\n%s", output)
			}
		})
	}
	shown := 0
	for _, page := range pages(t) {
		for _, block := range fenced.FindAllStringSubmatch(read(t, page), -1) {
			if !strings.Contains(block[1], "kind: PolicyTest\n") {
				continue
			}
			shown++
			t.Run(page, func(t *testing.T) {
				file := filepath.Join(t.TempDir(), "tests.yaml")
				// What documents show begins at the root of the repository.
				text := strings.ReplaceAll(block[1], "examples/", absolute(t, ".")+"/")
				if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
				run(t, file)
			})
		}
	}
	if shown == 0 {
		t.Error("no document shows a test")
	}
}

func absolute(t *testing.T, path string) string {
	t.Helper()
	full, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return full
}

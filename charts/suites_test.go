package charts

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// suites are the unit suites of the chart, as one stream of YAML.
func suites(t *testing.T) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(chart, "tests", "*_test.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("there are no unit suites: %v", err)
	}
	var all strings.Builder
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all.WriteString("---\n" + string(content))
	}
	return all.String()
}

// TestSuitesHaveEveryRefusal wants a unit suite to expect each text with which a template refuses values.
func TestSuitesHaveEveryRefusal(t *testing.T) {
	expected := strings.ReplaceAll(suites(t), "[.]", ".")
	template := read(t, "templates/validate.yaml")
	refusals := regexp.MustCompile(`\{\{- fail (?:\(printf )?"(.*)"`).FindAllStringSubmatch(template, -1)
	if len(refusals) == 0 || len(refusals) != strings.Count(template, "{{- fail ") {
		t.Fatalf("read %d refusals out of validate.yaml", len(refusals))
	}
	for _, refusal := range refusals {
		// Verbs stand for values: one of the parts between them is enough, by the words that it begins with.
		if !slices.ContainsFunc(regexp.MustCompile(`%[sd]`).Split(refusal[1], -1), func(part string) bool {
			return len(part) > 20 && strings.Contains(expected, part[:min(25, len(part))])
		}) {
			t.Errorf("no unit suite expects the refusal %q", refusal[1])
		}
	}
}

// TestSuitesHaveEveryTemplateAndValue wants the unit suites to name each template, and to set each value.
func TestSuitesHaveEveryTemplateAndValue(t *testing.T) {
	all := suites(t)
	entries, err := os.ReadDir(filepath.Join(chart, "templates"))
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if name := entry.Name(); !strings.HasPrefix(name, "_") && !strings.Contains(all, name) {
			t.Errorf("no unit suite is about %s", name)
		}
	}
	set := setValues(t, all)
	for _, v := range values(t) {
		if !slices.ContainsFunc(set, func(path string) bool { return path == v.path || strings.HasPrefix(path, v.path+".") }) {
			t.Errorf("no unit suite sets %s", v.path)
		}
	}
}

// setValues are the paths of the values that suites set, such as metrics.port.
func setValues(t *testing.T, suites string) []string {
	t.Helper()
	type values struct {
		Set map[string]any `yaml:"set"`
	}
	var paths []string
	var walk func(path string, value any)
	walk = func(path string, value any) {
		paths = append(paths, path)
		if below, ok := value.(map[string]any); ok {
			for name, v := range below {
				walk(strings.TrimPrefix(path+"."+name, "."), v)
			}
		}
	}
	for decoder := yaml.NewDecoder(strings.NewReader(suites)); ; {
		var suite struct {
			values `yaml:",inline"`
			Tests  []values `yaml:"tests"`
		}
		err := decoder.Decode(&suite)
		if errors.Is(err, io.EOF) {
			return paths
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range append(suite.Tests, suite.values) {
			walk("", v.Set)
		}
	}
}

// TestSuitesStayHere wants the archive of the chart without its unit suites.
func TestSuitesStayHere(t *testing.T) {
	dir := t.TempDir()
	mustHelm(t, "package", chart, "--destination", dir)
	archives, err := filepath.Glob(filepath.Join(dir, "*.tgz"))
	if err != nil || len(archives) != 1 {
		t.Fatalf("packaged %q: %v", archives, err)
	}
	if names := archived(t, archives[0]); strings.Contains(names, "/tests/") || !strings.Contains(names, "countersign/values.yaml") {
		t.Errorf("the archive has\n%s", names)
	}
}

// archived lists the files of a packaged chart, one a line.
func archived(t *testing.T, path string) string {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	var names strings.Builder
	for archive := tar.NewReader(unzipped); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return names.String()
		}
		if err != nil {
			t.Fatal(err)
		}
		names.WriteString(header.Name + "\n")
	}
}

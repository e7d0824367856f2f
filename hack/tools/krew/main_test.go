package main

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

// TestRun builds everything but the binaries, and checks the manifest against the archives.
func TestRun(t *testing.T) {
	t.Chdir(filepath.Join("..", "..", ".."))
	out := t.TempDir()
	err := run("v0.1.0", out, func(p platform, version, to string) error {
		return os.WriteFile(to, []byte(p.os+" "+p.arch+" "+version), 0o755)
	})
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(out, "countersign.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var m struct {
		Spec struct {
			Version   string
			Platforms []struct{ URI, SHA256, Bin string }
		}
	}
	if err := yaml.Unmarshal(text, &m); err != nil {
		t.Fatal(err)
	}
	if m.Spec.Version != "v0.1.0" || len(m.Spec.Platforms) != len(platforms) {
		t.Fatalf("the manifest is\n%s", text)
	}
	for i, p := range m.Spec.Platforms {
		archive, err := os.ReadFile(filepath.Join(out, filepath.Base(p.URI)))
		if err != nil {
			t.Fatal(err)
		}
		if sum := fmt.Sprintf("%x", sha256.Sum256(archive)); sum != p.SHA256 {
			t.Errorf("%s has the checksum %s, the manifest %s", p.URI, sum, p.SHA256)
		}
		want := map[string]int64{platforms[i].binary(): 0o755, "LICENSE": 0o644}
		if diff := cmp.Diff(want, contents(t, filepath.Join(out, filepath.Base(p.URI)))); diff != "" || want[p.Bin] == 0 {
			t.Errorf("%s holds (-want +got), and %s is to be run:\n%s", p.URI, p.Bin, diff)
		}
	}
	left, err := filepath.Glob(filepath.Join(out, "*"))
	if err != nil || len(left) != len(platforms)+1 {
		t.Errorf("there is %v (%v)", left, err)
	}
}

func TestNoVersion(t *testing.T) {
	if err := run("unknown", t.TempDir(), nil); err == nil {
		t.Error("an unknown version is published")
	}
}

// contents are the files of an archive with their modes.
func contents(t *testing.T, archive string) map[string]int64 {
	t.Helper()
	file, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	zip, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]int64{}
	for tape := tar.NewReader(zip); ; {
		header, err := tape.Next()
		if err == io.EOF {
			return found
		}
		if err != nil {
			t.Fatal(err)
		}
		found[header.Name] = header.Mode
	}
}

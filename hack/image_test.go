// Package hack_test tests the scripts of this folder.
package hack_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestImage builds the image as make image does, twice, and looks into it.
func TestImage(t *testing.T) {
	if _, err := exec.LookPath("buildah"); err != nil {
		t.Skip("buildah is not installed: the image cannot be built here")
	}
	first, second := buildImage(t), buildImage(t)
	if !bytes.Equal(first, second) {
		t.Error("the same sources give another archive the second time")
	}
	blobs := map[string][]byte{}
	entries(t, bytes.NewReader(first), func(header *tar.Header, content []byte) {
		blobs[strings.Replace(strings.TrimPrefix(header.Name, "blobs/"), "/", ":", 1)] = content
	})
	type descriptor struct{ Digest string }
	var index struct{ Manifests []descriptor }
	var manifest struct {
		Config descriptor
		Layers []descriptor
	}
	var config struct {
		Architecture, OS string
		Config           struct {
			User       string
			Entrypoint []string
			Labels     map[string]string
		}
	}
	read(t, blobs["index.json"], &index)
	read(t, blobs[index.Manifests[0].Digest], &manifest)
	read(t, blobs[manifest.Config.Digest], &config)
	c := config.Config
	if c.User != "65532:65532" || !slices.Equal(c.Entrypoint, []string{"/countersign"}) || config.OS != "linux" || config.Architecture != runtime.GOARCH {
		t.Errorf("the image runs %+v", config)
	}
	if got := c.Labels["org.opencontainers.image.version"]; got != "v0.0.0-test" {
		t.Errorf("its version is %q", got)
	}
	files := map[string][]byte{}
	for _, layer := range manifest.Layers {
		unzipped, err := gzip.NewReader(bytes.NewReader(blobs[layer.Digest]))
		if err != nil {
			t.Fatal(err)
		}
		entries(t, unzipped, func(header *tar.Header, content []byte) {
			if header.Typeflag == tar.TypeReg {
				files[header.Name] = content
			}
		})
	}
	binary := filepath.Join(t.TempDir(), "countersign")
	if err := os.WriteFile(binary, files["countersign"], 0o700); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), binary, "--version").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "v0.0.0-test") {
		t.Errorf("countersign --version: %v\n%s", err, out)
	}
	delete(files, "countersign")
	var others []string
	for name := range files {
		others = append(others, name)
	}
	slices.Sort(others)
	if diff := cmp.Diff([]string{"LICENSE", "etc/ssl/certs/ca-certificates.crt"}, others); diff != "" {
		t.Errorf("files beside the binary (-want +got):\n%s", diff)
	}
}

// TestImageFlags wants the binary of the image to be built in the same way wherever it is.
func TestImageFlags(t *testing.T) {
	found := map[string][]string{}
	for _, name := range []string{"../Dockerfile", "../Makefile", "image.sh"} {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		text := regexp.MustCompile(`\$[({]?(VERSION|version)[)}]?`).ReplaceAllString(string(content), "VERSION")
		flags := regexp.MustCompile(`build (-trimpath -ldflags ["'][^"']+["'])`).FindStringSubmatch(text)
		if flags == nil {
			t.Fatalf("%s builds nothing", name)
		}
		common := strings.ReplaceAll(flags[1], "'", `"`)
		found[common] = append(found[common], name)
	}
	if len(found) != 1 {
		t.Errorf("the binary is built in different ways: %v", found)
	}
}

func buildImage(t *testing.T) []byte {
	t.Helper()
	dist := t.TempDir()
	command := exec.CommandContext(t.Context(), "./image.sh", "v0.0.0-test", runtime.GOARCH)
	command.Env = append(os.Environ(), "DIST="+dist)
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("building the image: %v\n%s", err, out)
	}
	content, err := os.ReadFile(filepath.Join(dist, "countersign-v0.0.0-test-linux-"+runtime.GOARCH+".oci.tar"))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func entries(t *testing.T, in io.Reader, each func(*tar.Header, []byte)) {
	t.Helper()
	archive := tar.NewReader(in)
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		each(header, content)
	}
}

func read(t *testing.T, text []byte, into any) {
	t.Helper()
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatalf("reading %q: %v", text, err)
	}
}

// Krew builds the archives of the kubectl plugin and the manifest by which krew installs them.
//
//	krew --version v0.1.0 --out dist
//
// The manifest has the checksums of the archives that stand beside it, and nothing else is published of a release.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// plugin is the name of the binary.
const plugin = "kubectl-countersign"

// platforms are what is built.
var platforms = []platform{
	{"linux", "amd64"}, {"linux", "arm64"}, {"darwin", "amd64"}, {"darwin", "arm64"}, {"windows", "amd64"},
}

type platform struct{ os, arch string }

// binary is the name of the binary there.
func (p platform) binary() string {
	if p.os == "windows" {
		return plugin + ".exe"
	}
	return plugin
}

func (p platform) archive(version string) string {
	return fmt.Sprintf("%s_%s_%s_%s.tar.gz", plugin, version, p.os, p.arch)
}

func main() {
	version := flag.String("version", "", "version of the release, such as v0.1.0")
	out := flag.String("out", "dist", "directory for the archives and the manifest")
	flag.Parse()
	if err := run(*version, *out, build); err != nil {
		fmt.Fprintln(os.Stderr, "krew:", err)
		os.Exit(1)
	}
}

// run builds all archives, and then the manifest of them.
func run(version, out string, build func(p platform, version, to string) error) error {
	if !strings.HasPrefix(version, "v") {
		return fmt.Errorf("--version %q: must be a version such as v0.1.0", version)
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return fmt.Errorf("making the directory: %w", err)
	}
	sums := map[platform]string{}
	for _, p := range platforms {
		binary := filepath.Join(out, p.binary())
		if err := build(p, version, binary); err != nil {
			return fmt.Errorf("building for %s/%s: %w", p.os, p.arch, err)
		}
		sum, err := pack(filepath.Join(out, p.archive(version)), []string{binary, "LICENSE"})
		if err != nil {
			return fmt.Errorf("packing for %s/%s: %w", p.os, p.arch, err)
		}
		if err := os.Remove(binary); err != nil {
			return fmt.Errorf("removing what is packed: %w", err)
		}
		sums[p] = sum
	}
	text, err := manifest(version, sums)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(out, "countersign.yaml"), text, 0o644); err != nil {
		return fmt.Errorf("writing the manifest: %w", err)
	}
	return nil
}

// build builds the plugin for a platform, as make build does for this one.
func build(p platform, version, to string) error {
	command := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w -X main.version="+version, "-o", to, "./cmd/"+plugin)
	command.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+p.os, "GOARCH="+p.arch)
	command.Stdout, command.Stderr = os.Stderr, os.Stderr
	if err := command.Run(); err != nil {
		return fmt.Errorf("go build: %w", err)
	}
	return nil
}

package controlplane

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// Pin adds modules/kubernetes-<version>, so that this version of Kubernetes can
// be built; its go.mod and go.sum are meant to be committed.
func Pin(ctx context.Context, version string) (string, error) {
	version = strings.TrimPrefix(version, "v")
	if !regexp.MustCompile(`^1\.\d+\.\d+$`).MatchString(version) {
		return "", fmt.Errorf("pinning Kubernetes: %q is not a version such as 1.35.4", version)
	}
	root, err := modulesRoot()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(root, kubernetesDir+"-"+version)
	if exists(dir) {
		return "", fmt.Errorf("pinning Kubernetes: %s exists already", dir)
	}
	if err := writeModule(ctx, filepath.Join(root, kubernetesDir), dir, version); err != nil {
		return "", fmt.Errorf("pinning Kubernetes %s: %w", version, errors.Join(err, os.RemoveAll(dir)))
	}
	return dir, nil
}

func writeModule(ctx context.Context, like, dir, version string) error {
	upstream, err := upstreamModule(ctx, like, version)
	if err != nil {
		return err
	}
	tools, err := os.ReadFile(filepath.Join(like, "tools.go"))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "tools.go"), tools, 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte(kubernetesModule(upstream, version)), 0o644); err != nil {
		return err
	}
	_, err = goOutput(ctx, dir, "mod", "tidy")
	return err
}

// upstreamModule returns the go.mod that Kubernetes has at this version.
func upstreamModule(ctx context.Context, dir, version string) (string, error) {
	out, err := goOutput(ctx, dir, "mod", "download", "-json", "k8s.io/kubernetes@v"+version)
	if err != nil {
		return "", err
	}
	var module struct{ GoMod string }
	if err := json.Unmarshal([]byte(out), &module); err != nil {
		return "", err
	}
	data, err := os.ReadFile(module.GoMod)
	return string(data), err
}

var (
	staged = regexp.MustCompile(`(?m)^\s*(k8s\.io/\S+) => \./staging/`)
	// language are the lines that say which Go the binaries behave like.
	language = regexp.MustCompile(`(?m)^(?:go|godebug) \S+$`)
)

// kubernetesModule replaces the modules that Kubernetes keeps in its own tree by
// the release of each: v1.37.2 goes with v0.37.2. Other k8s.io modules, such as
// utils and kube-openapi, have versions of their own. The main module decides on
// the defaults of GODEBUG: with the lines of Kubernetes, an old version behaves
// as it was released, whichever Go compiles it.
func kubernetesModule(upstream, version string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "module github.com/countersign-dev/countersign/hack/controlplane/modules/%s-%s\n\n", kubernetesDir, version)
	for _, line := range language.FindAllString(upstream, -1) {
		fmt.Fprintf(&b, "%s\n\n", line)
	}
	fmt.Fprintf(&b, "require k8s.io/kubernetes v%s\n\nreplace (\n", version)
	for _, m := range staged.FindAllStringSubmatch(upstream, -1) {
		fmt.Fprintf(&b, "\t%s => %s v0%s\n", m[1], m[1], strings.TrimPrefix(version, "1"))
	}
	b.WriteString(")\n")
	return b.String()
}

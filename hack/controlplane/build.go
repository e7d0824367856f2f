package controlplane

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// Binaries are the paths of everything that was built.
type Binaries struct {
	Etcd, APIServer, ControllerManager, Scheduler, Kubectl, Helm, Helm3, Kwok string

	// Kubernetes is the version of the control plane, such as 1.37.2.
	Kubernetes string

	kwokStages string
}

// build is one module at one version, and where its binaries belong.
type build struct {
	pinned
	src, version, flags, out string
}

// Ensure builds what is missing of the default Kubernetes version and everything
// around it. Several processes may call it at once; the second one waits.
// Progress goes to out; nothing is written when all is built already.
func Ensure(ctx context.Context, out io.Writer) (Binaries, error) {
	return EnsureVersion(ctx, DefaultKubernetes(), out)
}

// EnsureVersion is Ensure for one Kubernetes version, such as 1.35.4.
func EnsureVersion(ctx context.Context, kubernetes string, out io.Writer) (Binaries, error) {
	builds, err := plan(ctx, kubernetes)
	if err != nil {
		return Binaries{}, err
	}
	if slices.ContainsFunc(builds, build.incomplete) {
		unlock, err := lockFile(ctx, filepath.Join(filepath.Dir(builds[0].out), "build.lock"), func() {
			_, _ = fmt.Fprintln(out, "Waiting for another process that builds the control plane")
		})
		if err != nil {
			return Binaries{}, err
		}
		defer unlock()
		if err := buildMissing(ctx, builds, out); err != nil {
			return Binaries{}, err
		}
		prune(filepath.Dir(builds[0].out), time.Now())
	}
	for _, b := range builds {
		_ = os.Chtimes(b.out, time.Time{}, time.Now())
	}
	return collect(builds), nil
}

// CacheDir is where binaries are kept: $COUNTERSIGN_CACHE, or a directory of the
// user's cache.
func CacheDir() (string, error) {
	if dir := os.Getenv("COUNTERSIGN_CACHE"); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("finding the cache directory (set COUNTERSIGN_CACHE): %w", err)
	}
	return filepath.Join(dir, "countersign"), nil
}

func plan(ctx context.Context, kubernetes string) ([]build, error) {
	root, err := modulesRoot()
	if err != nil {
		return nil, err
	}
	cache, err := CacheDir()
	if err != nil {
		return nil, err
	}
	goVersion, err := goOutput(ctx, root, "env", "GOVERSION")
	if err != nil {
		return nil, err
	}
	var builds []build
	for _, p := range catalog {
		src, version, err := p.locate(root, kubernetes)
		if err != nil {
			return nil, err
		}
		b := build{pinned: p, src: src, version: version, flags: linkerFlags(p, version)}
		settings := fmt.Sprint(buildFlags, buildEnv, b.flags, p.assets)
		key, err := cacheKey(src, goVersion, runtime.GOOS+"/"+runtime.GOARCH, settings)
		if err != nil {
			return nil, err
		}
		b.out = filepath.Join(cache, "controlplane", p.dir+"-"+strings.TrimPrefix(version, "v")+"-"+key)
		builds = append(builds, b)
	}
	return builds, nil
}

// cacheKey changes with everything that changes a binary.
func cacheKey(src string, inputs ...string) (string, error) {
	h := sha256.New()
	for _, name := range []string{"go.mod", "go.sum"} {
		data, err := os.ReadFile(filepath.Join(src, name))
		if err != nil {
			return "", fmt.Errorf("hashing a pinned module: %w", err)
		}
		inputs = append(inputs, string(data))
	}
	for _, in := range inputs {
		// The length keeps neighbours apart.
		_, _ = fmt.Fprintf(h, "%d\n%s", len(in), in)
	}
	return hex.EncodeToString(h.Sum(nil))[:12], nil
}

func linkerFlags(p pinned, version string) string {
	flags := []string{"-s", "-w"}
	if p.stamp == nil {
		return strings.Join(flags, " ")
	}
	stamps := p.stamp(version)
	for _, name := range slices.Sorted(maps.Keys(stamps)) {
		flags = append(flags, "-X", name+"="+stamps[name])
	}
	return strings.Join(flags, " ")
}

func (b build) path(name string) string { return filepath.Join(b.out, name) }

func (b build) incomplete() bool {
	for name := range b.assets {
		if !exists(b.path(name)) {
			return true
		}
	}
	return len(b.missing()) > 0
}

func (b build) missing() []binary {
	return slices.DeleteFunc(slices.Clone(b.binaries), func(bin binary) bool { return exists(b.path(bin.name)) })
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// buildMissing looks again under the lock: another process may have built it.
func buildMissing(ctx context.Context, builds []build, out io.Writer) error {
	total, n := 0, 0
	for _, b := range builds {
		total += len(b.missing())
	}
	for _, b := range builds {
		if err := os.MkdirAll(b.out, 0o755); err != nil {
			return fmt.Errorf("creating the cache: %w", err)
		}
		for _, bin := range b.missing() {
			n++
			step := progress{out: out, label: fmt.Sprintf("[%d/%d] %s %s", n, total, bin.name, strings.TrimPrefix(b.version, "v"))}
			if err := step.run(bin.estimate(), func() error { return b.compile(ctx, bin) }); err != nil {
				return err
			}
		}
		if err := b.copyAssets(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (b build) compile(ctx context.Context, bin binary) error {
	tmp := b.path(fmt.Sprintf(".%s-%d", bin.name, os.Getpid()))
	defer func() { _ = os.Remove(tmp) }()

	args := slices.Concat([]string{"build"}, buildFlags, []string{"-ldflags", b.flags, "-o", tmp, bin.pkg})
	if _, err := goOutput(ctx, b.src, args...); err != nil {
		return fmt.Errorf("building %s %s: %w", bin.name, b.version, err)
	}
	if err := os.Rename(tmp, b.path(bin.name)); err != nil {
		return fmt.Errorf("building %s: %w", bin.name, err)
	}
	return nil
}

func (b build) copyAssets(ctx context.Context) error {
	for name, parts := range b.assets {
		dir, err := goOutput(ctx, b.src, "list", "-m", "-f", "{{.Dir}}", b.module)
		if err != nil {
			return fmt.Errorf("finding files of %s: %w", b.module, err)
		}
		var docs [][]byte
		for _, part := range parts {
			data, err := os.ReadFile(filepath.Join(dir, part))
			if err != nil {
				return fmt.Errorf("copying a file of %s: %w", b.module, err)
			}
			docs = append(docs, data)
		}
		tmp := b.path(fmt.Sprintf(".%s-%d", name, os.Getpid()))
		if err := os.WriteFile(tmp, bytes.Join(docs, []byte("\n---\n")), 0o644); err != nil {
			return fmt.Errorf("copying files of %s: %w", b.module, err)
		}
		if err := os.Rename(tmp, b.path(name)); err != nil {
			return fmt.Errorf("copying files of %s: %w", b.module, err)
		}
	}
	return nil
}

// unusedLife is how long binaries stay that nobody asked for.
const unusedLife = 30 * 24 * time.Hour

// prune removes what changed pins have left behind: each build is 600 MB.
func prune(cache string, now time.Time) {
	entries, _ := os.ReadDir(cache)
	for _, entry := range entries {
		info, err := entry.Info()
		if err == nil && info.IsDir() && now.Sub(info.ModTime()) > unusedLife {
			_ = os.RemoveAll(filepath.Join(cache, entry.Name()))
		}
	}
}

func collect(builds []build) Binaries {
	var all Binaries
	for _, b := range builds {
		for _, bin := range b.binaries {
			*bin.dest(&all) = b.path(bin.name)
		}
		if b.dir == kubernetesDir {
			all.Kubernetes = strings.TrimPrefix(b.version, "v")
		}
		if _, ok := b.assets[kwokStages]; ok {
			all.kwokStages = b.path(kwokStages)
		}
	}
	return all
}

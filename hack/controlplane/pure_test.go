package controlplane

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestMergeFlags(t *testing.T) {
	tests := map[string]struct{ defaults, extra, want []string }{
		"nothing extra":                {[]string{"--a=1"}, nil, []string{"--a=1"}},
		"added":                        {[]string{"--a=1"}, []string{"--b=2"}, []string{"--a=1", "--b=2"}},
		"replaced":                     {[]string{"--a=1", "--b=1"}, []string{"--a=2"}, []string{"--b=1", "--a=2"}},
		"repeated":                     {[]string{"--a=1"}, []string{"--a=2", "--a=3"}, []string{"--a=2", "--a=3"}},
		"without a value":              {[]string{"--a=1"}, []string{"--a"}, []string{"--a"}},
		"a name is not a prefix":       {[]string{"--ab=1"}, []string{"--a=2"}, []string{"--ab=1", "--a=2"}},
		"mode goes with the config":    {[]string{"--authorization-mode=RBAC"}, []string{"--authorization-config=f"}, []string{"--authorization-config=f"}},
		"a value may contain anything": {[]string{"--a=1"}, []string{"--a=b=--c"}, []string{"--a=b=--c"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, mergeFlags(tc.defaults, tc.extra)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRequiredVersion(t *testing.T) {
	tests := map[string]struct{ gomod, want string }{
		"single line":     {"require k8s.io/kubernetes v1.37.2\n", "v1.37.2"},
		"in a block":      {"require (\n\tk8s.io/kubernetes v1.35.4 // indirect\n)\n", "v1.35.4"},
		"another module":  {"require k8s.io/kubernetes-x v1.0.0\n", ""},
		"only in replace": {"replace k8s.io/kubernetes => k8s.io/kubernetes v1.0.0\n", ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := requiredVersion(tc.gomod, "k8s.io/kubernetes"); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestCatalogIsPinned(t *testing.T) {
	root, err := modulesRoot()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range catalog {
		dir, version, err := p.locate(root, "")
		if err != nil || !strings.HasPrefix(version, "v") {
			t.Errorf("%s: version %q, error %v", p.dir, version, err)
		}
		tools, err := os.ReadFile(filepath.Join(dir, "tools.go"))
		if err != nil {
			t.Error(err)
		}
		for _, bin := range p.binaries {
			if !strings.Contains(string(tools), `"`+bin.pkg+`"`) {
				t.Errorf("%s/tools.go does not import %s: go mod tidy would drop its modules", p.dir, bin.pkg)
			}
		}
	}
	if _, _, err := catalog[1].locate(root, "1.2.3"); err == nil || !strings.Contains(err.Error(), "controlplane pin 1.2.3") {
		t.Errorf("got %v, want how to pin the version", err)
	}
}

func TestStampKubernetes(t *testing.T) {
	got := linkerFlags(pinned{stamp: stampKubernetes}, "v1.35.4")
	for _, want := range []string{"component-base/version.gitVersion=v1.35.4", "component-base/version.gitMajor=1", "component-base/version.gitMinor=35", "client-go/pkg/version.gitVersion=v1.35.4"} {
		if !strings.Contains(got, want) {
			t.Errorf("linker flags %q lack %s", got, want)
		}
	}
}

func TestKubernetesModule(t *testing.T) {
	upstream := `module k8s.io/kubernetes

go 1.25.0

godebug default=go1.25

require (
	k8s.io/api v0.0.0
	k8s.io/utils v0.0.0-20260101000000-abcdef
)

replace (
	k8s.io/api => ./staging/src/k8s.io/api
	k8s.io/client-go => ./staging/src/k8s.io/client-go
)
`
	want := `module github.com/countersign-dev/countersign/hack/controlplane/modules/kubernetes-1.35.4

go 1.25.0

godebug default=go1.25

require k8s.io/kubernetes v1.35.4

replace (
	k8s.io/api => k8s.io/api v0.35.4
	k8s.io/client-go => k8s.io/client-go v0.35.4
)
`
	if diff := cmp.Diff(want, kubernetesModule(upstream, "1.35.4")); diff != "" {
		t.Error(diff)
	}
}

func TestPinRefuses(t *testing.T) {
	for _, version := range []string{"", "1.35", "latest", "../x", "1.35.4-rc.1"} {
		if _, err := Pin(t.Context(), version); err == nil {
			t.Errorf("Pin(%q) succeeded", version)
		}
	}
}

func TestCacheKeyChangesWithItsInputs(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	key := func(inputs ...string) string {
		k, err := cacheKey(dir, inputs...)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	write("go.mod", "a")
	write("go.sum", "b")
	keys := map[string]bool{key("go1", "flags"): true, key("go2", "flags"): true, key("go1", "flag", "s"): true}
	write("go.sum", "c")
	keys[key("go1", "flags")] = true
	write("go.mod", "ac")
	write("go.sum", "")
	keys[key("go1", "flags")] = true
	if len(keys) != 5 {
		t.Errorf("%d different keys, want 5", len(keys))
	}
}

func TestFileName(t *testing.T) {
	if a, b := fileName("person", "a", "b", "c"), fileName("person", "a", "b,c"); a == b {
		t.Errorf("different groups share the file name %q", a)
	}
	if got := fileName("person", "../../ann@example.test"); strings.ContainsAny(got, "/@") {
		t.Errorf("got file name %q", got)
	}
}

func TestLockFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sub", "lock")
	unlock, err := lockFile(t.Context(), path, func() { t.Error("waiting for a lock nobody holds") })
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	waited := 0
	if _, err := lockFile(ctx, path, func() { waited++ }); !errors.Is(err, context.DeadlineExceeded) || waited != 1 {
		t.Errorf("second lock: error %v, waiting reported %d times", err, waited)
	}
	unlock()
	if unlock, err = tryLock(path); err != nil {
		t.Fatal(err)
	}
	unlock()
}

func TestSweepRemovesOnlyWhatNobodyUses(t *testing.T) {
	tmp := t.TempDir()
	dir := func(name string, files ...string) string {
		path := filepath.Join(tmp, workDirPattern+name)
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if err := os.WriteFile(filepath.Join(path, f), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return path
	}
	stale, kept, starting, used := dir("stale", lockName), dir("kept", lockName, keepMark), dir("starting"), dir("used", lockName)
	unlock, err := tryLock(filepath.Join(used, lockName))
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	sweep(tmp)
	got := []bool{exists(stale), exists(kept), exists(starting), exists(used)}
	if diff := cmp.Diff([]bool{false, true, true, true}, got); diff != "" {
		t.Error("stale, kept, starting, used:", diff)
	}
}

func TestFreePortsAreDistinct(t *testing.T) {
	seen := map[int]bool{}
	for range 20 {
		ports, err := freePorts(3)
		if err != nil {
			t.Fatal(err)
		}
		for _, port := range ports {
			if seen[port] || port < firstPort || port > lastPort {
				t.Fatalf("port %d is out of range or was given out twice", port)
			}
			seen[port] = true
		}
	}
}

func TestPruneRemovesOnlyWhatIsOld(t *testing.T) {
	cache, now := t.TempDir(), time.Now()
	for name, age := range map[string]time.Duration{"old": unusedLife + time.Hour, "new": time.Hour} {
		dir := filepath.Join(cache, name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(dir, now.Add(-age), now.Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	prune(cache, now)
	if exists(filepath.Join(cache, "old")) || !exists(filepath.Join(cache, "new")) {
		t.Error("want only the old directory removed")
	}
}

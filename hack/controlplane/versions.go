package controlplane

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"time"
)

// pinned is one Go module below modules/ and what is built from it. The version
// is not repeated here: the module's go.mod is the only place that states it.
type pinned struct {
	dir      string
	module   string
	binaries []binary
	// stamp returns the variables the linker sets, so that the binaries report
	// the version they were built from.
	stamp func(version string) map[string]string
	// assets are files of the module that are kept beside the binaries: the name
	// in the cache, and the files of the module it is joined from.
	assets map[string][]string
}

type binary struct {
	name    string
	pkg     string
	dest    func(*Binaries) *string
	seconds int // about, with an empty build cache on two idle cores, in this order
}

func (b binary) estimate() time.Duration { return time.Duration(b.seconds) * time.Second }

// catalog lists what is built, in build order.
var catalog = []pinned{
	{
		dir: "etcd", module: "go.etcd.io/etcd/server/v3",
		binaries: []binary{
			{name: "etcd", pkg: "go.etcd.io/etcd/server/v3", seconds: 45,
				dest: func(b *Binaries) *string { return &b.Etcd }},
		},
	},
	{
		dir: kubernetesDir, module: "k8s.io/kubernetes", stamp: stampKubernetes,
		binaries: []binary{
			{name: "kube-apiserver", pkg: "k8s.io/kubernetes/cmd/kube-apiserver", seconds: 330,
				dest: func(b *Binaries) *string { return &b.APIServer }},
			{name: "kube-controller-manager", pkg: "k8s.io/kubernetes/cmd/kube-controller-manager", seconds: 110,
				dest: func(b *Binaries) *string { return &b.ControllerManager }},
			{name: "kube-scheduler", pkg: "k8s.io/kubernetes/cmd/kube-scheduler", seconds: 20,
				dest: func(b *Binaries) *string { return &b.Scheduler }},
			{name: "kubectl", pkg: "k8s.io/kubernetes/cmd/kubectl", seconds: 30,
				dest: func(b *Binaries) *string { return &b.Kubectl }},
		},
	},
	{
		dir: "helm", module: "helm.sh/helm/v4",
		stamp: func(v string) map[string]string {
			return map[string]string{"helm.sh/helm/v4/internal/version.version": v}
		},
		binaries: []binary{
			{name: "helm", pkg: "helm.sh/helm/v4/cmd/helm", seconds: 120,
				dest: func(b *Binaries) *string { return &b.Helm }},
		},
	},
	{
		// Helm 3 is still what many install with; the chart is tested with both.
		dir: "helm3", module: "helm.sh/helm/v3",
		stamp: func(v string) map[string]string {
			return map[string]string{"helm.sh/helm/v3/internal/version.version": v}
		},
		binaries: []binary{
			{name: "helm3", pkg: "helm.sh/helm/v3/cmd/helm", seconds: 60,
				dest: func(b *Binaries) *string { return &b.Helm3 }},
		},
	},
	{
		dir: "kwok", module: "sigs.k8s.io/kwok",
		stamp: func(v string) map[string]string {
			return map[string]string{"sigs.k8s.io/kwok/pkg/consts.Version": strings.TrimPrefix(v, "v")}
		},
		binaries: []binary{
			{name: "kwok", pkg: "sigs.k8s.io/kwok/cmd/kwok", seconds: 90,
				dest: func(b *Binaries) *string { return &b.Kwok }},
		},
		assets: map[string][]string{kwokStages: {
			"kustomize/stage/node/fast/node-initialize.yaml",
			"kustomize/stage/node/heartbeat-with-lease/node-heartbeat-with-lease.yaml",
			"kustomize/stage/pod/fast/pod-ready.yaml",
			"kustomize/stage/pod/fast/pod-complete.yaml",
			"kustomize/stage/pod/fast/pod-delete.yaml",
		}},
	},
}

const (
	kubernetesDir = "kubernetes"
	kwokStages    = "stages.yaml"
)

// stampKubernetes sets what kubectl version and /version report. Both copies of
// the version package exist: clients read one, servers the other.
func stampKubernetes(version string) map[string]string {
	major, minor, _ := strings.Cut(strings.TrimPrefix(version, "v"), ".")
	minor, _, _ = strings.Cut(minor, ".")
	stamps := map[string]string{}
	for _, pkg := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
		stamps[pkg+".gitVersion"] = version
		stamps[pkg+".gitMajor"] = major
		stamps[pkg+".gitMinor"] = minor
		// The template that the release process fills in would show.
		stamps[pkg+".gitCommit"] = ""
	}
	return stamps
}

// DefaultKubernetes returns the Kubernetes version to run, without leading v,
// when Options name none: $K8S, or "" for what modules/kubernetes pins.
func DefaultKubernetes() string { return strings.TrimPrefix(os.Getenv("K8S"), "v") }

// locate returns the directory of the module and the version it pins. A
// Kubernetes version other than the default lives in modules/kubernetes-<version>.
func (p pinned) locate(root, kubernetes string) (dir, version string, err error) {
	dir = filepath.Join(root, p.dir)
	version, err = pinnedVersion(dir, p.module)
	if p.dir != kubernetesDir || kubernetes == "" || version == "v"+kubernetes {
		return dir, version, err
	}
	dir += "-" + kubernetes
	if version, err = pinnedVersion(dir, p.module); err != nil {
		return "", "", fmt.Errorf("finding Kubernetes %s (\"controlplane pin %s\" adds it): %w", kubernetes, kubernetes, err)
	}
	return dir, version, nil
}

func pinnedVersion(dir, module string) (string, error) {
	data, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil {
		return "", fmt.Errorf("reading the pinned version of %s: %w", module, err)
	}
	version := requiredVersion(string(data), module)
	if version == "" {
		return "", fmt.Errorf("reading the pinned version of %s: %s does not require it", module, dir)
	}
	return version, nil
}

func requiredVersion(gomod, module string) string {
	re := regexp.MustCompile(`(?m)^(?:require)?\s*` + regexp.QuoteMeta(module) + `\s+(v\S+)`)
	if m := re.FindStringSubmatch(gomod); m != nil {
		return m[1]
	}
	return ""
}

// modulesRoot finds hack/controlplane/modules upwards from the working
// directory, where go test and go run start; the files cannot be embedded,
// because embedding stops at a go.mod. The compiled-in path is the fallback for
// a binary started elsewhere.
func modulesRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("finding the pinned modules: %w", err)
	}
	for {
		root := filepath.Join(dir, "hack", "controlplane", "modules")
		if _, err := os.Stat(root); err == nil {
			return root, nil
		}
		if parent := filepath.Dir(dir); parent != dir {
			dir = parent
			continue
		}
		break
	}
	if _, file, _, ok := runtime.Caller(0); ok {
		if root := filepath.Join(filepath.Dir(file), "modules"); filepath.IsAbs(root) {
			if _, err := os.Stat(root); err == nil {
				return root, nil
			}
		}
	}
	return "", errors.New("finding the pinned modules: not inside a checkout of this repository")
}

package controlplane

import (
	"context"
	"crypto/tls"
	"fmt"
	"path/filepath"
	"strings"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// apiServerName is the name of the n-th API server, counted from 1.
func apiServerName(n int) string {
	if n == 1 {
		return APIServer
	}
	return fmt.Sprintf("%s-%d", APIServer, n)
}

// startAPIServers starts the first alone: it writes what every cluster begins with.
func (p *Plane) startAPIServers(ctx context.Context, etcd *Component, routing []string) error {
	for n := 1; n <= max(1, p.opts.APIServers); n++ {
		if err := p.apiServer(n, etcd, routing).launch(ctx); err != nil {
			return err
		}
	}
	return nil
}

// apiServer is the n-th one, counted from 1.
func (p *Plane) apiServer(n int, etcd *Component, routing []string) *Component {
	c := p.component(apiServerName(n), p.binaries.APIServer, 1)
	c.flags = func() []string {
		flags := mergeFlags(append([]string{
			"--bind-address=127.0.0.1",
			"--advertise-address=127.0.0.1",
			fmt.Sprintf("--secure-port=%d", c.ports[0]),
			// The endpoints of the kubernetes Service cannot be on loopback.
			"--endpoint-reconciler-type=none",
			"--service-cluster-ip-range=" + serviceRange,
			fmt.Sprintf("--etcd-servers=https://127.0.0.1:%d", etcd.ports[0]),
			"--etcd-cafile=" + p.pki.crt("etcd-ca"),
			"--etcd-certfile=" + p.pki.crt("etcd-client"),
			"--etcd-keyfile=" + p.pki.key("etcd-client"),
			"--tls-cert-file=" + p.pki.crt("serving"),
			"--tls-private-key-file=" + p.pki.key("serving"),
			"--client-ca-file=" + p.pki.crt("ca"),
			"--requestheader-client-ca-file=" + p.pki.crt("front-proxy-ca"),
			"--requestheader-allowed-names=" + frontProxy,
			"--requestheader-username-headers=X-Remote-User",
			"--requestheader-group-headers=X-Remote-Group",
			"--requestheader-extra-headers-prefix=X-Remote-Extra-",
			"--proxy-client-cert-file=" + p.pki.crt(frontProxy),
			"--proxy-client-key-file=" + p.pki.key(frontProxy),
			"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
			"--service-account-key-file=" + p.pki.crt("service-account"),
			"--service-account-signing-key-file=" + p.pki.key("service-account"),
			"--authorization-mode=Node,RBAC",
			"--enable-admission-plugins=NodeRestriction",
			"--allow-privileged=true",
			"--audit-policy-file=" + filepath.Join(p.workDir, "audit-policy.yaml"),
			"--audit-log-path=" + p.AuditLogOf(n),
			"--audit-log-mode=blocking",
		}, routing...), p.opts.Flags[APIServer])
		if n > 1 {
			flags = mergeFlags(flags, p.opts.Flags[c.name])
		}
		return flags
	}
	c.ready = func(ctx context.Context) error {
		return get(ctx, p.URLOf(n)+"/readyz", &tls.Config{RootCAs: p.pki.cluster.pool()})
	}
	return c
}

// URLOf is the address of the n-th API server, counted from 1. There must be so
// many, as of an index.
func (p *Plane) URLOf(n int) string {
	return fmt.Sprintf("https://127.0.0.1:%d", p.Component(apiServerName(n)).ports[0])
}

// AuditLogOf is the audit log of the n-th API server, counted from 1: of the
// requests that it has answered itself.
func (p *Plane) AuditLogOf(n int) string {
	if n == 1 {
		return filepath.Join(p.workDir, "audit.log")
	}
	return filepath.Join(p.workDir, fmt.Sprintf("audit-%d.log", n))
}

// Through returns a copy of a client configuration of this plane that goes to the
// n-th API server, counted from 1, as the same identity. There must be so many, as
// of an index.
func (p *Plane) Through(n int, config *rest.Config) *rest.Config {
	through := rest.CopyConfig(config)
	through.Host = p.URLOf(n)
	return through
}

// KubeconfigThrough is Through for a kubeconfig that the plane has written. It
// writes another and returns its path.
func (p *Plane) KubeconfigThrough(n int, kubeconfig string) (string, error) {
	config, err := clientcmd.LoadFromFile(kubeconfig)
	if err != nil {
		return "", fmt.Errorf("reading kubeconfig: %w", err)
	}
	for _, cluster := range config.Clusters {
		cluster.Server = p.URLOf(n)
	}
	path := fmt.Sprintf("%s-through-%d.yaml", strings.TrimSuffix(kubeconfig, ".yaml"), n)
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		return "", fmt.Errorf("writing kubeconfig: %w", err)
	}
	return path, nil
}

package controlplane

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
)

// Names of the components.
const (
	Etcd              = "etcd"
	APIServer         = "kube-apiserver" // the first; the others are kube-apiserver-2 and so on
	ControllerManager = "kube-controller-manager"
	Scheduler         = "kube-scheduler"
	Kwok              = "kwok"
)

func (p *Plane) etcd() *Component {
	c := p.component(Etcd, p.binaries.Etcd, 2)
	url := func(i int) string { return fmt.Sprintf("https://127.0.0.1:%d", c.ports[i]) }
	c.flags = func() []string {
		return mergeFlags([]string{
			"--name=default",
			"--data-dir=" + filepath.Join(p.workDir, "etcd"),
			"--listen-client-urls=" + url(0),
			"--advertise-client-urls=" + url(0),
			"--listen-peer-urls=" + url(1),
			"--initial-advertise-peer-urls=" + url(1),
			"--initial-cluster=default=" + url(1),
			"--cert-file=" + p.pki.crt("etcd"),
			"--key-file=" + p.pki.key("etcd"),
			"--trusted-ca-file=" + p.pki.crt("etcd-ca"),
			"--client-cert-auth=true",
			"--peer-cert-file=" + p.pki.crt("etcd"),
			"--peer-key-file=" + p.pki.key("etcd"),
			"--peer-trusted-ca-file=" + p.pki.crt("etcd-ca"),
			"--peer-client-cert-auth=true",
			"--quota-backend-bytes=4294967296",
			// There is no other member to wait for before the election.
			"--heartbeat-interval=10",
			"--election-timeout=100",
			// The data dies with the plane: nothing is gained by waiting for a disk.
			"--unsafe-no-fsync=true",
		}, p.opts.Flags[Etcd])
	}
	c.ready = func(ctx context.Context) error {
		config, err := p.etcdClient()
		if err != nil {
			return err
		}
		return get(ctx, url(0)+"/health", config)
	}
	return c
}

// etcdClient is how to connect to etcd as the API server does.
func (p *Plane) etcdClient() (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(p.pki.crt("etcd-client"), p.pki.key("etcd-client"))
	if err != nil {
		return nil, fmt.Errorf("reading the client certificate of etcd: %w", err)
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: p.pki.etcd.pool(), Certificates: []tls.Certificate{pair}}, nil
}

// Storage is the address of etcd and how to connect to it, behind the API server's back.
func (p *Plane) Storage() (address string, config *tls.Config, err error) {
	config, err = p.etcdClient()
	return fmt.Sprintf("https://127.0.0.1:%d", p.Component(Etcd).ports[0]), config, err
}

func (p *Plane) controllerManager() *Component {
	c := p.component(ControllerManager, p.binaries.ControllerManager, 1)
	c.flags = func() []string {
		return mergeFlags(append(p.clientFlags(c),
			"--use-service-account-credentials=true",
			"--service-account-private-key-file="+p.pki.key("service-account"),
			"--root-ca-file="+p.pki.crt("ca"),
			"--cluster-signing-cert-file="+p.pki.crt("ca"),
			"--cluster-signing-key-file="+p.pki.key("ca"),
			"--kube-api-qps=500",
			"--kube-api-burst=1000",
		), p.opts.Flags[ControllerManager])
	}
	return c
}

func (p *Plane) scheduler() *Component {
	c := p.component(Scheduler, p.binaries.Scheduler, 1)
	c.flags = func() []string {
		return mergeFlags(append(p.clientFlags(c),
			"--kube-api-qps=500",
			"--kube-api-burst=1000",
		), p.opts.Flags[Scheduler])
	}
	return c
}

// clientFlags are what the controller manager and the scheduler have in common.
func (p *Plane) clientFlags(c *Component) []string {
	c.ready = func(ctx context.Context) error {
		return get(ctx, fmt.Sprintf("https://127.0.0.1:%d/healthz", c.ports[0]), &tls.Config{RootCAs: p.pki.cluster.pool()})
	}
	kubeconfig := p.Kubeconfig(c.name)
	return []string{
		"--kubeconfig=" + kubeconfig,
		"--authentication-kubeconfig=" + kubeconfig,
		"--authorization-kubeconfig=" + kubeconfig,
		"--bind-address=127.0.0.1",
		fmt.Sprintf("--secure-port=%d", c.ports[0]),
		"--tls-cert-file=" + p.pki.crt("serving"),
		"--tls-private-key-file=" + p.pki.key("serving"),
		"--leader-elect=false",
	}
}

// kwok plays the kubelet of every Node object.
func (p *Plane) kwok() *Component {
	c := p.component(Kwok, p.binaries.Kwok, 1)
	address := func() string { return fmt.Sprintf("127.0.0.1:%d", c.ports[0]) }
	// Without it kwok also reads a configuration from the user's home.
	c.env = []string{"KWOK_WORKDIR=" + filepath.Join(p.workDir, "kwok")}
	c.flags = func() []string {
		return mergeFlags([]string{
			"--kubeconfig=" + p.Kubeconfig(Kwok),
			"--config=" + p.binaries.kwokStages,
			"--manage-all-nodes=true",
			"--node-lease-duration-seconds=40",
			"--cidr=10.244.0.1/16",
			"--server-address=" + address(),
		}, p.opts.Flags[Kwok])
	}
	c.ready = func(ctx context.Context) error { return get(ctx, "http://"+address()+"/healthz", nil) }
	return c
}

func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// get asks a health endpoint; anything but 200 is an error that quotes the answer.
func get(ctx context.Context, url string, config *tls.Config) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	// A transport per question: the component may be replaced between two of them.
	transport := &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, 4096))
	if err := errors.Join(err, response.Body.Close()); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", response.Status, lastLines(body, 5))
	}
	return nil
}

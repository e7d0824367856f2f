package controlplane

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"k8s.io/client-go/rest"
)

//go:embed audit-policy.yaml
var auditPolicy []byte

// Options of a Plane. The zero value runs etcd and kube-apiserver.
type Options struct {
	// Kubernetes is a pinned version such as 1.35.4; empty means DefaultKubernetes.
	Kubernetes string

	// APIServers is the number of API servers in front of the one etcd; 0 is 1.
	// Components of the plane use the first, and so does everybody who is not sent
	// Through another.
	APIServers int

	// ControllerManager adds kube-controller-manager.
	ControllerManager bool

	// Nodes adds that many fake nodes, with kube-scheduler, kwok and
	// kube-controller-manager: pods are scheduled and become ready.
	Nodes int

	// RouteServices lets RouteService say where the API server finds a Service,
	// for webhooks that are configured by Service, as a chart does it. The routes
	// end with this process.
	RouteServices bool

	// Flags are passed to components by name, as "--flag=value"; they replace
	// defaults of the same name. Those of kube-apiserver are for every API server,
	// and further ones of kube-apiserver-2 for that one.
	Flags map[string][]string

	// WorkDir keeps data, logs and credentials and must not have been used before.
	// Empty means a temporary directory that Stop removes.
	WorkDir string

	// KeepAlive leaves the processes and the work directory behind when the plane
	// is stopped, to look at them; Stop then says how to end them.
	KeepAlive bool

	// Out receives progress of building; nil means standard error.
	Out io.Writer
}

// Plane is a running control plane.
type Plane struct {
	opts       Options
	binaries   Binaries
	workDir    string
	unlock     func()
	pki        *pki
	admin      *rest.Config
	components []*Component // in the order they are started
	router     *router
	keep       bool // the work directory
	stop       sync.Once
	stopErr    error
}

// Start builds what is missing and starts a plane. The context bounds only the
// start; the plane runs until Stop. When Start fails nothing is left running, and
// the work directory stays for its logs.
func Start(ctx context.Context, opts Options) (*Plane, error) {
	if opts.Out == nil {
		opts.Out = os.Stderr
	}
	if opts.Kubernetes == "" {
		opts.Kubernetes = DefaultKubernetes()
	}
	binaries, err := EnsureVersion(ctx, opts.Kubernetes, opts.Out)
	if err != nil {
		return nil, err
	}
	p := &Plane{opts: opts, binaries: binaries}
	if err := p.prepare(); err != nil {
		return nil, err
	}
	if err := p.start(ctx); err != nil {
		p.killAll()
		p.KeepWorkDir()
		p.unlock()
		return nil, fmt.Errorf("starting the control plane in %s: %w", p.workDir, err)
	}
	return p, nil
}

func (p *Plane) start(ctx context.Context) error {
	etcd := p.etcd()
	if err := etcd.launch(ctx); err != nil {
		return err
	}
	routing, err := p.startRouter()
	if err != nil {
		return err
	}
	if err := p.startAPIServers(ctx, etcd, routing); err != nil {
		return err
	}
	if err := p.writeAdmin(); err != nil {
		return err
	}
	var more []*Component
	if p.opts.ControllerManager || p.opts.Nodes > 0 {
		more = append(more, p.controllerManager())
	}
	if p.opts.Nodes > 0 {
		more = append(more, p.scheduler(), p.kwok())
	}
	if err := p.launchClients(ctx, more); err != nil {
		return err
	}
	return p.waitUsable(ctx)
}

// launchClients starts the components that need nothing but the API server, at once.
func (p *Plane) launchClients(ctx context.Context, components []*Component) error {
	errs := make([]error, len(components))
	var wg sync.WaitGroup
	for i, c := range components {
		// Kwok stands for the kubelets of all nodes, which no one node's identity may do.
		user, groups := "system:"+c.name, []string(nil)
		if c.name == Kwok {
			groups = []string{"system:masters"}
		}
		if err := p.componentKubeconfig(c.name, user, groups...); err != nil {
			return err
		}
		wg.Go(func() { errs[i] = c.launch(ctx) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (p *Plane) component(name, binary string, ports int) *Component {
	c := &Component{name: name, binary: binary, dir: p.workDir, nPorts: ports, detach: p.opts.KeepAlive}
	p.components = append(p.components, c)
	return c
}

func (p *Plane) writeAdmin() error {
	if err := p.componentKubeconfig("admin", "admin", "system:masters"); err != nil {
		return err
	}
	var err error
	p.admin, err = p.Config(p.Kubeconfig("admin"))
	return err
}

// Component returns a component by name, or nil if the plane does not run it.
func (p *Plane) Component(name string) *Component {
	for _, c := range p.components {
		if c.name == name {
			return c
		}
	}
	return nil
}

// Binaries are the paths of kubectl, helm and the components.
func (p *Plane) Binaries() Binaries { return p.binaries }

// WorkDir holds data, logs, credentials, and bin/ with kubectl, helm and the rest.
func (p *Plane) WorkDir() string { return p.workDir }

// BinDir is a directory for PATH, and for KUBEBUILDER_ASSETS.
func (p *Plane) BinDir() string { return filepath.Join(p.workDir, "bin") }

// AuditLog is the audit log of the first API server, one JSON event per line. An
// event is written after the response has been sent: poll for it.
func (p *Plane) AuditLog() string { return p.AuditLogOf(1) }

// URL is the address of the first API server.
func (p *Plane) URL() string { return p.URLOf(1) }

// Stop ends every process and removes the work directory if it is temporary. It
// may be called more than once.
func (p *Plane) Stop() error {
	p.stop.Do(func() { p.stopErr = p.shutdown() })
	return p.stopErr
}

func (p *Plane) shutdown() error {
	if p.opts.KeepAlive {
		p.KeepWorkDir()
		p.unlock()
		_, _ = fmt.Fprintf(p.opts.Out, "The control plane still runs.\n  use:  export KUBECONFIG=%s\n  stop: kill -9 %s\n",
			p.Kubeconfig("admin"), strings.Join(p.pids(), " "))
		return nil
	}
	p.killAll()
	defer p.unlock()
	remove := p.workDir
	switch {
	case p.opts.WorkDir != "":
		return nil
	case p.keep:
		// People want the logs; the data is large, and nothing reads it without etcd.
		remove = filepath.Join(p.workDir, "etcd")
	}
	if err := os.RemoveAll(remove); err != nil {
		return fmt.Errorf("removing the work directory: %w", err)
	}
	return nil
}

// killAll does not ask: the data is thrown away, and an orderly stop of the API
// server waits for its clients. Clients go first, so that their logs end clean.
func (p *Plane) killAll() {
	for _, c := range slices.Backward(p.components) {
		_ = c.Kill()
	}
	if p.router != nil {
		_ = p.router.server.Close()
	}
}

func (p *Plane) pids() []string {
	var pids []string
	for _, c := range p.components {
		if proc := c.current(); proc != nil {
			pids = append(pids, fmt.Sprint(proc.cmd.Process.Pid))
		}
	}
	return pids
}

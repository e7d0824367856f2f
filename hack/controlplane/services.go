package controlplane

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// router takes the place of the cluster network for the API server. Nothing
// listens on the cluster address of a Service here, and fake pods run nothing, so
// that a webhook configuration naming a Service would reach nobody. The API
// server is told to reach the cluster through a proxy, as in clusters whose
// control plane is outside of their network, and the router is that proxy.
type router struct {
	server   *http.Server
	listener net.Listener

	mu      sync.Mutex
	client  kubernetes.Interface
	targets map[string]string // by namespace/name
}

// RouteService sends what the API server sends to a Service, on any of its ports,
// to an address on loopback such as 127.0.0.1:9443. The endpoints of the Service
// are ignored. An empty target ends the route; open connections stay.
func (p *Plane) RouteService(namespace, name, target string) error {
	if p.router == nil {
		return errors.New("routing a service: the plane was started without RouteServices")
	}
	p.router.mu.Lock()
	defer p.router.mu.Unlock()
	p.router.targets[namespace+"/"+name] = target
	return nil
}

// startRouter returns the flags that make the API server use it.
func (p *Plane) startRouter() ([]string, error) {
	if !p.opts.RouteServices {
		return nil, nil
	}
	var err error
	if p.router, err = newRouter(p.pki); err != nil {
		return nil, err
	}
	config, err := p.router.writeConfig(p.workDir, p.pki)
	return []string{"--egress-selector-config-file=" + config}, err
}

func newRouter(certs *pki) (*router, error) {
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("starting the service router: %w", err)
	}
	r := &router{listener: listener, targets: map[string]string{}}
	r.server = &http.Server{Handler: r, ReadHeaderTimeout: time.Minute, TLSConfig: &tls.Config{
		ClientCAs:  certs.frontProxy.pool(),
		ClientAuth: tls.RequireAndVerifyClientCert,
		MinVersion: tls.VersionTLS12,
	}}
	go func() { _ = r.server.ServeTLS(listener, certs.crt("serving"), certs.key("serving")) }()
	return r, nil
}

// writeConfig tells the API server to use the router for the cluster network. It
// has TLS because kube-apiserver 1.37 crashes on a plain http address.
func (r *router) writeConfig(dir string, certs *pki) (string, error) {
	path := filepath.Join(dir, "egress.yaml")
	config := fmt.Sprintf(`apiVersion: apiserver.k8s.io/v1beta1
kind: EgressSelectorConfiguration
egressSelections:
- name: cluster
  connection:
    proxyProtocol: HTTPConnect
    transport:
      tcp:
        url: https://%s
        tlsConfig:
          caBundle: %s
          clientCert: %s
          clientKey: %s
`, r.listener.Addr(), certs.crt("ca"), certs.crt(frontProxy), certs.key(frontProxy))
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		return "", fmt.Errorf("writing the egress configuration: %w", err)
	}
	return path, nil
}

func (r *router) use(client kubernetes.Interface) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.client = client
}

// ServeHTTP answers CONNECT and copies bytes until one side closes.
func (r *router) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	if request.Method != http.MethodConnect {
		http.Error(w, "only CONNECT is served", http.StatusMethodNotAllowed)
		return
	}
	upstream, err := r.dial(request.Context(), request.Host)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer func() { _ = upstream.Close() }()
	downstream, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer func() { _ = downstream.Close() }()
	if _, err := io.WriteString(downstream, "HTTP/1.1 200 OK\r\n\r\n"); err == nil {
		splice(downstream, upstream)
	}
}

// splice returns when either direction ends: a TLS connection has no use for half.
func splice(a, b net.Conn) {
	done := make(chan struct{}, 2)
	for _, pair := range [][2]net.Conn{{a, b}, {b, a}} {
		go func() {
			_, _ = io.Copy(pair[0], pair[1])
			done <- struct{}{}
		}()
	}
	<-done
}

// dial connects to where a cluster address is routed; other addresses, such as
// those of webhooks configured by URL, are used as they are.
func (r *router) dial(ctx context.Context, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	target := address
	if serviceNetwork.Contains(net.ParseIP(host)) {
		if target, err = r.target(ctx, host); err != nil {
			return nil, err
		}
	}
	return new(net.Dialer).DialContext(ctx, "tcp", target)
}

func (r *router) target(ctx context.Context, clusterIP string) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.client == nil {
		return "", errors.New("finding a service: the plane is still starting")
	}
	services, err := r.client.CoreV1().Services(corev1.NamespaceAll).List(ctx, metav1.ListOptions{})
	if err != nil {
		return "", fmt.Errorf("finding the service of %s: %w", clusterIP, err)
	}
	for _, s := range services.Items {
		if s.Spec.ClusterIP != clusterIP {
			continue
		}
		if target := r.targets[s.Namespace+"/"+s.Name]; target != "" {
			return target, nil
		}
		return "", fmt.Errorf("no route to service %s/%s", s.Namespace, s.Name)
	}
	return "", fmt.Errorf("no service has the address %s", clusterIP)
}

const serviceRange = "10.0.0.0/24"

var serviceNetwork = func() *net.IPNet {
	_, network, _ := net.ParseCIDR(serviceRange)
	return network
}()

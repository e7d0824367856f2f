package webhooks

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/webhook"

	"github.com/countersign-dev/countersign/internal/certificate"
)

// Server serves the webhooks as soon as there are certificates. It implements manager.Runnable, and by
// not being a webhook.Server itself it starts after the caches: what it answers, it answers with policies.
type Server struct {
	webhook.Server
	certs certificate.Dir
}

// NewServer returns a server on a port that reads its certificates from a directory. It follows their rotation.
func NewServer(port int, certs certificate.Dir) *Server {
	return &Server{certs: certs, Server: webhook.NewServer(webhook.Options{
		Port: port, CertDir: string(certs), TLSOpts: []func(*tls.Config){withoutHTTP2},
	})}
}

// withoutHTTP2 has each connection carry one review at a time. An API server would send all of them through one HTTP/2
// connection, and so to one replica, however many there are. It also keeps the class of attacks away that cost a
// server more than their sender (CVE-2023-44487, CVE-2023-39325).
func withoutHTTP2(config *tls.Config) { config.NextProtos = []string{"http/1.1"} }

// NeedLeaderElection says that every replica answers.
func (s *Server) NeedLeaderElection() bool { return false }

// certPoll is how often the server looks whether certificates have come.
const certPoll = 100 * time.Millisecond

// Start waits for certificates and then serves until the context ends.
func (s *Server) Start(ctx context.Context) error {
	err := wait.PollUntilContextCancel(ctx, certPoll, true, func(context.Context) (bool, error) {
		return s.certs.Complete(), nil
	})
	if err != nil {
		return nil //nolint:nilerr // the context ended, which is how runnables are stopped
	}
	if err := s.Server.Start(ctx); err != nil {
		return fmt.Errorf("serving webhooks: %w", err)
	}
	return nil
}

// Ready is a health check: it fails until the server answers.
func (s *Server) Ready(r *http.Request) error {
	if !s.certs.Complete() {
		return fmt.Errorf("waiting for the webhook's certificates in %s", s.certs)
	}
	return s.StartedChecker()(r)
}

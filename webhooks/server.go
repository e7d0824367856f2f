package webhooks

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/net/netutil"
	"k8s.io/apimachinery/pkg/util/wait"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/certwatcher"

	"github.com/countersign-dev/countersign/internal/certificate"
)

// Server serves the webhooks as soon as there are certificates. It implements manager.Runnable, and by
// not being a webhook.Server itself it starts after the caches: what it answers, it answers with policies.
type Server struct {
	paths   *http.ServeMux
	traffic traffic
	port    int
	certs   certificate.Dir
	clients Clients
	log     logr.Logger
	serving atomic.Bool
}

// Bounds on callers. A review that an API server sends is read in milliseconds; whoever is slow, or sends much, is not
// waited for, so that it costs the server little and others nothing.
const (
	// readHeaderTimeout bounds the handshake and the headers, readTimeout a whole request. The API server waits five
	// seconds for an answer.
	readHeaderTimeout, readTimeout = 3 * time.Second, 5 * time.Second
	// writeTimeout bounds a request and its answer, idleTimeout how long a connection waits for the next one: longer than
	// an API server keeps it.
	writeTimeout, idleTimeout = 10 * time.Second, 100 * time.Second
	// shutdownTimeout bounds how long reviews may take when the process is told to end.
	shutdownTimeout = 30 * time.Second
	// maxHeaderBytes bounds the headers of one request, and maxConnections the memory that all connections take.
	maxHeaderBytes, maxConnections = 32 << 10, 1024
)

// NewServer returns a server on a port that reads its certificates from a directory. It follows their rotation.
func NewServer(port int, certs certificate.Dir, clients Clients) (*Server, error) {
	counted, err := newTraffic()
	if err != nil {
		return nil, fmt.Errorf("registering the metrics of the webhook server: %w", err)
	}
	return &Server{
		paths: http.NewServeMux(), traffic: counted, port: port, certs: certs, clients: clients, log: ctrl.Log.WithName("webhooks"),
	}, nil
}

// Register has a handler answer reviews at a path, if their sender may ask.
func (s *Server) Register(path string, reviews http.Handler) {
	s.paths.Handle(path, s.traffic.count(path, s.clients.only(reviews)))
}

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
	if err := s.serve(ctx); err != nil {
		return fmt.Errorf("serving webhooks: %w", err)
	}
	return nil
}

func (s *Server) serve(ctx context.Context) error {
	watcher, err := certwatcher.New(filepath.Join(string(s.certs), certificate.CertFile), filepath.Join(string(s.certs), certificate.KeyFile))
	if err != nil {
		return fmt.Errorf("reading the certificate: %w", err)
	}
	go func() {
		if err := watcher.Start(ctx); err != nil {
			s.log.Error(err, "Following the certificate")
		}
	}()
	var listen net.ListenConfig
	listener, err := listen.Listen(ctx, "tcp", net.JoinHostPort("", strconv.Itoa(s.port)))
	if err != nil {
		return err
	}
	server := s.server(ctx)
	ended := make(chan error, 1)
	go func() { //nolint:gosec // it begins when that context has ended
		<-ctx.Done()
		s.serving.Store(false)
		ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout) //nolint:contextcheck // the other has ended
		defer cancel()
		ended <- server.Shutdown(ctx)
	}()
	s.serving.Store(true)
	s.log.Info("Serving", "port", s.port, "clientCertificates", s.clients.CAFile != "")
	secure := tls.NewListener(netutil.LimitListener(listener, maxConnections), s.clients.demand(&tls.Config{
		MinVersion: tls.VersionTLS12, GetCertificate: watcher.GetCertificate, NextProtos: withoutHTTP2,
	}))
	if err := server.Serve(secure); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-ended
}

// server lets reviews that are under way when the context ends be answered.
func (s *Server) server(ctx context.Context) *http.Server {
	return &http.Server{
		Handler: s.paths, BaseContext: func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
		ReadHeaderTimeout: readHeaderTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeaderBytes, ErrorLog: log.New(complaints{s.log}, "", 0),
	}
}

// withoutHTTP2 has each connection carry one review at a time. An API server would send all of them through one HTTP/2
// connection, and so to one replica, however many there are. It also keeps the class of attacks away that cost a
// server more than their sender (CVE-2023-44487, CVE-2023-39325).
var withoutHTTP2 = []string{"http/1.1"}

// complaints are what net/http says about callers: anybody can cause any number, so they are for those who look for them.
type complaints struct{ log logr.Logger }

// Write implements io.Writer.
func (c complaints) Write(line []byte) (int, error) {
	c.log.V(1).Info("Refused a connection", "why", string(line))
	return len(line), nil
}

// Ready is a health check: it fails until the server answers.
func (s *Server) Ready(*http.Request) error {
	switch {
	case !s.certs.Complete():
		return fmt.Errorf("waiting for the webhook's certificates in %s", s.certs)
	case !s.serving.Load():
		return errors.New("the webhook server does not serve")
	}
	return nil
}

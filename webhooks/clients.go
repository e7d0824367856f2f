package webhooks

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"sync"

	certutil "k8s.io/client-go/util/cert"
)

// Clients says who may ask for a decision. Any is who reaches the port, unless there is a file of authorities: then every
// caller needs a certificate that one of these has signed for clients.
type Clients struct {
	// CAFile holds certificates of authorities, in PEM. It is read at every connection and review, so that a change counts
	// at once; while it cannot be read nobody may ask. Empty: no certificate is asked for.
	CAFile string
	// Names are those that a certificate may have, as its common name or as a DNS name. Empty: any.
	Names []string
}

// demand has a server ask for certificates.
func (c Clients) demand(config *tls.Config) *tls.Config {
	if c.CAFile == "" {
		return config
	}
	config.ClientAuth = tls.RequireAnyClientCert
	config.SessionTicketsDisabled = true // a session that is taken up again would show a certificate of the past
	known := c.authorities()
	config.VerifyConnection = func(state tls.ConnectionState) error { return known.check(state.PeerCertificates) }
	return config
}

// only lets nobody else ask. Connections last: who may ask is looked at again at every review.
func (c Clients) only(next http.Handler) http.Handler {
	if c.CAFile == "" {
		return next
	}
	known := c.authorities()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS == nil || known.check(r.TLS.PeerCertificates) != nil {
			http.Error(w, "this caller may not ask", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (c Clients) authorities() *authorities { return &authorities{clients: c} }

// authorities are the certificates of the file, parsed anew when its content changes. It is safe for concurrent use.
type authorities struct {
	clients Clients
	mu      sync.Mutex
	content []byte
	pool    *x509.CertPool
}

// check says why the owner of a certificate may not ask.
func (a *authorities) check(chain []*x509.Certificate) error {
	if len(chain) == 0 {
		return errors.New("the caller has no certificate")
	}
	pool, err := a.current()
	if err != nil {
		return err
	}
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	leaf := chain[0]
	if _, err := leaf.Verify(x509.VerifyOptions{
		Roots: pool, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}); err != nil {
		return fmt.Errorf("checking the certificate of a caller: %w", err)
	}
	named := func(name string) bool { return name == leaf.Subject.CommonName || slices.Contains(leaf.DNSNames, name) }
	if len(a.clients.Names) > 0 && !slices.ContainsFunc(a.clients.Names, named) {
		return fmt.Errorf("the certificate of a caller is for %q", leaf.Subject.CommonName)
	}
	return nil
}

func (a *authorities) current() (*x509.CertPool, error) {
	content, err := os.ReadFile(a.clients.CAFile)
	if err != nil {
		return nil, fmt.Errorf("reading who may ask: %w", err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.pool != nil && bytes.Equal(content, a.content) {
		return a.pool, nil
	}
	parsed, err := certutil.ParseCertsPEM(content)
	if err != nil {
		return nil, fmt.Errorf("reading who may ask: %w", err)
	}
	pool := x509.NewCertPool()
	for _, c := range parsed {
		pool.AddCert(c)
	}
	a.content, a.pool = content, pool
	return pool, nil
}

// Check says why nobody could ever ask: it is for the start, when somebody can mend it.
func (c Clients) Check() error {
	if c.CAFile == "" {
		if len(c.Names) > 0 {
			return errors.New("names of callers count only together with a file of authorities")
		}
		return nil
	}
	_, err := c.authorities().current()
	return err
}

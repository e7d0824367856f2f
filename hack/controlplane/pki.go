package controlplane

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// authority signs the certificates of one plane; it is never reused.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pair keyPair
}

// keyPair is a certificate and its key, PEM encoded.
type keyPair struct{ cert, key []byte }

const certificateLife = 30 * 24 * time.Hour

func newAuthority(name string) (*authority, error) {
	template := certificate(pkix.Name{CommonName: name})
	template.IsCA = true
	template.BasicConstraintsValid = true
	template.KeyUsage |= x509.KeyUsageCertSign
	key, der, err := sign(template, template, nil)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("creating authority %s: %w", name, err)
	}
	pair, err := encode(key, der)
	return &authority{cert: cert, key: key, pair: pair}, err
}

// issueServing signs a certificate that serves loopback. An etcd member is also
// the client of its peers and passes the second usage.
func (a *authority) issueServing(name string, more ...x509.ExtKeyUsage) (keyPair, error) {
	template := certificate(pkix.Name{CommonName: name})
	template.ExtKeyUsage = slices.Concat(more, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth})
	template.DNSNames = []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"}
	template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv4(10, 0, 0, 1)}
	return a.issueFrom(template)
}

// issueClient signs a certificate that can only authenticate a client.
func (a *authority) issueClient(user string, groups ...string) (keyPair, error) {
	template := certificate(pkix.Name{CommonName: user, Organization: groups})
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	return a.issueFrom(template)
}

func (a *authority) issueFrom(template *x509.Certificate) (keyPair, error) {
	key, der, err := sign(template, a.cert, a.key)
	if err != nil {
		return keyPair{}, err
	}
	return encode(key, der)
}

func certificate(subject pkix.Name) *x509.Certificate {
	return &x509.Certificate{
		Subject:   subject,
		NotBefore: time.Now().Add(-time.Hour),
		NotAfter:  time.Now().Add(certificateLife),
		KeyUsage:  x509.KeyUsageDigitalSignature,
	}
}

// sign creates a key and a certificate for it; a nil signer means self-signed.
func sign(template, parent *x509.Certificate, signer *ecdsa.PrivateKey) (*ecdsa.PrivateKey, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("generating a key: %w", err)
	}
	if signer == nil {
		signer = key
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)); err != nil {
		return nil, nil, fmt.Errorf("generating a serial number: %w", err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		return nil, nil, fmt.Errorf("signing the certificate of %q: %w", template.Subject.CommonName, err)
	}
	return key, der, nil
}

func encode(key *ecdsa.PrivateKey, der []byte) (keyPair, error) {
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return keyPair{}, fmt.Errorf("encoding a key: %w", err)
	}
	return keyPair{
		cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		key:  pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER}),
	}, nil
}

// write stores the pair as <name>.crt and <name>.key.
func (p keyPair) write(dir, name string) error {
	if err := os.WriteFile(filepath.Join(dir, name+".crt"), p.cert, 0o600); err != nil {
		return fmt.Errorf("writing a certificate: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".key"), p.key, 0o600); err != nil {
		return fmt.Errorf("writing a key: %w", err)
	}
	return nil
}

// pki is every credential the components need on disk. It has three authorities,
// as a real cluster does: were there one, every person with a client certificate
// could read etcd and speak for others to aggregated API servers.
type pki struct {
	dir                       string
	cluster, etcd, frontProxy *authority
}

const frontProxy = "front-proxy-client"

func newPKI(dir string) (*pki, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("creating the certificate directory: %w", err)
	}
	p := &pki{dir: dir}
	var err error
	if p.cluster, err = newAuthority("kubernetes"); err != nil {
		return nil, err
	}
	if p.etcd, err = newAuthority("etcd"); err != nil {
		return nil, err
	}
	if p.frontProxy, err = newAuthority("front-proxy"); err != nil {
		return nil, err
	}
	pairs := map[string]func() (keyPair, error){
		"ca":             func() (keyPair, error) { return p.cluster.pair, nil },
		"etcd-ca":        func() (keyPair, error) { return p.etcd.pair, nil },
		"front-proxy-ca": func() (keyPair, error) { return p.frontProxy.pair, nil },
		frontProxy:       func() (keyPair, error) { return p.frontProxy.issueClient(frontProxy) },
		"etcd":           func() (keyPair, error) { return p.etcd.issueServing("etcd", x509.ExtKeyUsageClientAuth) },
		"etcd-client":    func() (keyPair, error) { return p.etcd.issueClient("kube-apiserver") },
		"serving":        func() (keyPair, error) { return p.cluster.issueServing("kube-apiserver") },
		// Service account tokens are signed by a key; its certificate is not used.
		"service-account": func() (keyPair, error) { return p.cluster.issueClient("service-account") },
	}
	for name, issue := range pairs {
		pair, err := issue()
		if err != nil {
			return nil, err
		}
		if err := pair.write(dir, name); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (p *pki) crt(name string) string { return filepath.Join(p.dir, name+".crt") }
func (p *pki) key(name string) string { return filepath.Join(p.dir, name+".key") }

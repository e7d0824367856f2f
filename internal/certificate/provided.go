package certificate

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"time"
)

// CheckProvided checks a certificate that somebody else has issued, with its key and the authorities to trust, under the
// names of files: an API server that trusts these and calls the host has to accept it at this instant. It returns the
// authority that it comes from, in PEM. What an API server would not accept must not be served: an error says why not.
func CheckProvided(files map[string][]byte, host string, now time.Time) (authority []byte, err error) {
	for _, name := range []string{CertFile, KeyFile, CAFile} {
		if len(files[name]) == 0 {
			return nil, fmt.Errorf("checking the certificate: there is no %s", name)
		}
	}
	pair, err := tls.X509KeyPair(files[CertFile], files[KeyFile])
	if err != nil {
		return nil, fmt.Errorf("checking the certificate: %w", err)
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	if !roots.AppendCertsFromPEM(files[CAFile]) {
		return nil, fmt.Errorf("checking the certificate: %s holds no certificate in PEM", CAFile)
	}
	for _, der := range pair.Certificate[1:] {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("checking the chain of the certificate: %w", err)
		}
		between.AddCert(c)
	}
	chains, err := pair.Leaf.Verify(x509.VerifyOptions{DNSName: host, Roots: roots, Intermediates: between, CurrentTime: now})
	if err != nil {
		return nil, fmt.Errorf("checking the certificate: %w", err)
	}
	if len(chains) == 0 || len(chains[0]) == 0 {
		return nil, errors.New("checking the certificate: it comes from no authority")
	}
	root := chains[0][len(chains[0])-1]
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Raw}), nil
}

// NotAfter is when the certificate that is served expires; the zero time before there is one.
func (d Dir) NotAfter() (time.Time, error) {
	serving, err := d.Serving()
	if err != nil || serving == nil {
		return time.Time{}, err
	}
	block, _ := pem.Decode(serving)
	if block == nil {
		return time.Time{}, errors.New("reading the certificate: it is not in PEM")
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return time.Time{}, fmt.Errorf("reading the certificate: %w", err)
	}
	return leaf.NotAfter, nil
}

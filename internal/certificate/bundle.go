package certificate

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"
	"time"

	certutil "k8s.io/client-go/util/cert"
)

// maxAuthorities bounds a bundle: the current authority, and those before it whose certificates may still be served.
const maxAuthorities = 3

// Bundle is what the API server must trust while certificates of several authorities are served: the current authority,
// and those of an earlier bundle that are still good, the latest first. A new one becomes the first. One that is known stays
// in its place, where the next new one does not push it out: during a rolling update that changes who issues certificates,
// replicas differ about which is the current one, and would otherwise overwrite each other's bundle without end. Both are
// in PEM. An earlier bundle that cannot be read is left out; a current authority that cannot be read is an error.
func Bundle(current, earlier []byte, now time.Time) ([]byte, error) {
	block, _ := pem.Decode(current)
	if block == nil {
		return nil, fmt.Errorf("reading the certificate authority: it is not in PEM")
	}
	if _, err := x509.ParseCertificate(block.Bytes); err != nil {
		return nil, fmt.Errorf("reading the certificate authority: %w", err)
	}
	authorities := unexpired(earlier, now)
	isCurrent := func(der []byte) bool { return bytes.Equal(der, block.Bytes) }
	if place := slices.IndexFunc(authorities, isCurrent); place < 0 || place >= maxAuthorities-1 {
		authorities = slices.Insert(slices.DeleteFunc(authorities, isCurrent), 0, block.Bytes)
	}
	var bundle []byte
	for _, der := range authorities[:min(len(authorities), maxAuthorities)] {
		bundle = append(bundle, pem.EncodeToMemory(&pem.Block{Type: certutil.CertificateBlockType, Bytes: der})...)
	}
	return bundle, nil
}

// unexpired are the certificates of a bundle in PEM that can be read and have not expired, each once, in DER.
func unexpired(bundle []byte, now time.Time) [][]byte {
	var found [][]byte
	for {
		var next *pem.Block
		if next, bundle = pem.Decode(bundle); next == nil {
			return found
		}
		authority, err := x509.ParseCertificate(next.Bytes)
		known := slices.ContainsFunc(found, func(der []byte) bool { return bytes.Equal(der, next.Bytes) })
		if err == nil && now.Before(authority.NotAfter) && !known {
			found = append(found, next.Bytes)
		}
	}
}

// Holds says whether a bundle has the authority with which another one begins.
func Holds(bundle, authority []byte) bool {
	wanted, _ := pem.Decode(authority)
	for rest := bundle; wanted != nil; {
		var next *pem.Block
		if next, rest = pem.Decode(rest); next == nil {
			return false
		}
		if bytes.Equal(next.Bytes, wanted.Bytes) {
			return true
		}
	}
	return false
}

package certificate

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"time"
)

// maxAuthorities bounds a bundle: the current authority, and those before it whose certificates may still be served.
const maxAuthorities = 3

// Bundle is what the API server must trust while certificates of several authorities are served: the current authority
// first, and after it those of an earlier bundle that are still good, the latest first. Both are in PEM. An earlier bundle
// that cannot be read is left out; a current authority that cannot be read is an error.
func Bundle(current, earlier []byte, now time.Time) ([]byte, error) {
	block, _ := pem.Decode(current)
	if block == nil {
		return nil, fmt.Errorf("reading the certificate authority: it is not in PEM")
	}
	if _, err := x509.ParseCertificate(block.Bytes); err != nil {
		return nil, fmt.Errorf("reading the certificate authority: %w", err)
	}
	bundle := pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes})
	kept := 1
	for rest := earlier; kept < maxAuthorities; {
		var next *pem.Block
		if next, rest = pem.Decode(rest); next == nil {
			break
		}
		authority, err := x509.ParseCertificate(next.Bytes)
		if err != nil || !now.Before(authority.NotAfter) || bytes.Equal(next.Bytes, block.Bytes) {
			continue
		}
		bundle = append(bundle, pem.EncodeToMemory(&pem.Block{Type: next.Type, Bytes: next.Bytes})...)
		kept++
	}
	return bundle, nil
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

package certificate_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/countersign-dev/countersign/internal/certificate"
)

// signer signs certificates.
type signer struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

// certify makes a certificate; without a parent it signs itself.
func certify(t *testing.T, parent *signer, template x509.Certificate) *signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore, template.NotAfter = start, start.AddDate(1, 0, 0)
	template.BasicConstraintsValid = true
	s := &signer{key: key}
	by, byKey := &template, key
	if parent != nil {
		by, byKey = parent.cert, parent.key
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, by, key.Public(), byKey)
	if err != nil {
		t.Fatal(err)
	}
	if s.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	s.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return s
}

func (s *signer) keyPEM(t *testing.T) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(s.key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

const host = "countersign-webhook.countersign-system.svc"

func TestCheckProvided(t *testing.T) {
	authorityOf := func(name string) x509.Certificate {
		return x509.Certificate{Subject: pkix.Name{CommonName: name}, IsCA: true, KeyUsage: x509.KeyUsageCertSign}
	}
	server := x509.Certificate{DNSNames: []string{host}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	root, other := certify(t, nil, authorityOf("root")), certify(t, nil, authorityOf("other"))
	between := certify(t, root, authorityOf("between"))
	leaf, deep, alone := certify(t, root, server), certify(t, between, server), certify(t, nil, server)
	client := certify(t, root, x509.Certificate{DNSNames: []string{host}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	named := certify(t, root, x509.Certificate{Subject: pkix.Name{CommonName: host}, ExtKeyUsage: server.ExtKeyUsage})
	tests := map[string]struct {
		cert, key, authorities []byte
		host                   string
		after                  time.Duration
		want                   []byte
		wantErr                string
	}{
		"of the authority":            {cert: leaf.pem, key: leaf.keyPEM(t), authorities: root.pem, want: root.pem},
		"of the second of two":        {cert: leaf.pem, key: leaf.keyPEM(t), authorities: slices.Concat(other.pem, root.pem), want: root.pem},
		"with a chain":                {cert: slices.Concat(deep.pem, between.pem), key: deep.keyPEM(t), authorities: root.pem, want: root.pem},
		"its own authority":           {cert: alone.pem, key: alone.keyPEM(t), authorities: alone.pem, want: alone.pem},
		"of another authority":        {cert: leaf.pem, key: leaf.keyPEM(t), authorities: other.pem, wantErr: "unknown authority"},
		"with a chain that is broken": {cert: deep.pem, key: deep.keyPEM(t), authorities: root.pem, wantErr: "unknown authority"},
		"for another host":            {cert: leaf.pem, key: leaf.keyPEM(t), authorities: root.pem, host: "x.svc", wantErr: "valid for " + host},
		"with the host as its name only": {
			cert: named.pem, key: named.keyPEM(t), authorities: root.pem, wantErr: "Common Name",
		},
		"for clients":          {cert: client.pem, key: client.keyPEM(t), authorities: root.pem, wantErr: "incompatible key usage"},
		"with another key":     {cert: leaf.pem, key: other.keyPEM(t), authorities: root.pem, wantErr: "does not match"},
		"expired":              {cert: leaf.pem, key: leaf.keyPEM(t), authorities: root.pem, after: 2 * 365 * 24 * time.Hour, wantErr: "expired"},
		"of the future":        {cert: leaf.pem, key: leaf.keyPEM(t), authorities: root.pem, after: -24 * time.Hour, wantErr: "not yet valid"},
		"without an authority": {cert: leaf.pem, key: leaf.keyPEM(t), wantErr: "there is no ca.crt"},
		"without a key":        {cert: leaf.pem, authorities: root.pem, wantErr: "there is no tls.key"},
		"nothing":              {wantErr: "there is no tls.crt"},
		"no PEM":               {cert: leaf.pem, key: leaf.keyPEM(t), authorities: []byte("x"), wantErr: "ca.crt holds no certificate"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if tc.host == "" {
				tc.host = host
			}
			if tc.after == 0 {
				tc.after = time.Hour
			}
			files := map[string][]byte{certificate.CertFile: tc.cert, certificate.KeyFile: tc.key, certificate.CAFile: tc.authorities}
			got, err := certificate.CheckProvided(files, tc.host, start.Add(tc.after))
			if tc.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tc.wantErr) || got != nil {
					t.Errorf("got %q, %v, want an error that says %q", got, err, tc.wantErr)
				}
				return
			}
			if err != nil || !bytes.Equal(got, tc.want) {
				t.Errorf("got %v and\n%s\nwant\n%s", err, got, tc.want)
			}
		})
	}
}

func TestNotAfter(t *testing.T) {
	dir := certificate.Dir(t.TempDir())
	if got, err := dir.NotAfter(); err != nil || !got.IsZero() {
		t.Errorf("without a certificate: %v, %v", got, err)
	}
	leaf := certify(t, nil, x509.Certificate{DNSNames: []string{host}})
	if err := dir.Write(map[string][]byte{certificate.CertFile: leaf.pem}); err != nil {
		t.Fatal(err)
	}
	if got, err := dir.NotAfter(); err != nil || !got.Equal(start.AddDate(1, 0, 0)) {
		t.Errorf("got %v, %v, want %v", got, err, start.AddDate(1, 0, 0))
	}
	if err := dir.Write(map[string][]byte{certificate.CertFile: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	if _, err := dir.NotAfter(); err == nil {
		t.Error("what is no certificate expires")
	}
}

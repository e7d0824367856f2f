package command

import (
	"bytes"
	"context"
	"crypto/x509"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/countersign-dev/countersign/internal/certificate"
)

// certificate compares what the operator serves, as its Secret has it, with what the API server trusts. Who reads Secrets of
// the operator's namespace sees its key as well: those who may not are told, and the canary tells them as much.
func (d *doctor) certificate(ctx context.Context) {
	if d.operator.service == "" {
		return
	}
	own := d.operator.flag("cert-secret", d.operator.service+"-cert")
	name := d.operator.flag("provided-cert-secret", own)
	secret, err := d.cluster.CoreV1().Secrets(d.namespace).Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		d.fail(d.upgrade(), "there is no Secret %s/%s: the operator has no certificate to serve", d.namespace, name)
		return
	case err != nil:
		d.unknown(err, "the certificate in Secret %s/%s cannot be looked at, and the canary tells whether the API server takes it",
			d.namespace, name)
		return
	}
	chain := certificatesIn(secret.Data[certificate.CertFile])
	if len(chain) == 0 {
		d.fail(d.restart(), "Secret %s/%s holds no certificate", d.namespace, name)
		return
	}
	mend := d.restart()
	if name != own {
		mend = fmt.Sprintf("kubectl describe secret %s --namespace %s", name, d.namespace) // whoever fills it has to
	}
	d.served(mend, name, chain)
}

// served judges the certificate that is served.
func (d *doctor) served(mend, secret string, chain []*x509.Certificate) {
	serverName := fmt.Sprintf("%s.%s.svc", d.operator.service, d.namespace)
	now := d.e.Now()
	good := true
	for _, c := range d.hooks {
		distinct := [][]byte{}
		for _, entry := range c.entries {
			if !contains(distinct, entry.client.CABundle) {
				distinct = append(distinct, entry.client.CABundle)
			}
		}
		for _, bundle := range distinct {
			if err := verify(chain, bundle, serverName, now); err != nil {
				good = false
				d.fail(mend, "the caBundle of %s does not match the certificate in Secret %s/%s, so the API server gets no answer: %v",
					c.name, d.namespace, secret, err)
			}
		}
	}
	end := chain[0].NotAfter
	switch {
	case !good:
	case end.Sub(now) < soon:
		d.warn(mend, "the certificate in Secret %s/%s expires %s, and should have been renewed",
			d.namespace, secret, end.UTC().Format(stampFormat))
	default:
		d.ok("the certificate in Secret %s/%s is of an authority in every caBundle, for %s, until %s",
			d.namespace, secret, serverName, end.UTC().Format(time.DateOnly))
	}
}

func contains(all [][]byte, one []byte) bool {
	for _, other := range all {
		if bytes.Equal(other, one) {
			return true
		}
	}
	return false
}

// verify does what the API server does with what it is served.
func verify(chain []*x509.Certificate, bundle []byte, serverName string, now time.Time) error {
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	for _, authority := range certificatesIn(bundle) {
		roots.AddCert(authority)
	}
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{
		DNSName: serverName, Roots: roots, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	if err != nil {
		return fmt.Errorf("verifying it: %w", err)
	}
	return nil
}

package command

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The webhook configurations that the operator keeps beside actionsConfiguration.
const (
	policiesConfiguration  = "countersign-policies"
	approvalsConfiguration = "countersign-approvals"
)

// soon is how long before its end a certificate should have been replaced.
const soon = 7 * 24 * time.Hour

// hookConfiguration is a webhook configuration of either kind, or why it could not be read.
type hookConfiguration struct {
	name        string
	annotations map[string]string
	entries     []hookEntry
	err         error
}

// hookEntry is what an entry of either kind has in common.
type hookEntry struct {
	name    string
	client  admissionregistrationv1.WebhookClientConfig
	failure *admissionregistrationv1.FailurePolicyType
}

// readHooks reads the three configurations that the operator keeps.
func (d *doctor) readHooks(ctx context.Context) []hookConfiguration {
	var all []hookConfiguration
	api := d.cluster.AdmissionregistrationV1()
	for _, name := range []string{actionsConfiguration, policiesConfiguration} {
		found, err := api.ValidatingWebhookConfigurations().Get(ctx, name, metav1.GetOptions{})
		c := hookConfiguration{name: name, err: err}
		if err == nil {
			c.annotations = found.Annotations
			for i := range found.Webhooks {
				w := &found.Webhooks[i]
				c.entries = append(c.entries, hookEntry{w.Name, w.ClientConfig, w.FailurePolicy})
			}
		}
		all = append(all, c)
	}
	found, err := api.MutatingWebhookConfigurations().Get(ctx, approvalsConfiguration, metav1.GetOptions{})
	c := hookConfiguration{name: approvalsConfiguration, err: err}
	if err == nil {
		for i := range found.Webhooks {
			w := &found.Webhooks[i]
			c.entries = append(c.entries, hookEntry{w.Name, w.ClientConfig, w.FailurePolicy})
		}
	}
	return append(all, c)
}

// hooked says that some webhook configuration is there, or cannot be looked at.
func (d *doctor) hooked() bool {
	for _, c := range d.hooks {
		if !apierrors.IsNotFound(c.err) {
			return true
		}
	}
	return false
}

// webhooks judges the configurations.
func (d *doctor) webhooks(context.Context) {
	if !d.defined && !d.hooked() {
		return // nothing is installed, which was reported
	}
	var good []string
	for i := range d.hooks {
		if d.configuration(&d.hooks[i]) {
			good = append(good, d.hooks[i].name)
		}
	}
	if len(good) > 0 {
		d.ok("what asks Countersign fails closed, and has valid authorities: %s", strings.Join(good, ", "))
	}
}

// configuration says whether a configuration is as it must be, and reports what is not.
func (d *doctor) configuration(c *hookConfiguration) bool {
	switch {
	case apierrors.IsNotFound(c.err):
		d.fail(d.restart(), "the webhook configuration %s is missing: nothing is asked of Countersign", c.name)
		return false
	case c.err != nil:
		d.unknown(c.err, "%s cannot be looked at", c.name)
		return false
	case len(c.entries) == 0:
		d.fail(d.restart(), "the webhook configuration %s is empty: nothing is asked of Countersign", c.name)
		return false
	}
	good := true
	for _, entry := range c.entries {
		observes := strings.HasPrefix(entry.name, "observe.")
		if !observes && (entry.failure == nil || *entry.failure != admissionregistrationv1.Fail) {
			good = false
			d.fail(d.restart(), "%s of %s lets pass what Countersign does not answer: its failurePolicy is not Fail", entry.name, c.name)
		}
		if problem := bundleProblem(entry.client.CABundle, d.e.Now()); problem != "" {
			good = false
			d.fail(d.restart(), "%s of %s: %s", entry.name, c.name, problem)
		}
	}
	return good
}

// bundleProblem says what is wrong with the authorities of a webhook, empty where nothing is.
func bundleProblem(bundle []byte, now time.Time) string {
	var last time.Time
	for _, authority := range certificatesIn(bundle) {
		if authority.NotAfter.After(last) {
			last = authority.NotAfter
		}
	}
	switch {
	case last.IsZero():
		return "its caBundle holds no certificate"
	case !last.After(now):
		return "its caBundle has expired " + last.UTC().Format(stampFormat)
	case last.Sub(now) < soon:
		return "its caBundle expires " + last.UTC().Format(stampFormat)
	default:
		return ""
	}
}

// certificatesIn are the certificates of a text in PEM that can be read.
func certificatesIn(text []byte) []*x509.Certificate {
	var all []*x509.Certificate
	for rest := bytes.TrimSpace(text); len(rest) > 0; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if certificate, err := x509.ParseCertificate(block.Bytes); err == nil {
			all = append(all, certificate)
		}
	}
	return all
}

package command

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"strings"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/version"
	apiversion "k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/rest"

	"github.com/countersign-dev/countersign/internal/canary"
	"github.com/countersign-dev/countersign/internal/policy"
)

const (
	// oldestServer is the oldest Kubernetes that Countersign works with.
	oldestServer = "1.34.0"
	// mostSkew is how far the clocks may differ before times that are shown here mislead.
	mostSkew = 2 * time.Second
	// soon is how long before its end a certificate should have been replaced.
	soon = 7 * 24 * time.Hour

	mendInstall = "helm upgrade --install countersign charts/countersign --namespace countersign-system --create-namespace"
)

// server looks at the API server's version and clock.
func (d *doctor) server(ctx context.Context, config *rest.Config) error {
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(config.Host, "/")+"/version", http.NoBody)
	if err != nil {
		return fmt.Errorf("asking for the version: %w", err)
	}
	answer, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("asking for the version: %w", err)
	}
	defer answer.Body.Close()
	var info apiversion.Info
	if err := json.NewDecoder(answer.Body).Decode(&info); err != nil {
		d.add(unknown, "", "the API server does not say its version: %v", err)
		return nil
	}
	switch running, err := version.ParseSemantic(info.GitVersion); {
	case err != nil:
		d.add(unknown, "", "the version of the API server is %s", info.GitVersion)
	case running.LessThan(version.MustParseSemantic(oldestServer)):
		d.add(failing, "", "Kubernetes is %s; Countersign needs %s or later", info.GitVersion, oldestServer)
	default:
		d.add(healthy, "", "Kubernetes is %s, the plugin %s", info.GitVersion, d.e.Version)
	}
	if at, err := http.ParseTime(answer.Header.Get("Date")); err == nil {
		if skew := d.e.Now().Sub(at).Abs().Truncate(time.Second); skew > mostSkew {
			d.add(warning, "timedatectl set-ntp true",
				"the clock here is %s away from the API server's: times that are shown are wrong by that", skew)
		} else {
			d.add(healthy, "", "the clock here is that of the API server")
		}
	}
	return nil
}

// webhookEntry is what an entry of either kind of webhook configuration has in common.
type webhookEntry struct {
	name    string
	client  admissionregistrationv1.WebhookClientConfig
	failure *admissionregistrationv1.FailurePolicyType
}

// webhooks looks at the three configurations that the operator keeps.
func (d *doctor) webhooks(ctx context.Context) {
	api := d.cluster.AdmissionregistrationV1()
	for _, name := range []string{"countersign-actions", "countersign-policies"} {
		found, err := api.ValidatingWebhookConfigurations().Get(ctx, name, metav1.GetOptions{})
		var entries []webhookEntry
		if err == nil {
			for i := range found.Webhooks {
				w := &found.Webhooks[i]
				entries = append(entries, webhookEntry{w.Name, w.ClientConfig, w.FailurePolicy})
			}
		}
		d.configuration(name, entries, err)
	}
	found, err := api.MutatingWebhookConfigurations().Get(ctx, "countersign-approvals", metav1.GetOptions{})
	var entries []webhookEntry
	if err == nil {
		for i := range found.Webhooks {
			w := &found.Webhooks[i]
			entries = append(entries, webhookEntry{w.Name, w.ClientConfig, w.FailurePolicy})
		}
	}
	d.configuration("countersign-approvals", entries, err)
}

// configuration judges one configuration.
func (d *doctor) configuration(name string, entries []webhookEntry, err error) {
	switch {
	case apierrors.IsForbidden(err):
		d.add(unknown, "", "%s cannot be looked at: %s", name, d.e.explain(err))
		return
	case apierrors.IsNotFound(err):
		d.add(failing, mendInstall, "the webhook configuration %s is missing: nothing is asked of Countersign", name)
		return
	case err != nil:
		d.add(unknown, "", "%s cannot be looked at: %s", name, d.e.explain(err))
		return
	}
	good := true
	for _, entry := range entries {
		if s := entry.client.Service; s != nil {
			d.namespace = s.Namespace
		}
		observes := strings.HasPrefix(entry.name, "observe.")
		if !observes && (entry.failure == nil || *entry.failure != admissionregistrationv1.Fail) {
			good = false
			d.add(failing, d.restart(), "%s of %s lets pass what Countersign does not answer: its failurePolicy is not Fail", entry.name, name)
		}
		if problem := bundleProblem(entry.client.CABundle, d.e.Now()); problem != "" {
			good = false
			d.add(failing, d.restart(), "%s of %s: %s", entry.name, name, problem)
		}
	}
	if good {
		d.add(healthy, "", "the webhook configuration %s fails closed, and has a valid authority", name)
	}
}

// restart is what has the operator write its configurations anew.
func (d *doctor) restart() string {
	return "kubectl rollout restart deployment --selector app.kubernetes.io/name=countersign --namespace " + d.namespace
}

// bundleProblem says what is wrong with the authority of a webhook, empty where nothing is.
func bundleProblem(bundle []byte, now time.Time) string {
	var last time.Time
	for rest := bytes.TrimSpace(bundle); len(rest) > 0; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if certificate, err := x509.ParseCertificate(block.Bytes); err == nil && certificate.NotAfter.After(last) {
			last = certificate.NotAfter
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

// canary tries whether the identity that Countersign always governs is refused.
func (d *doctor) canary(ctx context.Context, config *rest.Config) {
	name := policy.ServiceAccountUsername(d.namespace, canary.DefaultAccount)
	account := canary.AccountFor(policy.Identity{Username: d.self.Username, Groups: d.self.Groups}, name, d.namespace)
	write, err := canary.Writer(config, account)
	if err != nil {
		d.add(unknown, "", "the canary could not try: %v", err)
		return
	}
	err = write(ctx)
	switch result := canary.Classify(err); result.Outcome {
	case canary.Refused:
		d.add(healthy, "", "the canary was refused by Countersign: the API server asks it, and it answers")
	case canary.Passed:
		d.add(failing, mendInstall,
			"the canary was not refused: agents may do what RBAC lets them do (is the operator in namespace %s?)", d.namespace)
	case canary.Unanswered:
		d.add(failing, d.restart(), "Countersign does not answer the API server, so agents are refused everything: %s", result.Detail)
	case canary.Forbidden:
		d.add(unknown, "", "the canary could not try: %s", d.e.explain(err))
	case canary.Unreachable:
		d.add(unknown, "", "the canary got no answer: %s", d.e.explain(err))
	default:
		d.add(failing, "", "the canary had an outcome that this plugin does not know: %s", result.Outcome)
	}
}

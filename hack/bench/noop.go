package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	stdlog "log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/go-logr/logr"
	admissionv1 "k8s.io/api/admission/v1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/countersign-dev/countersign/hack/measure"
	"github.com/countersign-dev/countersign/hack/testbed"
	"github.com/countersign-dev/countersign/internal/certificate"
)

// noopCommand is the first argument with which this binary is the webhook that does nothing.
const noopCommand = "noop-webhook"

// Names of the entries of webhooks that do nothing, by which the API server's metrics call them.
const (
	noopName  = "noop.example.com"
	usualName = "usual.example.com"
)

// floors are the webhooks that do nothing, by the names of their entries: one reads the AdmissionReview into its Go type, objects
// left as they are, and writes the answer. Most are made with a library that does more.
var floors = map[string]http.Handler{
	noopName: http.HandlerFunc(admitAll),
	usualName: &admission.Webhook{Handler: admission.HandlerFunc(func(context.Context, admission.Request) admission.Response {
		return admission.Allowed("")
	})},
}

// serveNoop answers every review with yes, at a path for each name. TLS and HTTP are set as Countersign's are. The first argument
// is the address, the second the directory of the certificates.
func serveNoop(args []string) error {
	if len(args) != 2 {
		return errors.New("the webhook that does nothing needs an address and a directory")
	}
	log.SetLogger(logr.Discard())
	paths := http.NewServeMux()
	for name, handler := range floors {
		paths.Handle("/"+name, handler)
	}
	certs := certificate.Dir(args[1])
	pair, err := tls.LoadX509KeyPair(filepath.Join(string(certs), certificate.CertFile), filepath.Join(string(certs), certificate.KeyFile))
	if err != nil {
		return fmt.Errorf("reading the certificate: %w", err)
	}
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", args[0])
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler: paths, ReadHeaderTimeout: 3 * time.Second, ReadTimeout: 5 * time.Second,
		WriteTimeout: 10 * time.Second, IdleTimeout: 100 * time.Second,
		ErrorLog: stdlog.New(io.Discard, "", 0), // of connections that only ask whether it listens
	}
	return server.Serve(tls.NewListener(listener, &tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, NextProtos: []string{"http/1.1"},
	}))
}

func admitAll(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	var review admissionv1.AdmissionReview
	if err := json.Unmarshal(body, &review); err != nil || review.Request == nil {
		http.Error(w, "this is no review", http.StatusBadRequest)
		return
	}
	review.Response = &admissionv1.AdmissionResponse{UID: review.Request.UID, Allowed: true}
	review.Request = nil
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(review); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

// noop is the running webhook that does nothing.
type noop struct {
	stop context.CancelFunc
	done chan struct{}
}

func (n *noop) close() {
	n.stop()
	<-n.done
}

// startNoop runs webhooks that do nothing in a process of their own, as any webhook is, and has the API server ask each about the
// writes of one account, on the terms on which it asks Countersign. The accounts are by the names of the entries.
func startNoop(ctx context.Context, s *testbed.Testbed, accounts map[string]string) (*noop, error) {
	dir, err := os.MkdirTemp(s.Run.Dir, "noop-")
	if err != nil {
		return nil, fmt.Errorf("making a directory: %w", err)
	}
	certs := certificate.Dir(dir)
	if err := certs.Ensure("127.0.0.1"); err != nil {
		return nil, fmt.Errorf("making certificates: %w", err)
	}
	authority, err := certs.CABundle()
	if err != nil {
		return nil, err
	}
	address, err := testbed.FreeAddress()
	if err != nil {
		return nil, err
	}
	binary, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding this binary: %w", err)
	}
	living, stop := context.WithCancel(context.WithoutCancel(ctx))
	n := &noop{stop: stop, done: make(chan struct{})}
	command := exec.CommandContext(living, binary, noopCommand, address, dir)
	command.Stderr = os.Stderr
	if err := testbed.StartChild(command, func() { close(n.done) }); err != nil {
		stop()
		return nil, err
	}
	err = measure.Wait(ctx, "the webhook that does nothing listens", time.Minute, func(ctx context.Context) error {
		c, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err != nil {
			return err
		}
		return c.Close()
	})
	for name, account := range accounts {
		if err == nil {
			err = s.Create(ctx, noopConfiguration(name, "https://"+address+"/"+name, authority, account))
		}
	}
	if err != nil {
		n.close()
	}
	return n, err
}

func noopConfiguration(name, url string, authority []byte, account string) client.Object {
	everything := admissionregistrationv1.Rule{
		APIGroups: []string{"*"}, APIVersions: []string{"*"}, Resources: []string{"*/*"},
		Scope: new(admissionregistrationv1.AllScopes),
	}
	return &admissionregistrationv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: account},
		Webhooks: []admissionregistrationv1.ValidatingWebhook{{
			Name:         name,
			ClientConfig: admissionregistrationv1.WebhookClientConfig{URL: &url, CABundle: authority},
			Rules: []admissionregistrationv1.RuleWithOperations{{
				Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.OperationAll}, Rule: everything,
			}},
			FailurePolicy: new(admissionregistrationv1.Fail), SideEffects: new(admissionregistrationv1.SideEffectClassNone),
			TimeoutSeconds: new(int32(5)), AdmissionReviewVersions: []string{"v1"},
			MatchConditions: []admissionregistrationv1.MatchCondition{{
				Name: "account", Expression: fmt.Sprintf("has(request.userInfo.username) && request.userInfo.username in ['%s']", username(account)),
			}},
		}},
	}
}

// username is that of a service account of the agents' namespace.
func username(account string) string {
	return "system:serviceaccount:" + testbed.Agents + ":" + account
}

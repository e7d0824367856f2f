package controllers

import (
	"bytes"
	"context"
	"fmt"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/countersign-dev/countersign/internal/certificate"
)

// CertificateReconciler copies the certificates from their Secret into the directory that the webhook server
// watches, and adds to the operator's Secret the installation's hash key, and a bundle of the authority and those before it.
// It runs on every replica. Mounting the Secret instead would delay every rotation by the kubelet's sync period.
//
// Certificates are in the operator's Secret, where the rotator makes them, or in one that somebody else writes. That one is
// checked and never written.
//
// A new authority is trusted before it is used: the bundle is stored in the webhook configurations, with the authority
// before, and only then does a replica serve what the new one has signed. Replicas need not agree on when.
type CertificateReconciler struct {
	Client client.Client
	// Secret is the operator's own. The rotator fills it, unless certificates are provided.
	Secret client.ObjectKey
	// Provided is the Secret that somebody else fills with certificates for Host; its name is empty where nobody does.
	Provided client.ObjectKey
	// Host is the name under which the API server calls the operator.
	Host string
	// Dir receives the files.
	Dir certificate.Dir
	// Trust is told that the bundle in the directory may have changed. It must not block.
	Trust func()
	// Rekeyed is told that the hash keys in the directory may have changed. It must not block.
	Rekeyed func()
	Clock   clock.PassiveClock

	// pending is the certificate that waits, since and trusted are when it was first seen, and first seen to be trusted.
	pending        []byte
	since, trusted time.Time
}

const (
	// trustPause is how long it takes until every API server has heard of a webhook configuration that is stored, and a
	// good deal more: each follows them by a watch.
	trustPause = 5 * time.Second
	// trustPatience is how long a process without any certificate waits for its authority to be trusted. It serves nobody
	// meanwhile, and would for ever where nothing writes the configurations.
	trustPatience = 30 * time.Second
	trustPoll     = 200 * time.Millisecond
)

// Reconcile implements reconcile.Reconciler. Whichever Secret has changed, it looks at both.
func (r *CertificateReconciler) Reconcile(ctx context.Context, _ reconcile.Request) (reconcile.Result, error) {
	secret := &corev1.Secret{}
	if err := r.Client.Get(ctx, r.Secret, secret); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	current, err := r.issued(ctx, secret)
	if err != nil || current == nil {
		return reconcile.Result{}, err
	}
	bundle, err := certificate.Bundle(current.authority, secret.Data[certificate.BundleFile], r.Clock.Now())
	if err != nil {
		return reconcile.Result{}, err
	}
	if len(secret.Data[certificate.HashKeyFile]) == 0 || !bytes.Equal(bundle, secret.Data[certificate.BundleFile]) {
		return reconcile.Result{}, r.complete(ctx, secret, bundle)
	}
	if err := r.Dir.Write(map[string][]byte{
		certificate.HashKeyFile: secret.Data[certificate.HashKeyFile], certificate.CAFile: bundle,
		certificate.PreviousHashKeyFile: secret.Data[certificate.PreviousHashKeyFile],
	}); err != nil {
		return reconcile.Result{}, err
	}
	r.Rekeyed()
	r.Trust()
	return r.serve(ctx, current)
}

// issued is a certificate with its key and the authority that it comes from, all in PEM.
type issued struct{ cert, key, authority []byte }

// issued finds the current certificate; nil where whoever issues it has not done so yet, whose write comes back here.
func (r *CertificateReconciler) issued(ctx context.Context, own *corev1.Secret) (*issued, error) {
	if r.Provided.Name == "" {
		if len(own.Data[certificate.CertFile]) == 0 || len(own.Data[certificate.CAFile]) == 0 {
			return nil, nil
		}
		return &issued{own.Data[certificate.CertFile], own.Data[certificate.KeyFile], own.Data[certificate.CAFile]}, nil
	}
	provided := &corev1.Secret{}
	err := r.Client.Get(ctx, r.Provided, provided)
	if apierrors.IsNotFound(err) {
		log.FromContext(ctx).Info("Waiting for the Secret with the certificate", "Secret", r.Provided)
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading Secret %s: %w", r.Provided, err)
	}
	authority, err := certificate.CheckProvided(provided.Data, r.Host, r.Clock.Now())
	if err != nil {
		return nil, fmt.Errorf("taking the certificate of Secret %s: %w", r.Provided, err)
	}
	return &issued{provided.Data[certificate.CertFile], provided.Data[certificate.KeyFile], authority}, nil
}

// complete stores the bundle, and a new hash key where there is none. Of several replicas the first one wins: the
// others' writes conflict.
func (r *CertificateReconciler) complete(ctx context.Context, secret *corev1.Secret, bundle []byte) error {
	updated := secret.DeepCopy()
	if updated.Data == nil {
		updated.Data = map[string][]byte{}
	}
	updated.Data[certificate.BundleFile] = bundle
	if len(secret.Data[certificate.HashKeyFile]) == 0 {
		key, err := certificate.NewHashKey()
		if err != nil {
			return err
		}
		updated.Data[certificate.HashKeyFile] = key
	}
	if err := r.Client.Update(ctx, updated); err != nil {
		return fmt.Errorf("adding the hash key and the bundle of authorities to Secret %s: %w", r.Secret, err)
	}
	return nil
}

// serve has the webhook server serve a certificate, once the API server trusts its authority.
func (r *CertificateReconciler) serve(ctx context.Context, current *issued) (reconcile.Result, error) {
	cert := current.cert
	serving, err := r.Dir.Serving()
	if err != nil || bytes.Equal(serving, cert) {
		return reconcile.Result{}, err
	}
	now := r.Clock.Now()
	if !bytes.Equal(r.pending, cert) {
		r.pending, r.since, r.trusted = cert, now, time.Time{}
	}
	configured, trusted, err := r.trust(ctx, current.authority)
	switch {
	case err != nil:
		return reconcile.Result{}, err
	case !configured:
		// Nobody is sent here yet, so there is nobody to lose.
	case serving == nil && (trusted || now.Sub(r.since) >= trustPatience):
	case !trusted:
		r.trusted = time.Time{}
		return reconcile.Result{RequeueAfter: trustPoll}, nil
	case r.trusted.IsZero():
		r.trusted = now
		return reconcile.Result{RequeueAfter: trustPause}, nil
	case now.Sub(r.trusted) < trustPause:
		return reconcile.Result{RequeueAfter: trustPause - now.Sub(r.trusted)}, nil
	}
	return reconcile.Result{}, r.Dir.Write(map[string][]byte{
		certificate.KeyFile: current.key, certificate.CertFile: cert,
	})
}

// trust says whether there are webhook configurations of the operator, and whether all of them hold an authority.
func (r *CertificateReconciler) trust(ctx context.Context, authority []byte) (configured, trusted bool, err error) {
	trusted = true
	for name, stored := range map[string]client.Object{
		ActionsConfiguration:   &admissionregistrationv1.ValidatingWebhookConfiguration{},
		PoliciesConfiguration:  &admissionregistrationv1.ValidatingWebhookConfiguration{},
		ApprovalsConfiguration: &admissionregistrationv1.MutatingWebhookConfiguration{},
	} {
		if err := r.Client.Get(ctx, client.ObjectKey{Name: name}, stored); client.IgnoreNotFound(err) != nil {
			return false, false, fmt.Errorf("reading webhook configuration %s: %w", name, err)
		}
		for _, bundle := range bundlesOf(stored) {
			configured = true
			trusted = trusted && certificate.Holds(bundle, authority)
		}
	}
	return configured, trusted, nil
}

// bundlesOf are what the entries of a webhook configuration have the API server trust.
func bundlesOf(o client.Object) [][]byte {
	var bundles [][]byte
	switch configuration := o.(type) {
	case *admissionregistrationv1.ValidatingWebhookConfiguration:
		for i := range configuration.Webhooks {
			bundles = append(bundles, configuration.Webhooks[i].ClientConfig.CABundle)
		}
	case *admissionregistrationv1.MutatingWebhookConfiguration:
		for i := range configuration.Webhooks {
			bundles = append(bundles, configuration.Webhooks[i].ClientConfig.CABundle)
		}
	}
	return bundles
}

// SetupWithManager watches the one or two Secrets.
func (r *CertificateReconciler) SetupWithManager(mgr ctrl.Manager) error {
	ours := predicate.NewPredicateFuncs(func(o client.Object) bool {
		key := client.ObjectKeyFromObject(o)
		return key == r.Secret || key == r.Provided
	})
	return ctrl.NewControllerManagedBy(mgr).
		Named("certificate").
		For(&corev1.Secret{}, builder.WithPredicates(ours)).
		WithOptions(controller.Options{NeedLeaderElection: new(false)}).
		Complete(r)
}

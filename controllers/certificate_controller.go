package controllers

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/countersign-dev/countersign/internal/certificate"
)

// CertificateReconciler copies the certificates from their Secret into the directory that the webhook server
// watches, and adds the installation's hash key to the Secret. It runs on every replica. Mounting the Secret
// instead would delay every rotation by the kubelet's sync period.
type CertificateReconciler struct {
	Client client.Client
	// Secret holds the certificates; the rotator fills it.
	Secret client.ObjectKey
	// Dir receives the files.
	Dir certificate.Dir
}

// Reconcile implements reconcile.Reconciler.
func (r *CertificateReconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	secret := &corev1.Secret{}
	if err := r.Client.Get(ctx, req.NamespacedName, secret); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	if len(secret.Data[certificate.CertFile]) == 0 {
		return reconcile.Result{}, nil // the rotator's write comes back here
	}
	if len(secret.Data[certificate.HashKeyFile]) == 0 {
		return reconcile.Result{}, r.addHashKey(ctx, secret)
	}
	return reconcile.Result{}, r.Dir.Write(secret.Data)
}

// addHashKey stores a new key once. Of several replicas the first one wins: the others' writes conflict.
func (r *CertificateReconciler) addHashKey(ctx context.Context, secret *corev1.Secret) error {
	key, err := certificate.NewHashKey()
	if err != nil {
		return err
	}
	updated := secret.DeepCopy()
	updated.Data[certificate.HashKeyFile] = key
	if err := r.Client.Update(ctx, updated); err != nil {
		return fmt.Errorf("adding the hash key to Secret %s: %w", r.Secret, err)
	}
	return nil
}

// SetupWithManager watches the one Secret.
func (r *CertificateReconciler) SetupWithManager(mgr ctrl.Manager) error {
	ours := predicate.NewPredicateFuncs(func(o client.Object) bool {
		return client.ObjectKeyFromObject(o) == r.Secret
	})
	return ctrl.NewControllerManagedBy(mgr).
		Named("certificate").
		For(&corev1.Secret{}, builder.WithPredicates(ours)).
		WithOptions(controller.Options{NeedLeaderElection: new(false)}).
		Complete(r)
}

package controllers

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Reasons of the events about the objects that the operator owns.
const (
	// ReasonDrift is on an object that somebody else has changed or deleted.
	ReasonDrift = "Drift"
	// ReasonLevelRaised tells of the level of protection.
	ReasonLevelRaised = "ProtectionLevelRaised"
	// ReasonLevelLowered is the other one.
	ReasonLevelLowered = "ProtectionLevelLowered"
)

// settle remembers how an object stands, so that a later change of it by somebody else can be told from one that policies
// ask for.
func (r *WebhookConfigurationReconciler) settle(o client.Object) {
	if r.settled == nil {
		r.settled, r.told = map[string]client.Object{}, map[string]string{}
	}
	r.settled[describe(o)] = o
}

// alarm tells when an object is not as this process left it. The cache may be older than the last write, so it asks the API
// server before it says so.
func (r *WebhookConfigurationReconciler) alarm(ctx context.Context, desired client.Object) error {
	last, known := r.settled[describe(desired)]
	if !known {
		return nil
	}
	live, ok := desired.DeepCopyObject().(client.Object)
	if !ok {
		return fmt.Errorf("copying %s: it is no object", describe(desired))
	}
	what := "changed"
	err := r.Live.Get(ctx, client.ObjectKeyFromObject(desired), live)
	found := string(live.GetUID()) + "/" + live.GetResourceVersion()
	switch {
	case apierrors.IsNotFound(err):
		what, found = "deleted", "no more "+string(last.GetUID())
	case err != nil:
		return fmt.Errorf("reading %s: %w", describe(desired), err)
	case sameConfiguration(live, last):
		return nil
	}
	if r.told[describe(desired)] == found {
		return nil
	}
	r.told[describe(desired)] = found
	configurationDrift.WithLabelValues(kindOf(desired), desired.GetName()).Inc()
	ctrl.LoggerFrom(ctx).Error(nil, "Somebody has "+what+" the "+describe(desired)+": it is being repaired", "managedFields", managersOf(live))
	if r.Recorder != nil {
		r.Recorder.Eventf(last, nil, corev1.EventTypeWarning, ReasonDrift, "Repair",
			"Somebody has %s it. It is being repaired; the audit log of the API server says who it was.", what)
	}
	return nil
}

// managersOf are the names under which an object was written last. They are chosen by whoever writes.
func managersOf(o client.Object) []string {
	var names []string
	for _, f := range o.GetManagedFields() {
		names = append(names, f.Manager)
	}
	return names
}

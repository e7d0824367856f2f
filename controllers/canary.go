package controllers

import (
	"context"
	"fmt"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/internal/canary"
)

// CanaryAlarm wakes the canary whenever the webhook configuration changes that sends agents' actions to the operator. It
// implements manager.Runnable and runs on every replica.
type CanaryAlarm struct {
	Cache  cache.Cache
	Canary *canary.Canary
}

// NeedLeaderElection says that every replica has a canary.
func (a *CanaryAlarm) NeedLeaderElection() bool { return false }

// Start watches until the context ends.
func (a *CanaryAlarm) Start(ctx context.Context) error {
	informer, err := a.Cache.GetInformer(ctx, &admissionregistrationv1.ValidatingWebhookConfiguration{})
	if err != nil {
		return fmt.Errorf("watching webhook configurations: %w", err)
	}
	_, err = informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc: a.changed,
		UpdateFunc: func(before, after any) {
			if old, ok := before.(client.Object); !ok || !sameVersion(old, after) {
				a.changed(after)
			}
		},
		DeleteFunc: a.changed,
	})
	if err != nil {
		return fmt.Errorf("watching webhook configurations: %w", err)
	}
	<-ctx.Done()
	return nil
}

// sameVersion says that an object is only repeated, as it is when the watch begins anew.
func sameVersion(old client.Object, after any) bool {
	o, ok := after.(client.Object)
	return ok && o.GetResourceVersion() == old.GetResourceVersion()
}

func (a *CanaryAlarm) changed(o any) {
	if tombstone, ok := o.(toolscache.DeletedFinalStateUnknown); ok {
		o = tombstone.Obj
	}
	if changed, ok := o.(client.Object); ok && changed.GetName() == ActionsConfiguration {
		a.Canary.Wake(changed.GetResourceVersion())
	}
}

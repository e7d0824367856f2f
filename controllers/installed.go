package controllers

import (
	"fmt"
	"net/http"
	"sync/atomic"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Installed says whether the API server has ever been told to ask the operator about agents. Until then a process that is
// ready to answer enforces nothing, and whoever waits for its pods would let agents loose too soon.
type Installed struct {
	// Client reads webhook configurations, from a cache.
	Client client.Reader

	seen atomic.Bool
}

// Ready is a health check: it fails until the webhook configuration for actions is stored. What becomes of the configuration
// later is for the controller that repairs it: a replica that left the Service then could not answer when it is back.
func (i *Installed) Ready(r *http.Request) error {
	if i.seen.Load() {
		return nil
	}
	key := client.ObjectKey{Name: ActionsConfiguration}
	if err := i.Client.Get(r.Context(), key, &admissionregistrationv1.ValidatingWebhookConfiguration{}); err != nil {
		return fmt.Errorf("the API server does not ask about agents yet: %w", err)
	}
	i.seen.Store(true)
	return nil
}

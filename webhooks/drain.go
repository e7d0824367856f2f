package webhooks

import (
	"errors"
	"net/http"
	"sync/atomic"
)

// Drain is how a replica leaves while others stay: it says that it is not ready, goes on answering what still reaches
// it, and ends each connection with the answer. An API server keeps connections for long, and knows nothing of
// readiness on those that it has; were they cut at once when the process ends, reviews would be lost with them.
type Drain struct {
	begun atomic.Bool
}

// Begin has the replica leave. There is no way back.
func (d *Drain) Begin() { d.begun.Store(true) }

// Ready is a health check: it fails once the replica leaves.
func (d *Drain) Ready(*http.Request) error {
	if d.begun.Load() {
		return errors.New("the process is ending")
	}
	return nil
}

// Handler serves as another does, and tells the client with each answer whether the connection ends.
func (d *Drain) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if d.begun.Load() {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}

package webhooks_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/countersign-dev/countersign/webhooks"
)

// TestDrain has a replica leave: what still comes is answered, and the client is told to connect anew.
func TestDrain(t *testing.T) {
	var drain webhooks.Drain
	server := httptest.NewServer(drain.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusAccepted)
	})))
	defer server.Close()
	ask := func(wantClose bool) {
		t.Helper()
		answer, err := server.Client().Post(server.URL, "application/json", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		if answer.StatusCode != http.StatusAccepted || answer.Close != wantClose {
			t.Errorf("the answer is %s, and ends its connection: %v, want %v", answer.Status, answer.Close, wantClose)
		}
		if err := drain.Ready(nil); (err != nil) != wantClose {
			t.Errorf("it says of its readiness: %v", err)
		}
	}
	ask(false)
	drain.Begin()
	ask(true)
	ask(true)
}

package webhooks

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/countersign-dev/countersign/internal/reviewtest"
)

// patienceOfTests is how long tests wait for what must come.
const patienceOfTests = time.Minute

// serveReviews serves a handler of reviews and returns its address.
func serveReviews(t *testing.T, handle admission.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(LimitSize(Reviews(uncounted{handle})))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	c, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(patienceOfTests)); err != nil {
		t.Fatal(err)
	}
	return c
}

// send writes a part of a request.
func send(t *testing.T, c net.Conn, text []byte) {
	t.Helper()
	if _, err := c.Write(text); err != nil {
		t.Fatal(err)
	}
}

func posted(body []byte) []byte {
	return fmt.Appendf(nil, "POST /enforce HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

// receive reads an answer.
func receive(t *testing.T, from *bufio.Reader) string {
	t.Helper()
	answer, err := http.ReadResponse(from, nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(answer.Body)
	if err := errors.Join(err, answer.Body.Close()); err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestAnswersFirst sends reviews on one connection, and the last byte of each only once it is answered.
func TestAnswersFirst(t *testing.T) {
	connection := dial(t, serveReviews(t, func(context.Context, admission.Request) admission.Response { return admission.Allowed("") }))
	answers := bufio.NewReader(connection)
	for i, r := range reviewtest.All(t) {
		request := posted(r.Body)
		send(t, connection, request[:len(request)-1])
		if text := receive(t, answers); !strings.Contains(text, `"allowed":true`) {
			t.Fatalf("answer %d, of %s: %s", i, r.Name, text)
		}
		send(t, connection, request[len(request)-1:])
	}
}

// TestEndsWithItsSender has a sender leave while its review is judged.
func TestEndsWithItsSender(t *testing.T) {
	begun, ended := make(chan struct{}), make(chan error, 1)
	connection := dial(t, serveReviews(t, func(ctx context.Context, _ admission.Request) admission.Response {
		soon, cancel := context.WithTimeout(patient(ctx, patienceOfTests), patienceOfTests)
		defer cancel()
		close(begun)
		<-soon.Done()
		ended <- context.Cause(soon)
		return admission.Allowed("")
	}))
	send(t, connection, posted(reviewtest.All(t)[0].Body))
	<-begun
	if err := connection.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != context.Canceled { //nolint:errorlint // it is what it is
		t.Errorf("it ended with %v, and not with its sender", err)
	}
}

// TestWithoutNewline posts reviews that end where the object does, and such as do not end at all.
func TestWithoutNewline(t *testing.T) {
	address := serveReviews(t, func(context.Context, admission.Request) admission.Response { return admission.Allowed("") })
	body := bytes.TrimSpace(reviewtest.All(t)[0].Body)
	for _, tc := range []struct {
		body string
		want string
	}{
		{string(body), `"allowed":true`},
		{string(body) + " \n \n", `"allowed":true`},
		{string(body[:len(body)-1]), `"code":400`},
		{string(body) + " {} ", `"code":400`},
	} {
		connection := dial(t, address)
		send(t, connection, posted([]byte(tc.body)))
		if text := receive(t, bufio.NewReader(connection)); !strings.Contains(text, tc.want) {
			t.Errorf("…%s is answered by %s", tc.body[len(tc.body)-8:], text)
		}
	}
}

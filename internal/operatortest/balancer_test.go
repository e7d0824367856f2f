package operatortest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// echo answers every record, which is a line, with its name and the line, and tells what it was asked.
type echo struct {
	net.Listener
	asked chan string
}

func newEcho(t *testing.T, name string) *echo {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e := &echo{Listener: l, asked: make(chan string, 100)}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for lines := bufio.NewScanner(c); lines.Scan(); {
					e.asked <- lines.Text()[headerSize:]
					fmt.Fprintf(c, "%s %s\n", name, lines.Text()[headerSize:])
				}
			}()
		}
	}()
	return e
}

// conversation is a connection to a balancer.
type conversation struct {
	net.Conn
	answers *bufio.Reader
}

func dial(t *testing.T, b *balancer) *conversation {
	t.Helper()
	c, err := new(net.Dialer).DialContext(t.Context(), "tcp", b.address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &conversation{Conn: c, answers: bufio.NewReader(c)}
}

// handshake is the kind of the records before a connection is encrypted.
const handshake = 22

// record is a line as TLS frames it.
func record(kind byte, line string) []byte {
	return append([]byte{kind, 3, 3, 0, byte(len(line) + 1)}, line+"\n"...)
}

// ask returns the answer to a record, or why none came within a time.
func (c *conversation) ask(t *testing.T, kind byte, question string, within time.Duration) (string, error) {
	t.Helper()
	if _, err := c.Write(record(kind, question)); err != nil {
		t.Fatal(err)
	}
	return c.hear(t, within)
}

func (c *conversation) hear(t *testing.T, within time.Duration) (string, error) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(within)); err != nil {
		t.Fatal(err)
	}
	return c.answers.ReadString('\n')
}

// soon bounds what must happen, and aWhile is how long something is watched that must not.
const soon, aWhile = 10 * time.Second, 50 * time.Millisecond

func balanced(t *testing.T, backends ...*echo) *balancer {
	t.Helper()
	var addresses []string
	for _, e := range backends {
		addresses = append(addresses, e.Addr().String())
	}
	b, err := newBalancer(addresses...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func TestBalancerTakesTurns(t *testing.T) {
	zero, one, two := newEcho(t, "0"), newEcho(t, "1"), newEcho(t, "2")
	b := balanced(t, zero, one, two)
	answers := func(n int) []string {
		var got []string
		for range n {
			answer, err := dial(t, b).ask(t, applicationData, "?", soon)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, answer)
		}
		return got
	}
	if diff := cmp.Diff([]string{"0 ?\n", "1 ?\n", "2 ?\n", "0 ?\n"}, answers(4)); diff != "" {
		t.Errorf("four connections (-want +got):\n%s", diff)
	}
	one.Close()
	if got := answers(6); slices.Contains(got, "1 ?\n") || !slices.Contains(got, "0 ?\n") || !slices.Contains(got, "2 ?\n") {
		t.Errorf("with one backend gone connections come to %q", got)
	}
	b.move(1, newEcho(t, "1 again").Addr().String())
	if got := answers(3); !slices.Contains(got, "1 again ?\n") {
		t.Errorf("with one backend moved connections come to %q", got)
	}
}

func TestBalancerWithoutBackends(t *testing.T) {
	gone := newEcho(t, "gone")
	b := balanced(t, gone)
	gone.Close()
	if answer, err := dial(t, b).hear(t, soon); !errors.Is(err, io.EOF) {
		t.Errorf("with no backend alive a client reads %q, %v", answer, err)
	}
}

func TestBalancerHoldsAnswers(t *testing.T) {
	tests := map[string]struct {
		then    func(*balancer)
		want    string
		wantErr error
	}{
		"released": {then: func(b *balancer) { b.release(0) }, want: "0 second\n"},
		"cut":      {then: func(b *balancer) { b.cut(0); b.release(0) }, wantErr: io.EOF},
		"closed":   {then: func(b *balancer) { _ = b.close() }, wantErr: io.EOF},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			backend := newEcho(t, "0")
			b, err := newBalancer(backend.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = b.close() })
			b.hold(0)
			b.hold(0)
			client := dial(t, b)
			if answer, err := client.ask(t, handshake, "first", soon); answer != "0 first\n" {
				t.Fatalf("a handshake is answered by %q, %v", answer, err)
			}
			if answer, err := client.ask(t, applicationData, "second", aWhile); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("while answers are held a client reads %q, %v", answer, err)
			}
			if got := []string{<-backend.asked, <-backend.asked}; got[1] != "second" {
				t.Errorf("while answers are held the backend was asked %q", got)
			}
			tc.then(b)
			if answer, err := client.hear(t, soon); answer != tc.want || !errors.Is(err, tc.wantErr) {
				t.Errorf("a client reads %q, %v, want %q, %v", answer, err, tc.want, tc.wantErr)
			}
		})
	}
}

func TestBalancerHoldsOneBackend(t *testing.T) {
	b := balanced(t, newEcho(t, "0"), newEcho(t, "1"))
	held, other := dial(t, b), dial(t, b)
	for _, c := range []*conversation{held, other} {
		if _, err := c.ask(t, handshake, "hello", soon); err != nil {
			t.Fatal(err)
		}
	}
	b.hold(0)
	if answer, err := other.ask(t, applicationData, "?", soon); answer != "1 ?\n" {
		t.Errorf("the other backend is heard to say %q, %v", answer, err)
	}
	if answer, err := held.ask(t, applicationData, "?", aWhile); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the backend that is held is heard to say %q, %v", answer, err)
	}
}

func TestRecords(t *testing.T) {
	hello, finished := record(handshake, "hello"), record(applicationData, "finished")
	tests := map[string]struct {
		sent []byte
		want bool
	}{
		"handshake":          {sent: slices.Concat(hello, hello)},
		"looks encrypted":    {sent: record(handshake, string(finished))},
		"empty record":       {sent: []byte{handshake, 3, 3, 0, 0}},
		"half a header":      {sent: slices.Concat(hello, finished[:headerSize-1])},
		"encrypted":          {sent: slices.Concat(hello, finished), want: true},
		"header only":        {sent: slices.Concat(hello, finished[:headerSize]), want: true},
		"after empty record": {sent: slices.Concat([]byte{handshake, 3, 3, 0, 0}, finished), want: true},
	}
	for name, tc := range tests {
		for _, size := range []int{1, 3, 7, 100} {
			t.Run(fmt.Sprintf("%s in pieces of %d", name, size), func(t *testing.T) {
				var r records
				got := false
				for piece := range slices.Chunk(tc.sent, size) {
					got = r.begin(piece) || got
				}
				if got != tc.want {
					t.Errorf("%x is found to begin an encrypted record: %v, want %v", tc.sent, got, tc.want)
				}
			})
		}
	}
}

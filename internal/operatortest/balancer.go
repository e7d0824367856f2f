package operatortest

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
)

// balancer passes TCP connections on to backends, one after the other, as a Service does. TLS is between the ends:
// what passes here is opaque.
type balancer struct {
	listener net.Listener
	serving  sync.WaitGroup

	mu       sync.Mutex
	closed   bool
	next     int
	backends []*backend
}

// backend is one of those behind a balancer. The balancer's lock guards it.
type backend struct {
	address string
	// released is closed while answers pass.
	released chan struct{}
	links    map[*link]bool
}

// link is one connection through a balancer, and both its halves.
type link struct {
	client, server net.Conn
	backend        *backend
	ended          chan struct{}
	end            sync.Once
	// asked says that the client is done with the handshake.
	asked atomic.Bool
}

// newBalancer listens at a free port of loopback until close.
func newBalancer(addresses ...string) (*balancer, error) {
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("starting the balancer: %w", err)
	}
	b := &balancer{listener: listener}
	open := make(chan struct{})
	close(open)
	for _, address := range addresses {
		b.backends = append(b.backends, &backend{address: address, released: open, links: map[*link]bool{}})
	}
	b.serving.Go(b.accept)
	return b, nil
}

func (b *balancer) address() string { return b.listener.Addr().String() }

// close cuts every connection and returns when none is left.
func (b *balancer) close() error {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	err := b.listener.Close()
	for i := range b.backends {
		b.cut(i)
	}
	b.serving.Wait()
	return err
}

// move sends connections that are still to come to another address.
func (b *balancer) move(i int, address string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.backends[i].address = address
}

// hold keeps back what a backend answers, until release. A handshake passes, so that new connections ask as well.
func (b *balancer) hold(i int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.backends[i].open() {
		b.backends[i].released = make(chan struct{})
	}
}

// release lets the answers of a backend pass, those that were kept back first.
func (b *balancer) release(i int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.backends[i].open() {
		close(b.backends[i].released)
	}
}

func (b *backend) open() bool {
	select {
	case <-b.released:
		return true
	default:
		return false
	}
}

// cut ends the connections of a backend. What was kept back is lost.
func (b *balancer) cut(i int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for l := range b.backends[i].links {
		l.close()
	}
}

func (b *balancer) accept() {
	for {
		client, err := b.listener.Accept()
		if err != nil {
			return // closed
		}
		b.serving.Go(func() { b.serve(client) })
	}
}

func (b *balancer) serve(client net.Conn) {
	l := b.connect(client)
	if l == nil {
		_ = client.Close() // nobody lives, which the client sees
		return
	}
	var halves sync.WaitGroup
	halves.Go(l.passQuestions)
	halves.Go(func() { b.passAnswers(l) })
	halves.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(l.backend.links, l)
}

// connect tries each backend once, beginning with the one whose turn it is.
func (b *balancer) connect(client net.Conn) *link {
	for range b.backends {
		to, address := b.turn()
		server, err := new(net.Dialer).DialContext(context.Background(), "tcp", address)
		if err == nil {
			l := &link{client: client, server: server, backend: to, ended: make(chan struct{})}
			b.add(l)
			return l
		}
	}
	return nil
}

func (b *balancer) add(l *link) {
	b.mu.Lock()
	defer b.mu.Unlock()
	l.backend.links[l] = true
	if b.closed {
		l.close()
	}
}

func (b *balancer) turn() (*backend, string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	to := b.backends[b.next%len(b.backends)]
	b.next++
	return to, to.address
}

// close ends both halves at once: a TLS connection has no use for one.
func (l *link) close() {
	l.end.Do(func() {
		close(l.ended)
		_ = l.client.Close() // either may have been reset, which ends it as well
		_ = l.server.Close()
	})
}

func (l *link) passQuestions() {
	defer l.close()
	var questions records
	pass(l.client, l.server, func(p []byte) bool {
		if questions.begin(p) {
			l.asked.Store(true)
		}
		return true
	})
}

func (b *balancer) passAnswers(l *link) {
	defer l.close()
	pass(l.server, l.client, func([]byte) bool {
		if !l.asked.Load() {
			return true
		}
		b.mu.Lock()
		released := l.backend.released
		b.mu.Unlock()
		select {
		case <-released:
			return true
		case <-l.ended:
			return false
		}
	})
}

// pass copies until either side ends. What was read is written when the gate says so, and else dropped.
func pass(from, to net.Conn, gate func([]byte) bool) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			if !gate(buffer[:n]) {
				return
			}
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// records follows the records of TLS in what a client sends: a byte for the kind, two for the version, two for the
// length of what follows.
type records struct {
	header []byte
	rest   int // of the record that has begun
}

const (
	headerSize      = 5
	applicationData = 23
)

// begin says whether a record that is encrypted begins in the next piece. The first ends the client's part of the
// handshake: the server has nothing to add to its own.
func (r *records) begin(p []byte) bool {
	found := false
	for len(p) > 0 {
		if r.rest == 0 {
			n := min(headerSize-len(r.header), len(p))
			r.header, p = append(r.header, p[:n]...), p[n:]
			if len(r.header) < headerSize {
				break
			}
			found = found || r.header[0] == applicationData
			r.rest = int(binary.BigEndian.Uint16(r.header[3:]))
			r.header = r.header[:0]
		}
		n := min(r.rest, len(p))
		r.rest, p = r.rest-n, p[n:]
	}
	return found
}

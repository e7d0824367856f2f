package testbed

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// Balancer stands for a Service and what programs it on a node. New connections go to replicas that were ready when
// they were last asked, in turn; those that are open stay, whatever becomes of the readiness. It does not try another
// replica when one does not answer, as a Service does not.
type Balancer struct {
	listener net.Listener
	stop     context.CancelFunc
	serving  sync.WaitGroup

	mu     sync.Mutex
	next   int
	behind map[*Replica]bool // and whether it is ready
	order  []*Replica
}

// ReadinessPeriod is how often each replica is asked, as by the chart's probe.
const ReadinessPeriod = 2 * time.Second

func newBalancer(ctx context.Context) (*Balancer, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("starting the balancer: %w", err)
	}
	b := &Balancer{listener: listener, behind: map[*Replica]bool{}}
	ctx, b.stop = context.WithCancel(context.WithoutCancel(ctx))
	b.serving.Go(func() { b.accept(ctx) })
	return b, nil
}

func (b *Balancer) address() string { return b.listener.Addr().String() }

func (b *Balancer) close() {
	b.stop()
	_ = b.listener.Close()
	b.serving.Wait()
}

// Add sends connections to a replica as long as it is ready.
func (b *Balancer) Add(r *Replica) {
	ready := r.ready(context.Background()) == nil
	b.mu.Lock()
	defer b.mu.Unlock()
	b.order = append(b.order, r)
	b.behind[r] = ready
	b.serving.Go(func() { b.probe(r) })
}

// probe asks a replica for its readiness until it has ended. That it has is seen when it is asked next.
func (b *Balancer) probe(r *Replica) {
	ticker := time.NewTicker(ReadinessPeriod)
	defer ticker.Stop()
	for !r.Ended() {
		<-ticker.C
		b.set(r, r.ready(context.Background()) == nil)
	}
	b.set(r, false)
}

func (b *Balancer) set(r *Replica, ready bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.behind[r] = ready
}

func (b *Balancer) turn() *Replica {
	b.mu.Lock()
	defer b.mu.Unlock()
	for range b.order {
		r := b.order[b.next%len(b.order)]
		b.next++
		if b.behind[r] {
			return r
		}
	}
	return nil
}

func (b *Balancer) accept(ctx context.Context) {
	for {
		client, err := b.listener.Accept()
		if err != nil {
			return // closed
		}
		b.serving.Go(func() { b.serve(ctx, client) })
	}
}

func (b *Balancer) serve(ctx context.Context, client net.Conn) {
	defer func() { _ = client.Close() }()
	to := b.turn()
	if to == nil {
		return // nobody is ready, which the client sees
	}
	server, err := new(net.Dialer).DialContext(ctx, "tcp", to.Webhook)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	ended := context.AfterFunc(ctx, func() {
		_ = client.Close()
		_ = server.Close()
	})
	defer ended()
	splice(client, server)
}

// get asks a health endpoint.
func get(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, ReadinessPeriod)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, answer.Status)
	}
	return nil
}

package webhooks

import (
	"context"
	"fmt"
	"sync"

	"sigs.k8s.io/controller-runtime/pkg/client"
)

// turns lets the reviews of this replica use one approval after the other, instead of against each other: all but one of
// those that write at once would have to begin anew. Between replicas the API server decides.
type turns struct {
	mu     sync.Mutex
	queues map[client.ObjectKey]*queue
}

// queue is of those who want one approval.
type queue struct {
	free   chan struct{}
	length int
}

// take waits for a turn, which lasts until done is called. It fails when the context ends.
func (t *turns) take(ctx context.Context, approval client.ObjectKey) (done func(), err error) {
	q := t.join(approval)
	select {
	case <-q.free:
		return func() { q.free <- struct{}{}; t.leave(approval, q) }, nil
	case <-ctx.Done():
		t.leave(approval, q)
		return nil, fmt.Errorf("waiting for others who use approval %s: %w", approval, ctx.Err())
	}
}

func (t *turns) join(approval client.ObjectKey) *queue {
	t.mu.Lock()
	defer t.mu.Unlock()
	q := t.queues[approval]
	if q == nil {
		q = &queue{free: make(chan struct{}, 1)}
		q.free <- struct{}{}
		if t.queues == nil {
			t.queues = map[client.ObjectKey]*queue{}
		}
		t.queues[approval] = q
	}
	q.length++
	return q
}

func (t *turns) leave(approval client.ObjectKey, q *queue) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if q.length--; q.length == 0 {
		delete(t.queues, approval)
	}
}

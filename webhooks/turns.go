package webhooks

import (
	"context"
	"sync"
)

// turns lets the reviews of this replica that write one object do so one after the other, instead of against each other:
// all but one of those that write at once would have to begin anew. Between replicas the API server decides. The zero
// value is ready to use.
type turns struct {
	mu     sync.Mutex
	queues map[string]*queue
}

// queue is of those who want to write one object.
type queue struct {
	turn   chan struct{} // holds a token while it is somebody's turn
	length int
}

// take waits for a turn at an object, which lasts until done is called. The error is that of the context.
func (t *turns) take(ctx context.Context, object string) (done func(), err error) {
	q := t.join(object)
	select {
	case q.turn <- struct{}{}:
		return func() { <-q.turn; t.leave(object, q) }, nil
	case <-ctx.Done():
		t.leave(object, q)
		return nil, context.Cause(ctx)
	}
}

func (t *turns) join(object string) *queue {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.queues == nil {
		t.queues = map[string]*queue{}
	}
	q := t.queues[object]
	if q == nil {
		q = &queue{turn: make(chan struct{}, 1)}
		t.queues[object] = q
	}
	q.length++
	return q
}

func (t *turns) leave(object string, q *queue) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if q.length--; q.length == 0 {
		delete(t.queues, object)
	}
}

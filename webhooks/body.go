package webhooks

import (
	"context"
	"errors"
	"io"
	"net/http"

	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
)

// readBody is a body that LimitSize has read: but for the last byte, where the sender said how many there are.
//
// Once a body is read whole, net/http has a goroutine watch the connection for its end, and stops it again before the next
// request. Most reviews are answered sooner than that has begun. So the last byte, which is a newline, is read when an answer
// is on its way, or when somebody wants to know whether the sender still waits (attended).
type readBody struct {
	// content is what was read so far, and seen how much of it Read has given.
	content []byte
	seen    int
	// rest is what was not.
	rest io.Reader
}

// Read gives all of the body. It implements io.Reader.
func (b *readBody) Read(p []byte) (int, error) {
	if b.seen == len(b.content) {
		return b.rest.Read(p)
	}
	n := copy(p, b.content[b.seen:])
	b.seen += n
	return n, nil
}

// Close implements io.Closer.
func (*readBody) Close() error { return nil }

// complete makes the content that of the whole body.
func (b *readBody) complete() error {
	rest, err := io.ReadAll(b.rest)
	b.content = append(b.content, rest...)
	return err
}

// finish reads what is left, for nobody.
func (b *readBody) finish() error {
	_, err := io.Copy(io.Discard, b.rest)
	return err
}

// answer sends an answer before the body is read whole, where that can be.
func (b *readBody) answer(w http.ResponseWriter, r *admission.Response) error {
	err := http.NewResponseController(w).EnableFullDuplex()
	if errors.Is(err, http.ErrNotSupported) {
		err = b.finish()
	}
	if err != nil {
		return err
	}
	if err := writeAnswer(w, r); err != nil {
		return err
	}
	return b.finish()
}

// attended is the context of a request, the sender of which is watched only from when somebody asks whether it has ended.
type attended struct {
	context.Context //nolint:containedctx // it is one itself
	body            *readBody
}

// Done implements context.Context.
func (a attended) Done() <-chan struct{} {
	a.attend()
	return a.Context.Done()
}

// Err implements context.Context.
func (a attended) Err() error {
	a.attend()
	return a.Context.Err()
}

// attend has net/http watch the connection. Where the body does not come to its end, that is the end of the context as well.
func (a attended) attend() { _ = a.body.finish() }

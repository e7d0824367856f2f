package webhooks

import "sync"

// buffers are what answers and lines of the decision log are written in: with many policies, larger than all else that a decision
// needs. Give each back that was taken.
var buffers sync.Pool // of *[]byte

func takeBuffer() *[]byte {
	if buf, ok := buffers.Get().(*[]byte); ok {
		return buf
	}
	return new([]byte)
}

package testbed

import (
	"io"
	"net"
)

// splice copies between two connections until either ends, and closes both: TLS has no use for one half.
func splice(a, b net.Conn) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(a, b) // how a connection ends is the ends' affair
		_ = a.Close()
	}()
	_, _ = io.Copy(b, a)
	_ = b.Close()
	_ = a.Close()
	<-done
}

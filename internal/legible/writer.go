package legible

import "io"

// Writer passes on lines of JSON, one or several at each write, with escapes for what cannot be seen: for logs, which are
// read on terminals and by programs.
type Writer struct{ Out io.Writer }

// Write implements io.Writer.
func (w Writer) Write(lines []byte) (int, error) {
	if _, err := w.Out.Write(JSON(make([]byte, 0, len(lines)+64), lines)); err != nil {
		return 0, err //nolint:wrapcheck // a writer passes on what the other one says
	}
	return len(lines), nil
}

package terminal

import (
	"io"
	"os"

	"golang.org/x/term"
)

// Screen is what a stream can show. The zero value is a file: no width, no colours.
type Screen struct {
	// Interactive says that the stream is a terminal.
	Interactive bool
	// Width and Height are in columns and lines; 0 where there is no bound.
	Width, Height int
	// Colour says that escape sequences for colours may be written.
	Colour bool
}

// Of finds out what a stream can show. Colours need a terminal that is not dumb, and that $NO_COLOR
// (https://no-color.org) is not set.
func Of(stream any) Screen {
	file, isFile := stream.(*os.File)
	if !isFile || !term.IsTerminal(int(file.Fd())) {
		return Screen{}
	}
	s := Screen{Interactive: true, Colour: os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
	if width, height, err := term.GetSize(int(file.Fd())); err == nil {
		s.Width, s.Height = width, height
	}
	return s
}

// CanAsk says whether a person can answer questions that are read from a stream.
func CanAsk(in io.Reader) bool {
	file, isFile := in.(*os.File)
	return isFile && term.IsTerminal(int(file.Fd()))
}

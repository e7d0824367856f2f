package command

import (
	"context"
	"errors"
)

// What the process returns. docs/kubectl/exit-codes.md is generated from these.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
	// exitInterrupted is what shells return for a program that Ctrl-C has ended.
	exitInterrupted = 130
)

// exitError is a failure with an exit code of its own. With an empty text nothing more is printed: the command has said it.
type exitError struct {
	code int
	text string
}

func (e *exitError) Error() string { return e.text }

// exitWith ends the process with a code, after an error message that may be empty.
func exitWith(code int, text string) error {
	return &exitError{code: code, text: text}
}

// usageError is a mistake in how a command was called.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// exitCode is the code that an error ends the process with.
func exitCode(err error) int {
	var (
		exit  *exitError
		usage usageError
	)
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &exit):
		return exit.code
	case errors.As(err, &usage):
		return exitUsage
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	default:
		return exitFailed
	}
}

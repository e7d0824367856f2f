package main_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// runOnScreen runs the built plugin with a real terminal of a width as its standard output.
func runOnScreen(tb testing.TB, columns uint16, kubeconfig string, extra []string, args ...string) result {
	tb.Helper()
	screen, slave := openTerminal(tb, columns)
	command := exec.CommandContext(tb.Context(), plugin(tb), args...)
	command.Env = append(environment(tb, kubeconfig), extra...)
	var errOut bytes.Buffer
	command.Stdout, command.Stderr = slave, &errOut
	if err := command.Start(); err != nil {
		tb.Fatal(err)
	}
	slave.Close()
	out, err := io.ReadAll(screen)
	if err != nil && !errors.Is(err, syscall.EIO) { // what reading says once nobody holds the other end
		tb.Fatal(err)
	}
	var exit *exec.ExitError
	if err := command.Wait(); err != nil && !errors.As(err, &exit) {
		tb.Fatal(err)
	}
	return result{out: strings.ReplaceAll(string(out), "\r\n", "\n"), err: errOut.String(), code: command.ProcessState.ExitCode()}
}

// openTerminal opens a pseudo terminal: what is written to the slave is read from the screen.
func openTerminal(tb testing.TB, columns uint16) (screen, slave *os.File) {
	tb.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { screen.Close() })
	descriptor := int(screen.Fd())
	if err := unix.IoctlSetPointerInt(descriptor, unix.TIOCSPTLCK, 0); err != nil {
		tb.Fatal(err)
	}
	number, err := unix.IoctlGetInt(descriptor, unix.TIOCGPTN)
	if err != nil {
		tb.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(descriptor, unix.TIOCSWINSZ, &unix.Winsize{Row: 50, Col: columns}); err != nil {
		tb.Fatal(err)
	}
	slave, err = os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		tb.Fatal(err)
	}
	return screen, slave
}

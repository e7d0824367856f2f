package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// stepTimeout ends a command that would never end.
const stepTimeout = time.Minute

// answer runs the command of a step, as whoever it says.
func (s *stage) answer(ctx context.Context, next step) answer {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	if next.do != nil {
		return answerOf(nil, next.do(ctx))
	}
	command, err := s.command(ctx, next.who, next.run)
	if err != nil {
		return answerOf(nil, err)
	}
	out, err := command.CombinedOutput()
	return answerOf(out, err)
}

// answerOf is what a command printed, or why it could not run.
func answerOf(out []byte, err error) answer {
	a := answer{text: string(bytes.TrimRight(out, "\n"))}
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		a.status = exit.ExitCode()
	case err != nil:
		a.status, a.text = -1, err.Error()
	}
	return a
}

// command prepares a shell that knows nothing but the files of the story, the binaries of the plane, and who acts:
// no configuration of whoever runs the demo changes what kubectl and helm say, and nothing is written to their home.
func (s *stage) command(ctx context.Context, who, line string) (*exec.Cmd, error) {
	kubeconfig, err := s.kubeconfig(ctx, who)
	if err != nil {
		return nil, err
	}
	command := exec.CommandContext(ctx, "sh", "-c", line)
	command.Dir = s.dir
	command.Env = []string{"HOME=" + s.dir, "KUBECONFIG=" + kubeconfig, "PATH=" + s.binDir + ":" + os.Getenv("PATH")}
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	command.WaitDelay = 2 * time.Second
	return command, nil
}

package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	keep := flag.Bool("keep", false, "leave everything running after the story, until Ctrl-C")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "demo: no arguments are expected, only --keep")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	err := run(ctx, newScreen(os.Stdout), *keep)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// run sets the stage, plays the story and cleans up, whatever happens.
func run(ctx context.Context, screen *screen, keep bool) (err error) {
	began := time.Now()
	stage, err := newStage(ctx, screen)
	if err != nil {
		return err
	}
	defer func() {
		screen.note("Stopping the operator and the control plane")
		if closing := stage.close(); err == nil {
			err = closing
		}
	}()
	p := &player{screen: screen, stage: stage, memory: map[string]string{}}
	p.play(ctx, story(stage.operator, keep))
	if ctx.Err() != nil {
		return fmt.Errorf("the story was interrupted: %w", context.Cause(ctx))
	}
	screen.summary(p.results, time.Since(began))
	n := failures(p.results)
	if n > 0 {
		screen.print(stage.operator.tail())
	}
	if keep {
		screen.print(stage.manual())
		<-ctx.Done()
	}
	if n > 0 {
		return fmt.Errorf("%d of %d steps did not answer as expected", n, len(p.results))
	}
	return nil
}

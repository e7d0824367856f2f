package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/countersign-dev/countersign/hack/measure"
	"github.com/countersign-dev/countersign/hack/testbed"
)

// playSkew runs replicas with wrong clocks. They are built with a tag that nothing which is released is built with.
func playSkew(ctx context.Context, b *measure.Run) error {
	binary := filepath.Join(b.Dir, "countersign-clockoffset")
	if err := b.Build(ctx, binary, "clockoffset"); err != nil {
		return err
	}
	s, l, err := underAgentLoad(ctx, b, 1, "replicas=2")
	if err != nil {
		return err
	}
	defer s.Close()
	began := time.Now()
	b.Report.Settingf("one replica with a right clock, and others with a wrong one beside it; 8 writers of an agent")
	for _, offset := range []string{"2h", "-2h", "45s"} {
		if err := s.wrongFromTheStart(ctx, binary, offset); err != nil {
			return err
		}
	}
	if err := s.goesWrong(ctx, binary); err != nil {
		return err
	}
	l.end()
	l.claimUndisturbed(b.Report, began, time.Now())
	return nil
}

// wrong starts a replica whose clock is off by what stands in a file.
func (s *stage) wrong(binary, offset string) (r *testbed.Replica, set func(string) error, err error) {
	path := filepath.Join(s.Run.Dir, "offset")
	set = func(offset string) error {
		if err := os.WriteFile(path+".new", []byte(offset), 0o600); err != nil {
			return fmt.Errorf("setting a clock: %w", err)
		}
		return os.Rename(path+".new", path)
	}
	if err := set(offset); err != nil {
		return nil, nil, err
	}
	r, err = s.Launch(binary, "COUNTERSIGN_CLOCK_OFFSET_FILE="+path)
	return r, set, err
}

func (s *stage) wrongFromTheStart(ctx context.Context, binary, offset string) error {
	r, _, err := s.wrong(binary, offset)
	if err != nil {
		return err
	}
	began := time.Now()
	s.Balancer.Add(r)
	if err := s.waitEnded(ctx, r); err != nil {
		return err
	}
	s.Run.Report.Claim(saysWhy(r) && decisions(r) == 0, "a clock off by "+offset+" from the start: it decides nothing, and ends",
		"after %s, with %d decisions", measure.Duration(time.Since(began)), decisions(r))
	return nil
}

// goesWrong has a replica begin with a small skew, which is tolerated, and then its clock jumps.
func (s *stage) goesWrong(ctx context.Context, binary string) error {
	r, set, err := s.wrong(binary, "10s")
	if err != nil {
		return err
	}
	if err := r.WaitReady(ctx); err != nil {
		return err
	}
	metrics, err := r.ReadMetrics(ctx)
	if err != nil {
		return err
	}
	skew := metrics.Sum("countersign_clock_skew_seconds")
	s.Run.Report.Claim(math.Abs(skew-10) <= 1.5, "a clock off by 10 s: it is ready, and its metric says so", "%.1f s", skew)
	// It is not put behind the balancer: what it would answer in its last seconds is another matter than what others do.
	jumped := time.Now()
	if err := set("1h"); err != nil {
		return err
	}
	if err := s.waitEnded(ctx, r); err != nil {
		return err
	}
	took := time.Since(jumped)
	s.Run.Report.Claim(saysWhy(r) && took <= 15*time.Second, "the clock jumps by an hour: it ends within 15 s, and says why",
		"after %s", measure.Duration(took))
	return nil
}

func (s *stage) waitEnded(ctx context.Context, r *testbed.Replica) error {
	return measure.Wait(ctx, "the replica with a wrong clock ends", time.Minute, func(context.Context) error {
		if !r.Ended() {
			return errors.New("it runs")
		}
		return nil
	})
}

func saysWhy(r *testbed.Replica) bool {
	return strings.Contains(r.Tail(), "the clock of this machine is")
}

// decisions is how many a replica has logged.
func decisions(r *testbed.Replica) int {
	text, err := os.ReadFile(r.Decisions)
	if err != nil {
		return 0 // it has not come so far as to open it
	}
	return strings.Count(string(text), "\n")
}

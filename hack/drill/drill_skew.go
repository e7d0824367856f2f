package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// playSkew runs replicas with wrong clocks. They are built with a tag that nothing which is released is built with.
func playSkew(ctx context.Context, b *bench) error {
	binary := filepath.Join(b.dir, "countersign-clockoffset")
	if err := b.build(ctx, binary, "clockoffset"); err != nil {
		return err
	}
	s, l, err := b.underAgentLoad(ctx, 1, "replicas=2")
	if err != nil {
		return err
	}
	defer s.close()
	began := time.Now()
	b.report.settingf("one replica with a right clock, and others with a wrong one beside it; 8 writers of an agent")
	for _, offset := range []string{"2h", "-2h", "45s"} {
		if err := s.wrongFromTheStart(ctx, binary, offset); err != nil {
			return err
		}
	}
	if err := s.goesWrong(ctx, binary); err != nil {
		return err
	}
	l.end()
	l.claimUndisturbed(b.report, began, time.Now())
	return nil
}

// wrong starts a replica whose clock is off by what stands in a file.
func (s *stage) wrong(binary, offset string) (r *replica, set func(string) error, err error) {
	path := filepath.Join(s.bench.dir, "offset")
	set = func(offset string) error {
		if err := os.WriteFile(path+".new", []byte(offset), 0o600); err != nil {
			return fmt.Errorf("setting a clock: %w", err)
		}
		return os.Rename(path+".new", path)
	}
	if err := set(offset); err != nil {
		return nil, nil, err
	}
	r, err = s.launch(binary, "COUNTERSIGN_CLOCK_OFFSET_FILE="+path)
	return r, set, err
}

func (s *stage) wrongFromTheStart(ctx context.Context, binary, offset string) error {
	r, _, err := s.wrong(binary, offset)
	if err != nil {
		return err
	}
	began := time.Now()
	s.balancer.add(r)
	if err := s.waitEnded(ctx, r); err != nil {
		return err
	}
	s.bench.report.claim(r.saysWhy() && r.decided() == 0, "a clock off by "+offset+" from the start: it decides nothing, and ends",
		"after %s, with %d decisions", ms(time.Since(began)), r.decided())
	return nil
}

// goesWrong has a replica begin with a small skew, which is tolerated, and then its clock jumps.
func (s *stage) goesWrong(ctx context.Context, binary string) error {
	r, set, err := s.wrong(binary, "10s")
	if err != nil {
		return err
	}
	if err := r.waitReady(ctx); err != nil {
		return err
	}
	skew, err := r.metric(ctx, "countersign_clock_skew_seconds")
	if err != nil {
		return err
	}
	s.bench.report.claim(math.Abs(skew-10) <= 1.5, "a clock off by 10 s: it is ready, and its metric says so", "%.1f s", skew)
	// It is not put behind the balancer: what it would answer in its last seconds is another matter than what others do.
	jumped := time.Now()
	if err := set("1h"); err != nil {
		return err
	}
	if err := s.waitEnded(ctx, r); err != nil {
		return err
	}
	took := time.Since(jumped)
	s.bench.report.claim(r.saysWhy() && took <= 15*time.Second, "the clock jumps by an hour: it ends within 15 s, and says why",
		"after %s", ms(took))
	return nil
}

func (s *stage) waitEnded(ctx context.Context, r *replica) error {
	return wait(ctx, "the replica with a wrong clock ends", time.Minute, func(context.Context) error {
		if !r.ended() {
			return errors.New("it runs")
		}
		return nil
	})
}

func (r *replica) saysWhy() bool { return strings.Contains(r.tail(), "the clock of this machine is") }

// decided is how many decisions it has logged.
func (r *replica) decided() int {
	text, err := os.ReadFile(r.decisions)
	if err != nil {
		return 0 // it has not come so far as to open it
	}
	return strings.Count(string(text), "\n")
}

// metric reads one without labels.
func (r *replica) metric(ctx context.Context, name string) (float64, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+r.metrics+"/metrics", nil)
	if err != nil {
		return 0, fmt.Errorf("reading metrics: %w", err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, fmt.Errorf("reading metrics: %w", err)
	}
	defer func() { _ = answer.Body.Close() }()
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		var value float64
		if _, err := fmt.Sscanf(lines.Text(), name+" %g", &value); err == nil {
			return value, nil
		}
	}
	return 0, fmt.Errorf("reading metrics: there is no %s", name)
}

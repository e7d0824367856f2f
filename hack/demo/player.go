package main

import (
	"context"
	"strings"
	"time"
)

// player plays acts, one step after the other.
type player struct {
	screen  *screen
	stage   *stage
	memory  map[string]string
	results []result
	// ended says that a vital step failed.
	ended bool
}

// result is how a step went.
type result struct {
	step     step
	act      int
	got      outcome
	problems []string
	took     time.Duration
}

// failures counts the steps that did not answer as expected.
func failures(results []result) int {
	n := 0
	for i := range results {
		if len(results[i].problems) > 0 {
			n++
		}
	}
	return n
}

func (p *player) play(ctx context.Context, acts []act) {
	for i, a := range acts {
		if p.over(ctx) {
			return
		}
		p.screen.heading(itoa(i+1) + "  " + a.title)
		for _, s := range a.steps {
			if p.over(ctx) {
				return
			}
			p.step(ctx, i+1, s)
		}
	}
}

func (p *player) over(ctx context.Context) bool { return p.ended || ctx.Err() != nil }

// step plays one step and shows it.
func (p *player) step(ctx context.Context, act int, s step) {
	p.announce(s)
	began := time.Now()
	a, problems, tries := p.ask(ctx, s)
	took := time.Since(began)
	if ctx.Err() != nil {
		return
	}
	if s.want.remember != "" {
		p.memory[s.want.remember] = a.text
	}
	p.screen.print(a.text)
	if tries > 1 && len(problems) == 0 {
		p.screen.note("answered so at try %d, after %s", tries, seconds(took))
	}
	for _, problem := range problems {
		p.screen.print(p.screen.paint(red, "MISMATCH: "+problem))
	}
	p.results = append(p.results, result{step: s, act: act, got: s.want.got(a), problems: problems, took: took})
	p.ended = s.vital && len(problems) > 0
}

// announce shows the narration and the command, as a person would type it.
func (p *player) announce(s step) {
	prompt := p.screen.paint(cast[s.who].style, s.who+" $") + " "
	p.screen.print("\n" + p.screen.paint(faint, "# "+s.title))
	lines := strings.Split(s.run, "\n")
	for i, line := range lines {
		lines[i] = p.screen.paint(bold, line)
	}
	p.screen.print(prompt + strings.Join(lines, "\n"))
}

// ask runs the command once or, for a patient step, until it answers as expected.
func (p *player) ask(ctx context.Context, s step) (a answer, problems []string, tries int) {
	deadline := time.Now().Add(patience)
	for {
		tries++
		a = p.stage.answer(ctx, s)
		problems = s.want.problems(a, p.memory)
		if !s.patient || len(problems) == 0 || time.Now().After(deadline) {
			return a, problems, tries
		}
		select {
		case <-ctx.Done():
			return a, problems, tries
		case <-time.After(50 * time.Millisecond):
		}
	}
}
